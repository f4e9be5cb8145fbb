//! Scripts: their sandbox, their rights, and how what they do is kept.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Redis, Resp};
use upkv::storage::fault::SimVfs;
use upkv::storage::vfs::Vfs;
use upkv::storage::{Durability, Random};
use upkv::{Db, DbOptions, Reply, Session, Store};

fn fresh() -> Db {
    Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
}

fn eval(db: &Db, script: &str) -> String {
    Resp::of(db.command(["EVAL", script, "0"])).show()
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

/// Scripts that are refused, with a part of what they are told.
const REFUSED: &[(&str, &str)] = &[
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
];

#[test]
fn the_sandbox_holds() {
    let db = fresh();
    for (script, part) in REFUSED {
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

/// What a command answers in a script, which is the same in a function and in a transaction.
fn run_inside(session: &mut Session, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let eval = [
        &["EVAL", "return redis.call(unpack(ARGV))", "0"],
        &words[..],
    ]
    .concat();
    let direct = Resp::of(session.command(&eval));
    let by_function = Resp::of(session.command([&["FCALL", "run", "0"], &words[..]].concat()));
    session.command(["MULTI"]).expect("starts");
    session.command(eval).expect("queues");
    let queued = Resp::of(session.command(["EXEC"]));
    let cut = |reply: String| {
        let end = reply.rfind(" script: ").unwrap_or(reply.len());
        let shown = reply[..end].trim_start_matches('[');
        shown.trim_end_matches(']').to_string()
    };
    let shown = cut(direct.show());
    assert_eq!(cut(by_function.show()), shown);
    assert_eq!(cut(queued.show()), shown);
    shown
}

/// A session of a user with some rights.
fn ada(db: &Db) -> Session {
    let rules = ["on", "nopass", "~a*", "&ch*", "+@all", "-incr", "-config"];
    db.acl().set_user("ada", rules).expect("rules");
    db.command([
        "FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('run', function(keys, args) return redis.call(unpack(args)) end)",
    ])
    .expect("loads");
    let mut session = db.session();
    session.log_in("ada", "").expect("no password is needed");
    session
}

#[test]
fn scripts_have_the_rights_of_their_caller() {
    let db = fresh();
    let mut session = ada(&db);
    let mut run = |words: &str| run_inside(&mut session, words);
    assert_eq!(run("SET a 1"), "OK");
    let key = "(error) ERR ACL failure in script: No permissions to access a key";
    for line in [
        "GET b",
        "SET b 1",
        "MGET a b",
        "COPY a b",
        "ZUNION 2 a b",
        "SORT a STORE b",
        "BITOP NOT a b",
        "XREAD STREAMS a b 0 0",
        "GEORADIUS a 0 0 1 m STORE b",
    ] {
        assert_eq!(run(line), key, "{line}");
    }
    assert_eq!(
        run("INCR a"),
        "(error) ERR ACL failure in script: User ada has no permissions to run the 'incr' command"
    );
    assert_eq!(
        run("PUBLISH x y"),
        "(error) ERR ACL failure in script: No permissions to access a channel"
    );
    assert_eq!(run("PUBLISH ch y"), "(int) 0");
    assert_eq!(
        run("SORT a BY x*"),
        "(error) ERR BY option of SORT denied due to insufficient ACL permissions."
    );
    let newest = Resp::of(db.session().command(["ACL", "LOG", "1"])).show();
    assert!(newest.contains("lua") && newest.contains("ada"), "{newest}");
    let deleted = db.acl().delete_user("ada");
    deleted.expect("is not the default user");
    let get = ["EVAL", "return redis.call('GET', 'a')", "0"];
    assert!(session.command(get).is_err());
}

#[test]
fn scripts_can_ask_for_the_rights_of_their_caller() {
    let db = fresh();
    let mut session = ada(&db);
    let check = "local t = {} for i, line in ipairs(ARGV) do local words = {} for word in string.gmatch(line, '%S+') do words[#words + 1] = word end t[i] = redis.acl_check_cmd(unpack(words)) and 1 or 0 end return t";
    let lines = [
        "GET a",
        "GET b",
        "INCR a",
        "PUBLISH x y",
        "PUBLISH ch y",
        "GET",
        "INCR",
        "MULTI",
        "CONFIG GET x",
    ];
    let line = [&["EVAL", check, "0"], &lines[..]].concat();
    let checked = Resp::of(session.command(line)).show();
    let expected = [1, 0, 0, 0, 1, 1, 0, 1, 0].map(|flag| format!("(int) {flag}"));
    assert_eq!(checked, format!("[{}]", expected.join(" ")));
    let shown = Resp::of(session.command(["EVAL", "return redis.acl_check_cmd('nosuch')", "0"]));
    assert!(
        shown
            .show()
            .starts_with("(error) ERR Invalid command passed to redis.acl_check_cmd()")
    );
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
fn a_power_cut_loses_no_function_that_was_acknowledged_and_leaves_no_half_script() {
    let sim = Arc::new(SimVfs::new());
    let open = |vfs: Arc<dyn Vfs>| {
        let builder = Store::builder("store").vfs(vfs).background(false);
        builder.open().expect("a store opens after a crash")
    };
    let code = |name: &str| {
        format!(
            "#!lua name={name}\nredis.register_function('{name}', function() return '{name}' end)"
        )
    };
    let store = open(Arc::clone(&sim) as Arc<_>);
    let db = Db::mount(&store, "kv").expect("mounts");
    let db = db.with_durability(Durability::Disk);
    // How many steps were acknowledged after so many operations of the disk.
    let mut acknowledged = vec![(sim.operations(), 0)];
    let mut step = |line: &[&str]| {
        db.command(line).expect("runs");
        acknowledged.push((sim.operations(), acknowledged.len()));
    };
    step(&["FUNCTION", "LOAD", &code("a")]);
    step(&["FUNCTION", "LOAD", &code("b")]);
    step(&[
        "EVAL",
        "redis.call('SET', 'x', 1) redis.call('SET', 'y', 1)",
        "0",
    ]);
    step(&["FUNCTION", "DELETE", "a"]);
    let names = |db: &Db| {
        let there = |name: &&str| db.command(["FCALL", name, "0"]).is_ok();
        ["a", "b"].into_iter().filter(there).collect::<String>()
    };
    for cut in acknowledged[0].0..=sim.operations() {
        let steps = acknowledged.iter().filter(|(at, _)| *at <= cut).count() - 1;
        for image in sim.crash_point(cut).images(&Random::seeded(7), 3) {
            let db = Db::mount(&open(Arc::new(image.disk().clone())), "kv").expect("mounts");
            let (x, y) = (
                db.exists("x").expect("reads"),
                db.exists("y").expect("reads"),
            );
            assert_eq!(x, y, "half of a script after {cut}");
            let state = (names(&db), x);
            let states = [
                ("", false),
                ("a", false),
                ("ab", false),
                ("ab", true),
                ("b", true),
            ];
            let states = states.map(|(names, x)| (names.to_string(), x));
            let at = states.iter().position(|known| *known == state);
            let at = at.unwrap_or_else(|| panic!("{state:?} after {cut}"));
            assert!(
                (steps..=steps + 1).contains(&at),
                "{state:?} after {cut}: {steps}"
            );
        }
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
