//! Scripts as a real server runs them, what bounds them, and how what they do is kept.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Redis, Resp};
use upkv::storage::fault::SimVfs;
use upkv::{Db, DbOptions, Error, Reply, ScriptLimits, Store};

fn fresh() -> Db {
    Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
}

fn limited(limits: ScriptLimits) -> Db {
    let options = DbOptions::new().script_limits(limits);
    Db::mount_with(&Store::memory().expect("a store"), "kv", options).expect("mounts")
}

fn eval(db: &Db, script: &str) -> String {
    Resp::of(db.command(["EVAL", script, "0"])).show()
}

#[test]
fn a_corpus_of_scripts_replies_as_a_real_server() {
    let Some(mut redis) = Redis::start("scripting") else {
        return;
    };
    let db = fresh();
    let mut ours = db.session();
    let mut differences = Vec::new();
    for script in include_str!("scripts.txt").lines() {
        if script.is_empty() || script.starts_with('#') {
            continue;
        }
        let args = ["EVAL", script, "2", "s", "n", "a", "2"];
        let (theirs, mine) = (
            redis.command(&args).show(),
            Resp::of(ours.command(args)).show(),
        );
        if theirs != mine {
            differences.push(format!("{script}\n  theirs {theirs}\n  ours   {mine}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn functions_reply_as_in_a_real_server() {
    let Some(mut redis) = Redis::start("functions") else {
        return;
    };
    let db = fresh();
    let mut ours = db.session();
    let load = |code: &str| vec!["FUNCTION".to_string(), "LOAD".into(), code.into()];
    let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
    let register = "redis.register_function";
    let mut lines = vec![
        load("x"),
        load("#!lua"),
        load("#!lua name=a b=c\n"),
        load("#!lua name=l$3\n"),
        load("#!lua name=l3 name=l4\n"),
        load("#!foo name=l3\n"),
        load("#!lua name=l2\nreturn 1"),
        load("#!lua name=l3\nif"),
        load("#!lua name=l3\nx=1"),
        load("#!lua name=l3\nredis.call('get','x')"),
        load(&format!(
            "#!lua name=l1\n{register}('f1', function(keys, args) return {{keys, args}} end)"
        )),
        load(&format!("#!lua name=l1\n{register}('f1', function() end)")),
        load(&format!("#!lua name=l3\n{register}('f1', function() end)")),
        load(&format!(
            "#!lua name=l3\n{register}{{function_name='f3', callback=function() return redis.call('set','x',1) end, flags={{'no-writes'}}, description='dd'}}"
        )),
    ];
    for argument in [
        "{function_name='f9', callback=1}",
        "{function_name='f9', foo=1}",
        "('f x', function() end)",
        "('f9')",
        "(1)",
        "{}",
        "('f9', 1)",
        "(1, function() end)",
        "{function_name='f9', callback=function() end, flags={'nono'}}",
        "{function_name='f9', callback=function() end, flags='nono'}",
        "('f9', function() end) redis.register_function('f9', function() end)",
    ] {
        lines.push(load(&format!("#!lua name=l9\n{register}{argument}")));
    }
    lines.push(load(&format!("#!lua name=l4\n{register}('f4', function() local x = nil; return x.y end) {register}('f5', function() return redis.call('incr','s','t') end) {register}('f7', function() error({{err='A b'}}) end)")));
    for line in [
        "FCALL f1 1 a b c",
        "FCALL nof 0",
        "FCALL f1 x",
        "FCALL f1 -1",
        "FCALL f1 5 a",
        "FCALL f3 0",
        "FCALL_RO f1 0",
        "FCALL_RO f3 0",
        "FCALL f4 0",
        "FCALL f5 0",
        "FCALL f7 0",
        "FUNCTION LIST LIBRARYNAME l1 WITHCODE",
        "FUNCTION LIST LIBRARYNAME l3",
        "FUNCTION LIST foo",
        "FUNCTION LIST LIBRARYNAME",
        "FUNCTION STATS",
        "FUNCTION DELETE nolib",
        "FUNCTION KILL",
        "SCRIPT KILL",
        "FUNCTION FLUSH foo",
        "FUNCTION HELP",
        "SCRIPT HELP",
        "SCRIPT EXISTS",
        "SCRIPT EXISTS a b",
        "SCRIPT FLUSH x",
        "SCRIPT foo",
        "EVALSHA abc 0",
        "EVAL x",
        "EVAL return x",
        "EVAL return -1",
        "EVAL return 3 a",
        "SCRIPT LOAD return(5)",
        "EVALSHA 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 0",
        "SCRIPT DEBUG x",
        "FUNCTION RESTORE x",
        "FUNCTION RESTORE x foo",
        "FUNCTION DELETE l1",
        "FCALL f1 0",
        "FUNCTION FLUSH",
        "FUNCTION LIST",
        "FUNCTION STATS",
        "FUNCTION",
    ] {
        lines.push(words(line));
    }
    for script in [
        "#!lua\nreturn 1",
        "#!lua flags=no-writes\nreturn redis.call('set','x',1)",
        "#!lua flags=nope\nreturn 1",
        "#!foo\nreturn 1",
        "#!lua name=x\nreturn 1",
        "#!lua",
        "return redis.call('set','x',1)",
    ] {
        for command in ["EVAL", "EVAL_RO"] {
            lines.push(vec![command.into(), script.into(), "0".into()]);
        }
    }
    let mut differences = Vec::new();
    for line in lines {
        let theirs = redis.command(&line).show();
        let mine = Resp::of(ours.command(&line)).show();
        if theirs != mine {
            differences.push(format!("{line:?}\n  theirs {theirs}\n  ours   {mine}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn dumps_of_libraries_go_both_ways() {
    let Some(mut redis) = Redis::start("function-dump") else {
        return;
    };
    let code = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)\n"
        .to_string()
        + &"-- filler filler filler\n".repeat(50);
    redis.command(&["FUNCTION", "LOAD", &code]);
    let Resp::Bulk(Some(theirs)) = redis.command(&["FUNCTION", "DUMP"]) else {
        panic!("a dump");
    };
    let db = fresh();
    db.command([&b"FUNCTION"[..], b"RESTORE", &theirs])
        .expect("restores");
    assert_eq!(
        db.command(["FCALL", "answer", "0"]).expect("runs"),
        Reply::Int(42)
    );
    let again = db
        .command([&b"FUNCTION"[..], b"RESTORE", &theirs])
        .expect_err("it is there");
    assert_eq!(again.to_string(), "ERR Library 'lib' already exists");
    db.command([&b"FUNCTION"[..], b"RESTORE", &theirs, b"REPLACE"])
        .expect("replaces");
    let Reply::Bulk(ours) = db.command(["FUNCTION", "DUMP"]).expect("dumps") else {
        panic!("a dump");
    };
    redis.command(&["FUNCTION", "FLUSH"]);
    assert_eq!(
        redis.command(&[&b"FUNCTION"[..], b"RESTORE", &ours]).show(),
        "OK"
    );
    assert_eq!(redis.command(&["FCALL", "answer", "0"]), Resp::Int(42));
}

#[test]
fn a_script_that_raises_keeps_its_writes_and_one_that_is_stopped_does_not() {
    let db = limited(
        ScriptLimits::new()
            .instructions(3_000_000)
            .memory_bytes(4 << 20),
    );
    assert!(eval(&db, "redis.call('SET', 'a', '1') error('late')").contains("late"));
    assert!(db.exists("a").expect("reads"));
    for script in [
        "redis.call('SET', 'b', '1') while true do end",
        "redis.call('SET', 'b', '1') while true do pcall(function() while true do end end) end",
        "redis.call('SET', 'b', '1') local t = {} while true do t[#t + 1] = {} end",
        "redis.call('SET', 'b', '1') pcall(string.rep, 'x', 1e9) return 1",
        "redis.call('SET', 'b', '1') return string.rep('x', 2^40)",
        "redis.call('SET', 'b', '1') local s = 'x' while true do s = s .. s end",
        "redis.call('SET', 'b', '1') local a = {1, 1} for i = 1, 40 do a = {a, a} end return cjson.encode(a)",
        "redis.call('SET', 'b', '1') local a = {1, 1} for i = 1, 40 do a = {a, a} end return a",
        "redis.call('SET', 'b', '1') local a = {1, 1} for i = 1, 15 do a = {a, a, a, a, a, a} end return cmsgpack.pack(a)",
        "redis.call('SET', 'b', '1') return string.find(string.rep('a', 30000), string.rep('a*', 60) .. 'b')",
        "redis.call('SET', 'b', '1') return string.gsub(string.rep('a', 1e6), 'a', string.rep('b', 1000))",
        "redis.call('SET', 'b', '1') local f f = function() return xpcall(f, f) end while true do f() end",
        "redis.call('SET', 'b', '1') for i = 1, 1e9 do redis.call('GET', 'b') end",
        "redis.call('SET', 'b', '1') for k in string.gmatch(string.rep('a', 30000), string.rep('a*', 60) .. 'b') do end",
    ] {
        let error = db.command(["EVAL", script, "0"]).expect_err(script);
        assert!(matches!(error, Error::Aborted(_)), "{script}: {error}");
        assert!(
            error.to_string().contains("limit was exceeded"),
            "{script}: {error}"
        );
        assert!(!db.exists("b").expect("reads"), "{script}");
        let mut session = db.session();
        session.command(["MULTI"]).expect("starts");
        session.command(["SET", "c", "1"]).expect("queues");
        session.command(["EVAL", script, "0"]).expect("queues");
        assert!(session.command(["EXEC"]).is_err(), "{script}");
        assert!(!db.exists("c").expect("reads"), "{script}");
    }
    let ignored = db.transaction(|tx| {
        tx.set("d", "1")?;
        assert!(tx.command(["EVAL", "while true do end", "0"]).is_err());
        Ok(())
    });
    assert!(
        ignored.is_err(),
        "what a stopped script left is not committed"
    );
    assert_eq!(eval(&db, "return 1"), "(int) 1");
}

#[test]
fn the_sandbox_holds() {
    let db = fresh();
    for (script, part) in [
        ("return io", "nonexistent global variable 'io'"),
        ("return require('x')", "'require'"),
        ("return dofile('x')", "'dofile'"),
        ("return loadfile('x')", "'loadfile'"),
        ("return debug.getinfo(1)", "'debug'"),
        ("return package", "'package'"),
        ("return newproxy", "'newproxy'"),
        ("return getfenv()", "'getfenv'"),
        ("return setfenv(1, {})", "'setfenv'"),
        ("return print", "'print'"),
        ("return coroutine", "'coroutine'"),
        (
            "return os.execute('true')",
            "attempt to call field 'execute'",
        ),
        (
            "return string.dump(function() end)",
            "attempt to call field 'dump'",
        ),
        (
            "return loadstring(string.char(27) .. 'Lua')()",
            "attempt to call a nil value",
        ),
        ("redis.call = nil", "readonly"),
        ("getmetatable('').__index = nil", "readonly"),
        ("table.insert = nil", "readonly"),
        ("_G.tostring = nil", "readonly"),
        ("setmetatable(string, {})", "readonly"),
        ("rawset(cjson, 'encode', 1)", "readonly"),
        ("return unpack({}, 0, 2147483647)", "too many results"),
        (
            "return unpack({}, -2147483648, 2147483647)",
            "too many results",
        ),
        (
            "return string.rep('a', 220000):find(string.rep('.?', 220000))",
            "too complex",
        ),
        (
            "local t = {} for i = 1, 5000 do t[i] = 'x' end return cmsgpack.pack(unpack(t))",
            "too many arguments",
        ),
        ("return table.concat({}, 'x', 1, 2^31)", "invalid value"),
        (
            "local f = loadstring(string.rep('(', 500) .. string.rep(')', 500)) return f()",
            "attempt to call",
        ),
    ] {
        let reply = eval(&db, script);
        assert!(
            reply.starts_with("(error)") && reply.contains(part),
            "{script}: {reply}"
        );
    }
    let leaks = [
        (
            "table.insert(string, 1, 'leak') KEYS.x = 1 return 1",
            "return {string[1] == nil, KEYS.x == nil}",
        ),
        (
            "cjson.encode_max_depth(1) return 1",
            "return cjson.encode_max_depth()",
        ),
        (
            "redis.setresp(3) return 1",
            "return redis.call('GET', 'none') == false",
        ),
    ];
    for (first, second) in leaks {
        eval(&db, first);
        let reply = eval(&db, second);
        assert!(
            ["[(int) 1 (int) 1]", "(int) 1000", "(int) 1"].contains(&&*reply),
            "{second}: {reply}"
        );
    }
    // Many values, shallow and deep, on the small stack of a test thread.
    assert_eq!(
        eval(
            &db,
            "local t = {} for i = 1, 7000 do t[i] = i end return redis.call('MSET', unpack(t))"
        ),
        "OK"
    );
    let deep = "local t = {} for i = 1, 999 do t = {t} end return #cjson.encode(t)";
    assert_eq!(eval(&db, deep), "(int) 2000");
}

#[test]
fn key_locking_scripts_touch_only_their_keys() {
    let db = fresh();
    let head = "#!lua flags=allow-key-locking\n";
    let run =
        |body: &str| Resp::of(db.command(["EVAL", &format!("{head}{body}"), "1", "mine"])).show();
    assert_eq!(run("return redis.call('SET', KEYS[1], 'x')"), "OK");
    let refused = run("return redis.call('SET', 'other', 'x')");
    assert!(refused.starts_with("(error) ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: other"), "{refused}");
    assert!(run("return redis.call('FLUSHALL')").contains("allow-key-locking"));
    assert!(db.exists("mine").expect("reads"));
}

#[test]
fn a_kill_stops_what_has_not_written() {
    let db = limited(
        ScriptLimits::new()
            .time(Duration::from_secs(60))
            .instructions(u64::MAX),
    );
    let other = db.clone();
    let runner = std::thread::spawn(move || other.command(["EVAL", "while true do end", "0"]));
    let killed = loop {
        match db.command(["SCRIPT", "KILL"]) {
            Ok(reply) => break reply,
            Err(error) => assert!(error.to_string().starts_with("NOTBUSY"), "{error}"),
        }
        std::thread::yield_now();
    };
    assert_eq!(killed, Reply::Status("OK"));
    let error = runner.join().expect("no panic").expect_err("it was killed");
    assert!(error.to_string().contains("killed by user"), "{error}");
}

#[test]
fn functions_survive_restart_checkpoint_and_undo() {
    let vfs = Arc::new(SimVfs::new());
    let open = || {
        let store = Store::builder("store")
            .vfs(Arc::clone(&vfs) as Arc<_>)
            .background(false)
            .open();
        store.expect("a sound store opens")
    };
    let code = |name: &str, value: u32| {
        format!(
            "#!lua name={name}\nredis.register_function('{name}', function() return {value} end)"
        )
    };
    let store = open();
    let db = Db::mount(&store, "kv").expect("mounts");
    db.command(["FUNCTION", "LOAD", &code("a", 1)])
        .expect("loads");
    db.command(["FUNCTION", "LOAD", &code("b", 2)])
        .expect("loads");
    store.checkpoint().expect("a checkpoint");
    db.command(["FUNCTION", "LOAD", "REPLACE", &code("b", 3)])
        .expect("loads");
    db.command(["FUNCTION", "LOAD", &code("c", 4)])
        .expect("loads");
    db.command(["FUNCTION", "DELETE", "a"]).expect("deletes");
    let undone = db.transaction(|tx| {
        tx.command(["FUNCTION", "FLUSH"])?;
        assert!(
            tx.command(["FCALL", "b", "0"]).is_err(),
            "gone in the transaction"
        );
        tx.abort::<()>("no")
    });
    assert!(undone.is_err());
    for round in 0..3 {
        let store = if round == 0 { store.clone() } else { open() };
        let db = Db::mount(&store, "kv").expect("mounts");
        let call = |name| db.command(["FCALL", name, "0"]);
        assert!(call("a").is_err(), "{round}");
        assert_eq!(call("b").expect("runs"), Reply::Int(3), "{round}");
        assert_eq!(call("c").expect("runs"), Reply::Int(4), "{round}");
        if round == 1 {
            store.checkpoint().expect("a checkpoint");
        }
        store.close().expect("closes");
    }
}

#[test]
fn a_script_over_cold_values_starts_over_without_double_effects() {
    let vfs = Arc::new(SimVfs::new());
    let store = Store::builder("store")
        .vfs(vfs as Arc<_>)
        .background(false)
        .open()
        .expect("opens");
    let options = DbOptions::new().memory_limit_bytes(1 << 16).shards(16);
    let db = Db::mount_with(&store, "kv", options).expect("mounts");
    for at in 0..200 {
        db.set(format!("cold:{at}"), "v".repeat(1_000))
            .expect("sets");
    }
    while db.stats().cold_keys < 100 {
        db.set("filler", "f".repeat(2_000)).expect("sets");
        store.maintain(Duration::from_secs(1)).expect("maintains");
    }
    let script = "redis.call('INCR', 'runs') local sum = 0 \
        for i = 0, 199 do sum = sum + #redis.call('GET', 'cold:' .. i) redis.call('INCR', 'steps') end return sum";
    assert_eq!(
        db.command(["EVAL", script, "0"]).expect("runs"),
        Reply::Int(200_000)
    );
    assert_eq!(db.get("runs").expect("reads").expect("set"), "1");
    assert_eq!(db.get("steps").expect("reads").expect("set"), "200");
}
