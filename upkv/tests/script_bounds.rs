//! What bounds scripts: time, memory, depth, kills, and what others are told meanwhile.

mod common;

use std::time::Duration;

use common::Resp;
use upkv::{Db, DbOptions, Error, Reply, ScriptLimits, Store};

fn limited(limits: ScriptLimits) -> Db {
    let options = DbOptions::new().script_limits(limits);
    Db::mount_with(&Store::memory().expect("a store"), "kv", options).expect("mounts")
}

fn eval(db: &Db, script: &str) -> String {
    Resp::of(db.command(["EVAL", script, "0"])).show()
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
fn a_kill_stops_what_has_not_written() {
    let db = limited(
        ScriptLimits::new()
            .time(Duration::from_mins(1))
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

/// Starts a script that ends by a kill, and waits until others are told of it.
fn busy(db: &Db, command: &[&str]) -> std::thread::JoinHandle<upkv::Result<Reply>> {
    db.session()
        .command(["CONFIG", "SET", "busy-reply-threshold", "1"])
        .expect("sets");
    let (other, command) = (db.clone(), command.iter().map(ToString::to_string));
    let command: Vec<String> = command.collect();
    let runner = std::thread::spawn(move || other.command(&command));
    while db.command(["PING"]).is_ok() {
        std::thread::yield_now();
    }
    runner
}

#[test]
fn others_are_told_of_a_script_that_takes_long() {
    let db = limited(
        ScriptLimits::new()
            .time(Duration::from_mins(1))
            .instructions(u64::MAX),
    );
    db.command([
        "FUNCTION",
        "LOAD",
        "#!lua name=long\nredis.register_function('long', function(keys) if #keys > 0 then redis.call('SET', keys[1], 1) end while true do end end)",
    ])
    .expect("loads");
    let mut queued = db.session();
    queued.command(["MULTI"]).expect("starts");
    queued.command(["GET", "a"]).expect("queues");
    let text = |by: &str| {
        format!(
            "BUSY Redis is busy running a script. You can only call {by} KILL or SHUTDOWN NOSAVE."
        )
    };
    for (command, by, other) in [
        (
            &["EVAL", "while true do end", "0"][..],
            "SCRIPT",
            "FUNCTION",
        ),
        (&["FCALL", "long", "0"], "FUNCTION", "SCRIPT"),
    ] {
        let runner = busy(&db, command);
        let told = |args: &[&str]| {
            db.session()
                .command(args)
                .map_err(|error| error.to_string())
        };
        for args in [
            &["GET", "a"][..],
            &["PUBLISH", "a", "b"],
            &["BLPOP", "a", "0"],
        ] {
            assert_eq!(told(args), Err(text(by)), "{args:?}");
        }
        assert_eq!(told(&[other, "KILL"]), Err(text(by)));
        assert_eq!(told(&["MULTI"]), Ok(Reply::Status("OK")));
        assert_eq!(told(&["EXEC"]).expect_err("busy")[..9], *"EXECABORT");
        let error = queued.command(["EXEC"]).expect_err("busy");
        assert_eq!(
            error.to_string(),
            format!("EXECABORT Transaction discarded because of: {}", text(by))
        );
        queued.command(["MULTI"]).expect("starts");
        let mut adding = db.session();
        adding.command(["MULTI"]).expect("starts");
        assert!(adding.command(["SET", "a", "1"]).is_err());
        let stats = Resp::of(db.command(["FUNCTION", "STATS"])).show();
        assert_eq!(stats.contains("duration_ms"), by == "FUNCTION", "{stats}");
        assert_eq!(told(&[by, "KILL"]), Ok(Reply::Status("OK")));
        let error = runner.join().expect("no panic").expect_err("it was killed");
        assert!(
            error.to_string().starts_with("Script killed by user"),
            "{error}"
        );
        assert_eq!(db.command(["PING"]).expect("free"), Reply::Status("PONG"));
        assert!(adding.command(["EXEC"]).is_err(), "a command was refused");
        queued.command(["GET", "a"]).expect("queues");
    }
}

#[test]
fn what_has_written_is_not_killed_and_holds_up_nobody_for_longer_than_its_limit() {
    let limits = ScriptLimits::new().time(Duration::from_millis(300));
    let db = limited(limits.instructions(u64::MAX));
    let body = "#!lua flags=allow-key-locking\nredis.call('SET', KEYS[1], 1) while true do end";
    db.session()
        .command(["CONFIG", "SET", "busy-reply-threshold", "1"])
        .expect("sets");
    let other = db.clone();
    let runner = std::thread::spawn(move || other.command(["EVAL", body, "1", "mine"]));
    let error = loop {
        match db.command(["GET", "mine"]) {
            Ok(reply) => assert_eq!(reply, Reply::Null, "what it writes is not seen"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with("BUSY"), "{error}");
    // Keys that share the lock are not free; of a hundred most do not.
    let keys = (0..100).map(|at| format!("key{at}"));
    let free = keys.map(|key| (db.command(["SET", &key, "1"]), key));
    let (reply, free) = { free }
        .find(|(reply, _)| reply.is_ok())
        .expect("other keys are free");
    assert_eq!(reply.expect("free"), Reply::Status("OK"));
    assert_eq!(db.get(&free).expect("reads").expect("set"), "1");
    let error = db.command(["SCRIPT", "KILL"]).expect_err("it has written");
    assert!(error.to_string().starts_with("UNKILLABLE"), "{error}");
    let error = runner.join().expect("no panic").expect_err("stopped");
    assert!(
        error.to_string().contains("time limit was exceeded"),
        "{error}"
    );
    assert!(!db.exists("mine").expect("reads"));
}

#[test]
fn scripts_obey_the_limit_of_memory_until_they_have_written() {
    let store = Store::memory().expect("a store");
    let options = DbOptions::new().max_memory_bytes(300_000);
    let db = Db::mount_with(&store, "kv", options).expect("mounts");
    let mut at = 0;
    while db.set(format!("fill:{at}"), "x".repeat(1_000)).is_ok() {
        at += 1;
    }
    let run = |head: &str, body: &str| {
        Resp::of(db.command(["EVAL", &format!("{head}{body}"), "0"])).show()
    };
    let set = "return redis.call('SET', 'more', 'x')";
    assert!(
        run("", set).starts_with(
            "(error) OOM command not allowed when used memory > 'maxmemory'. script: "
        )
    );
    assert_eq!(run("", "return redis.call('GET', 'none')"), "(nil)");
    assert_eq!(
        run("#!lua\n", set),
        "(error) OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
    );
    assert_eq!(run("#!lua flags=no-writes\n", "return 1"), "(int) 1");
    assert_eq!(
        run(
            "",
            "redis.call('DEL', 'none') return redis.call('SET', 'more', 'x')"
        ),
        "OK"
    );
    assert_eq!(run("#!lua flags=allow-oom\n", set), "OK");
}

/// Scripts that try to use up the stack of the thread, time or memory in roundabout ways.
const HOSTILE: &[&str] = &[
    // Depth: of Lua, of C, and of both in turn.
    "local function f() return 1 + f() end return f()",
    "local function f() local ok, e = pcall(f) error(e) end f()",
    "local function f() return (pcall(f)) end return tostring(f())",
    "local function f() return (xpcall(f, f)) end return tostring(f())",
    "local function f() return (string.gsub('a', 'a', f)) end return f()",
    "local function f(t) table.sort({3, 2, 1}, f) return true end return tostring(f())",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k .. 'x'] end return t.x",
    "local t = {} for i = 1, 300 do t = setmetatable({}, {__index = t}) end return t.x",
    "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
    "local t = setmetatable({}, {__eq = function(a, b) return a == b end}) return t == setmetatable({}, getmetatable(t))",
    "local t = setmetatable({}, {__concat = function(a, b) return a .. b end}) return t .. t",
    "local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) return tostring(t)",
    "local t = setmetatable({}, {__call = function(t) return t() end}) return t()",
    "local function f() return loadstring('return ...')(f)() end return f()",
    "local function f() return cjson.encode({cjson.decode('[' .. f() .. ']')}) end return f()",
    "local function f() for w in string.gmatch('ab', '.') do f() end end f()",
    "local s = 'return ' for i = 1, 300 do s = s .. '(' end return loadstring(s)",
    "return loadstring('return ' .. string.rep('{', 10000))",
    "return loadstring('local x = ' .. string.rep('-', 100000) .. '1')",
    "return loadstring('local x = ' .. string.rep('not ', 10000) .. '1')",
    "return loadstring(string.rep('if true then ', 1000))",
    "return loadstring(string.rep('a.', 100000) .. 'a = 1')",
    "return loadstring('return ' .. string.rep('\"\" .. ', 100000) .. '\"\"')",
    "return loadstring(string.rep('local a\\n', 1000))",
    "return loadstring('return ' .. string.rep('function() ', 1000))",
    "return string.find('x', string.rep('(', 100))",
    "return string.find(string.rep('a', 1000), string.rep('(a', 31) .. string.rep(')', 31))",
    "return string.find('a', string.rep('a?', 100000))",
    "return string.match(string.rep('(', 100000), '%b()')",
    // What is stopped cannot be caught.
    "while true do pcall(pcall, pcall, error) end",
    "while true do pcall(string.gsub, 'aaa', 'a', function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "local function f() while true do pcall(f) end end f()",
    "table.sort({1, 2, 3}, function() while true do end end)",
    "for k in string.gmatch('a', function() end) do end",
    "while true do local ok = pcall(function() local s = string.rep('x', 1e8) end) end",
    "load(function() return ' ' end)",
    "load(function() while true do end end)",
    "setmetatable({}, {__index = function() while true do end end}).x = nil return setmetatable({}, {__index = function() while true do end end}).x",
    "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    "return setmetatable({}, {__tostring = function() while true do end end})",
    "return setmetatable({}, {__index = function() while true do end end})",
    "error(setmetatable({}, {__index = function() while true do end end, __tostring = function() while true do end end}))",
    "error({err = setmetatable({}, {__tostring = function() while true do end end})})",
    "for i = 1, math.huge do end",
    "for i = 1, 2, 0 do end",
    "repeat until false",
    // Memory.
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "local t = {} while true do t = {t, t} end",
    "local t = {} while true do t[#t + 1] = function() return t end end",
    "local s = {} for i = 1, 1e8 do s[#s + 1] = 'x' end return table.concat(s)",
    "local s = 'x' while true do s = string.format('%s%s', s, s) end",
    "local s = 'x' while true do s = table.concat({s, s}) end",
    "local s = 'x' while true do s = s:gsub('x', 'xx') end",
    "local s = 'x' while true do s = s:upper() .. s:reverse() end",
    "local s = 'x' while true do s = redis.sha1hex(s) .. s .. s end",
    "local s = 'x' while true do s = cjson.encode({s, s}) end",
    "local s = 'x' while true do s = cmsgpack.pack(s, s) end",
    "local s = 'x' while true do s = struct.pack('ss', s, s) end",
    "return struct.pack('c2147483647', 'x')",
    "return struct.pack(string.rep('i32', 1e6), 1)",
    "return string.rep('x', 2^31)",
    "return string.rep('x', 2^63)",
    "return string.rep('', 2^63)",
    "return string.rep('xx', 2^62)",
    "return string.format('%99999999d', 1)",
    "return string.format(string.rep('%99d', 1e6), unpack({}, 1, 100))",
    "return ('x'):rep(1e7):rep(1e7)",
    "return unpack({}, 1, 1e7)",
    "return {unpack({}, 1, 7800)}",
    "local t = {} for i = 1, 7800 do t[i] = i end return select('#', unpack(t), unpack(t))",
    "return string.char(unpack({}, 1, 5000))",
    "return {string.byte(string.rep('x', 1e6), 1, -1)}",
    "return math.max(unpack({}, 1, 5000))",
    "return cmsgpack.unpack('\\221\\127\\255\\255\\255')",
    "return cmsgpack.unpack(string.rep('\\145', 100000))",
    "return cmsgpack.unpack(string.rep('\\1', 100000))",
    "return cjson.decode(string.rep('[', 1e6))",
    "return cjson.decode(string.rep('{\"a\":', 1e6))",
    "return struct.unpack(string.rep('b', 100000), string.rep('x', 100000))",
    "redis.call('SET', 'x', string.rep('y', 1e6)) local t = {} while true do t[#t + 1] = redis.call('GET', 'x') end",
    "for i = 1, 1e9 do redis.call('RPUSH', 'x', i) end",
    "local a = {1, 1} for i = 1, 60 do a = {a, a} end return a",
    "local a = {} a[1] = a return a",
    "redis.setresp(3) local a = {} a.map = {x = a} return a",
    "redis.setresp(3) local a = {} a.set = {} a.set[a] = true return a",
    // Time in what is not Lua.
    "return string.find(string.rep('a', 1e5), string.rep('a?', 20) .. string.rep('a', 20) .. 'b')",
    "return string.find(string.rep('a', 1e6), '.-.-.-.-b')",
    "return string.find(string.rep('a', 1e6), '[' .. string.rep('b', 1e6) .. 'a]*c')",
    "return string.find(string.rep('a', 1e6), '[' .. string.rep('b', 1e6) .. 'a]-c')",
    "return string.find(string.rep('a', 1e6), '%f[' .. string.rep('b', 1e6) .. ']')",
    "local t = {} for i = 1, 20000 do t[i] = string.gmatch('a', 'a') end return #t",
    "local t = {} for i = 1, 20000 do t[i] = cjson.new() end return #t",
    "local t = {} for i = 1, 2900 do t[i] = 'x' end local function f() return string.gsub('a', 'a', f, unpack(t)) end return f()",
    "return string.gsub(string.rep('a', 1e5), '(a*)*b', '')",
    "return string.find(string.rep('a', 1e6), string.rep('a', 5e5) .. 'b', 1, true)",
    "for i = 1, 1e9 do string.find(string.rep('a', 1e6), 'b', 1, true) end",
    "for i = 1, 1e9 do local s = string.rep('a', 1e6) .. i end",
    "for i = 1, 1e9 do redis.sha1hex(string.rep('a', 1e6)) end",
    "for i = 1, 1e9 do loadstring(string.rep('x = 1 ', 1e4)) end",
    "local t = {} for i = 1, 1e5 do t[i] = i % 2 end while true do table.sort(t) end",
    "local t = {} for i = 1, 200 do t[i] = i end while true do table.sort(t) table.concat(t) table.insert(t, 1, table.remove(t)) end",
    "local t = {} t[2^31] = 1 return table.maxn(t)",
    "while true do table.concat({}, '', 1, 0) string.byte('x') math.random() end",
    "while true do cjson.encode({1, 2, {3}}) cjson.decode('[1, [2]]') end",
    "while true do redis.call('KEYS', '*') end",
    "while true do redis.pcall('nosuch') end",
    "while true do redis.log(1, 'x') redis.status_reply('x') redis.error_reply('x') end",
];

#[test]
fn hostile_scripts_end_and_leave_the_thread_sound() {
    let limits = ScriptLimits::new().time(Duration::from_millis(300));
    let db = limited(limits.instructions(2_000_000).memory_bytes(8 << 20));
    let started = std::time::Instant::now();
    for script in HOSTILE {
        let before = started.elapsed();
        for form in [
            script.to_string(),
            format!("local ok, e = pcall(function() {script} end) return 1"),
        ] {
            let reply = Resp::of(db.command(["EVAL", &form, "0"])).show();
            assert!(reply.len() < 64 << 20, "{script}");
            assert!(!reply.contains("prelude"), "{script}: {reply}");
            assert_eq!(
                eval(&db, "return {KEYS[1] == nil, #ARGV}"),
                "[(int) 1 (int) 0]"
            );
        }
        let took = started.elapsed().saturating_sub(before);
        assert!(took < Duration::from_mins(1), "{took:?}: {script}");
    }
    db.audit().expect("counts agree");
}
