//! Redis' format against a real `redis-server`: payloads of every type and encoding, and whole files, both ways.

mod common;

use std::time::Duration;

use common::{Redis, Resp, sealed};
use upkv::{Db, Store, transcode};

fn mounted() -> Db {
    Db::mount(&Store::memory().expect("a store"), "cache").expect("mounts")
}

fn ask(redis: &mut Redis, line: &str) -> Resp {
    let args: Vec<&str> = line.split(' ').collect();
    let reply = redis.command(&args);
    assert!(!matches!(reply, Resp::Error(_)), "{line}: {}", reply.show());
    reply
}

fn bulk(reply: Resp) -> Vec<u8> {
    match reply {
        Resp::Bulk(Some(bytes)) => bytes,
        other => panic!("no bytes: {}", other.show()),
    }
}

/// Elements that meet every width of the compact encodings.
fn elements(count: usize) -> Vec<Vec<u8>> {
    let ints = [
        0,
        12,
        127,
        128,
        -1,
        -129,
        4_095,
        -4_097,
        40_000,
        9_000_000,
        3_000_000_000,
        i64::MIN,
        i64::MAX,
    ];
    (0..count)
        .map(|at| match at % 4 {
            0 if at / 4 < ints.len() => ints[at / 4].to_string().into_bytes(),
            1 => format!("element {at}").into_bytes(),
            2 => [b"\0\r\n\xff", &at.to_le_bytes()[..]].concat(),
            _ => format!("{at}{}", "ab".repeat(at % 60)).into_bytes(),
        })
        .collect()
}

fn pairs(name: &str, key: &str, flat: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut line = vec![name.as_bytes().to_vec(), key.as_bytes().to_vec()];
    line.extend(flat);
    line
}

/// Three entries a millisecond; every fifth has other field names.
fn append_entries(redis: &mut Redis, key: &str, texts: &[Vec<u8>]) {
    for (at, text) in texts.iter().enumerate() {
        let id = format!("{}-{at}", 1_000 + at / 3);
        let field = if at % 5 == 4 { "other" } else { "field" };
        let line = [
            b"XADD",
            key.as_bytes(),
            id.as_bytes(),
            field.as_bytes(),
            text,
            b"n",
            b"17",
        ];
        redis.command(&line);
    }
}

/// The server of this machine, and a newer one if there is one.
fn servers(name: &str) -> impl Iterator<Item = Redis> {
    let newer = Redis::start_newer(&format!("{name}-newer"));
    Redis::start(name).into_iter().chain(newer)
}

/// Whether hashes may have deadlines of fields.
fn has_field_deadlines(redis: &mut Redis) -> bool {
    let reply = redis.command(&["COMMAND", "INFO", "HPEXPIREAT"]);
    !matches!(reply, Resp::Array(Some(items)) if items == [Resp::Array(None)])
}

/// Fills a server with every type and encoding it has.
fn fill(redis: &mut Redis) {
    let strings: [(&str, Vec<u8>); 9] = [
        ("s:empty", Vec::new()),
        ("s:int8", b"-7".to_vec()),
        ("s:int16", b"-30000".to_vec()),
        ("s:int32", b"2000000000".to_vec()),
        ("s:int64", b"9223372036854775807".to_vec()),
        ("s:zeros", b"007".to_vec()),
        ("s:binary", (0..=255).collect()),
        ("s:lzf", b"compress me ".repeat(5_000)),
        ("s:long", elements(3_000).concat()),
    ];
    for (key, value) in strings {
        redis.command(&[&b"SET"[..], key.as_bytes(), &value]);
    }
    for count in [1, 30, 700] {
        let all = elements(count);
        redis.command(&pairs("RPUSH", &format!("l:{count}"), all.clone()));
        redis.command(&pairs("SADD", &format!("set:{count}"), all.clone()));
        let ints = (0..count).map(|at| (at * at * 977).to_string().into_bytes());
        redis.command(&pairs("SADD", &format!("ints:{count}"), ints.collect()));
        let hash = all
            .iter()
            .flat_map(|item| [item.clone(), format!("v{}", item.len()).into_bytes()]);
        redis.command(&pairs("HSET", &format!("h:{count}"), hash.collect()));
        let scores = ["0", "-1.5", "inf", "-inf", "3", "1e300", "0.1"];
        let zset = all
            .iter()
            .enumerate()
            .flat_map(|(at, item)| [scores[at % 7].into(), item.clone()]);
        redis.command(&pairs("ZADD", &format!("z:{count}"), zset.collect()));
        append_entries(redis, &format!("x:{count}"), &all);
    }
    let large = |byte: &str, count: usize| byte.repeat(count);
    let lines = [
        format!(
            "RPUSH l:large {} small {}",
            large("x", 20_000),
            large("y", 9_000)
        ),
        "SADD ints:wide 9223372036854775807 -1".to_owned(),
        "SADD ints:middle 70000 -1".to_owned(),
        format!("HSET h:large field {}", large("v", 300)),
        format!("ZADD z:large 1 {}", large("m", 300)),
    ];
    for line in &lines {
        ask(redis, line);
    }
    for line in [
        "XGROUP CREATE x:700 group 0",
        "XGROUP CREATE x:700 late $",
        "XGROUP CREATE x:700 counted 0 ENTRIESREAD 5",
        "XREADGROUP GROUP group one COUNT 40 STREAMS x:700 >",
        "XREADGROUP GROUP group two COUNT 3 STREAMS x:700 >",
        "XGROUP CREATECONSUMER x:700 group idle",
        "XACK x:700 group 1000-1 1001-3",
        "XDEL x:700 1000-0 1003-10 1233-699",
        "XADD x:empty 5-5 a b",
        "XDEL x:empty 5-5",
        "XADD x:huge 18446744073709551615-18446744073709551614 a b",
    ] {
        ask(redis, line);
    }
    if has_field_deadlines(redis) {
        limit_fields(redis);
    }
}

/// Gives fields of small and large hashes a deadline.
fn limit_fields(redis: &mut Redis) {
    for count in [1, 30, 700] {
        let key = format!("h:{count}");
        let fields = elements(count).into_iter().step_by(3);
        for (at, field) in fields.enumerate() {
            let deadline = (4_000_000_000_000 + at * 977).to_string();
            let line = [
                b"HPEXPIREAT",
                key.as_bytes(),
                deadline.as_bytes(),
                b"FIELDS",
                b"1",
                &field,
            ];
            redis.command(&line);
        }
    }
}

/// Everything a client can see of a key.
fn content(redis: &mut Redis, key: &str) -> String {
    let kind = match ask(redis, &format!("TYPE {key}")) {
        Resp::Status(kind) => kind,
        other => panic!("{}", other.show()),
    };
    match kind.as_str() {
        "string" => ask(redis, &format!("GET {key}")).show(),
        "list" => ask(redis, &format!("LRANGE {key} 0 -1")).show(),
        "set" => ask(redis, &format!("SMEMBERS {key}")).sorted().show(),
        "zset" => ask(redis, &format!("ZRANGE {key} 0 -1 WITHSCORES")).show(),
        "hash" => hash_content(key, |line| redis.command(line)),
        "stream" => without_shape(&ask(redis, &format!("XINFO STREAM {key} FULL COUNT 0"))),
        other => panic!("{key} is a {other}"),
    }
}

/// Fields with their values and deadlines, in order of names. A server without deadlines of fields has none.
fn hash_content(key: &str, mut ask: impl FnMut(&[&[u8]]) -> Resp) -> String {
    let Resp::Array(Some(flat)) = ask(&[b"HGETALL", key.as_bytes()]) else {
        panic!("HGETALL answers a list");
    };
    let mut fields = Vec::new();
    for pair in flat.chunks(2) {
        let name = bulk(pair[0].clone());
        let line = [b"HPEXPIRETIME", key.as_bytes(), b"FIELDS", b"1", &name];
        let deadline = match ask(&line) {
            Resp::Array(Some(deadlines)) => deadlines[0].show(),
            _ => "(int) -1".to_owned(),
        };
        fields.push(format!("{} {} {deadline}", pair[0].show(), pair[1].show()));
    }
    fields.sort();
    fields.join(",")
}

/// What `XINFO STREAM FULL` tells, without how the entries lie in memory and how long consumers were idle.
fn without_shape(reply: &Resp) -> String {
    let Resp::Array(Some(items)) = reply else {
        return reply.show();
    };
    let mut shown = Vec::new();
    let mut skip = false;
    for item in items {
        let text = item.show();
        // Servers before 7.2 do not tell when a consumer was active.
        let is_shape = |text: &str| text.contains("\"radix-tree") || text == "\"active-time\"";
        if !skip && (text.starts_with('[') || !is_shape(&text)) {
            shown.push(without_shape(item));
        }
        skip = !text.starts_with('[') && is_shape(&text);
    }
    format!("[{}]", shown.join(" "))
}

fn keys(redis: &mut Redis) -> Vec<String> {
    let Resp::Array(Some(keys)) = ask(redis, "KEYS *").sorted() else {
        panic!("KEYS answers a list");
    };
    keys.into_iter()
        .map(|key| String::from_utf8(bulk(key)).expect("plain names"))
        .collect()
}

#[test]
fn payloads_of_every_encoding_mean_the_same_to_the_server() {
    servers("rdb-payloads").for_each(payloads_mean_the_same);
}

fn payloads_mean_the_same(mut redis: Redis) {
    fill(&mut redis);
    let found = keys(&mut redis);
    assert!(found.len() > 30, "{found:?}");
    for key in found {
        let payload = bulk(ask(&mut redis, &format!("DUMP {key}")));
        let ours = transcode(&payload).unwrap_or_else(|| panic!("{key} is refused"));
        let before = content(&mut redis, &key);
        let reply = redis.command(&[b"RESTORE", key.as_bytes(), b"0", &ours, b"REPLACE"]);
        assert_eq!(reply.show(), "OK", "{key}");
        assert_eq!(content(&mut redis, &key), before, "{key}");
    }
}

fn shown(db: &Db, key: &str) -> String {
    let kind = db.kind(key).expect("reads").expect("exists");
    let show = |reply: &str| Resp::of(db.command(reply.split(' '))).show();
    match kind.name() {
        "string" => show(&format!("GET {key}")),
        "zset" => show(&format!("ZRANGE {key} 0 -1 WITHSCORES")),
        "hash" => hash_content(key, |line| Resp::of(db.command(line))),
        "list" => show(&format!("LRANGE {key} 0 -1")),
        "set" => Resp::of(db.command(["SMEMBERS", key])).sorted().show(),
        "stream" => without_shape(&show_stream(db, key)),
        other => panic!("{key} is a {other}"),
    }
}

fn show_stream(db: &Db, key: &str) -> Resp {
    Resp::of(db.command(["XINFO", "STREAM", key, "FULL", "COUNT", "0"]))
}

#[test]
fn values_move_between_engine_and_server() {
    servers("rdb-values").for_each(values_move);
}

fn values_move(mut redis: Redis) {
    fill(&mut redis);
    let db = mounted();
    for key in keys(&mut redis) {
        let payload = bulk(ask(&mut redis, &format!("DUMP {key}")));
        let reply = db.command([b"RESTORE", key.as_bytes(), b"0", &payload]);
        assert_eq!(Resp::of(reply).show(), "OK", "{key}");
        // Scores are printed with noise by old servers; the way back shows that none was lost.
        if !key.starts_with("z:") {
            assert_eq!(shown(&db, &key), content(&mut redis, &key), "{key}");
        }
        let before = content(&mut redis, &key);
        let ours = bulk(Resp::of(db.command(["DUMP", &key])));
        let reply = redis.command(&[b"RESTORE", key.as_bytes(), b"0", &ours, b"REPLACE"]);
        assert_eq!(reply.show(), "OK", "{key}");
        assert_eq!(content(&mut redis, &key), before, "{key}");
    }
}

#[test]
fn files_of_the_server_load() {
    for start in [Redis::start, Redis::start_newer] {
        if let Some(redis) = start("rdb-save") {
            saved_file_loads(redis, start);
        }
    }
}

fn saved_file_loads(mut redis: Redis, start: fn(&str) -> Option<Redis>) {
    fill(&mut redis);
    ask(&mut redis, "PEXPIREAT s:int8 4000000000123");
    ask(&mut redis, "SELECT 5");
    ask(&mut redis, "SET other 5");
    ask(&mut redis, "SELECT 0");
    ask(&mut redis, "SAVE");
    let Resp::Array(Some(dir)) = ask(&mut redis, "CONFIG GET dir") else {
        panic!("CONFIG GET answers a list");
    };
    let dir = String::from_utf8(bulk(dir[1].clone())).expect("a path");
    let file = std::fs::File::open(format!("{dir}/dump.rdb")).expect("the server saved");
    let db = mounted();
    let report = db.import_rdb(file).expect("a sound file");
    let held = keys(&mut redis);
    assert_eq!(report.keys, held.len() as u64 + 1);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    for key in held.iter().filter(|key| !key.starts_with("z:")) {
        assert_eq!(shown(&db, key), content(&mut redis, key), "{key}");
    }
    assert_eq!(
        Resp::of(db.command(["PEXPIRETIME", "s:int8"])).show(),
        "(int) 4000000000123"
    );
    let other = db.database(5).expect("in range");
    assert_eq!(other.get("other").expect("reads").expect("imported"), "5");
    db.audit().expect("the counts agree");
    // And back: another server starts from what is written here.
    let name = "rdb-back";
    let dir = std::env::temp_dir().join(format!("upkv-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let file = std::fs::File::create(dir.join("dump.rdb")).expect("a file");
    let written = db.export_rdb(file).expect("exports");
    assert_eq!((written.keys, written.skipped.len()), (report.keys, 0));
    let mut other = start(name).expect("it was started before");
    for key in &held {
        assert_eq!(content(&mut other, key), content(&mut redis, key), "{key}");
    }
}

/// What Redis kept small collections in up to 6.2: entries with the length of the one before, and a form for each width.
fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut before, mut tail) = (0, 10);
    for entry in entries {
        tail = 10 + body.len();
        let form: Vec<u8> = match std::str::from_utf8(entry).map(str::parse::<i64>) {
            Ok(Ok(value @ 0..=12)) => vec![0xf1 + u8::try_from(value).expect("small")],
            Ok(Ok(value)) => {
                let bytes = value.to_le_bytes();
                let (code, width) = match value {
                    -0x80..=0x7f => (0xfe, 1),
                    -0x8000..=0x7fff => (0xc0, 2),
                    -0x80_0000..=0x7f_ffff => (0xf0, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xd0, 4),
                    _ => (0xe0, 8),
                };
                [&[code], &bytes[..width]].concat()
            }
            _ if entry.len() < 64 => {
                let length = u8::try_from(entry.len()).expect("short");
                [&[length], *entry].concat()
            }
            _ => {
                let length = u16::try_from(entry.len()).expect("not long") | 0x4000;
                [&length.to_be_bytes(), *entry].concat()
            }
        };
        let start = body.len();
        match u8::try_from(before) {
            Ok(short) if short < 254 => body.push(short),
            _ => {
                body.push(254);
                body.extend(u32::try_from(before).expect("not long").to_le_bytes());
            }
        }
        body.extend(form);
        before = body.len() - start;
    }
    let number = |value: usize| u32::try_from(value).expect("not long").to_le_bytes();
    let count = u16::try_from(entries.len()).expect("few").to_le_bytes();
    let (bytes, tail) = (number(11 + body.len()), number(tail));
    [&bytes[..], &tail, &count, &body, &[0xff]].concat()
}

/// A string as the format has it.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("not long") | 0x4000;
    [&length.to_be_bytes(), bytes].concat()
}

/// A text whose length takes two bytes.
fn long_text() -> String {
    "a text of more than sixty-three bytes, which takes a length of two bytes in front, and so on"
        .repeat(3)
}

/// Texts that packed forms hold in all their ways, numbers of every width among them.
fn texts(long: &str) -> Vec<&[u8]> {
    vec![
        b"0",
        b"12",
        b"13",
        b"-1",
        b"127",
        b"-32768",
        b"8388607",
        b"-8388608",
        b"2147483647",
        b"-9223372036854775808",
        b"",
        b"a",
        b"007",
        long.as_bytes(),
        b"after the long one",
        b"\0\xff",
    ]
}

/// Values in encodings that only old servers write, each as its kind and body.
fn old_encodings() -> Vec<(&'static str, Vec<u8>)> {
    let long = long_text();
    let texts = texts(&long);
    let zset: Vec<&[u8]> = vec![
        b"a",
        b"-1.5",
        b"b",
        b"0",
        b"c",
        b"3",
        long.as_bytes(),
        b"17",
    ];
    let of = |code: u8, packed: Vec<u8>| [vec![code], string(&packed)].concat();
    let quicklist = [
        vec![14, 2],
        string(&ziplist(&texts)),
        string(&ziplist(&[b"second", b"70000"])),
    ];
    let intset: Vec<u8> = [2_u32, 3]
        .iter()
        .flat_map(|head| head.to_le_bytes())
        .collect();
    let members = [-5_i16, 0, 300]
        .iter()
        .flat_map(|member| member.to_le_bytes());
    vec![
        ("list", of(10, ziplist(&texts))),
        ("quicklist", quicklist.concat()),
        ("zset", of(12, ziplist(&zset))),
        ("hash", of(13, ziplist(&texts))),
        (
            "zipmap",
            of(9, b"\x02\x01f\x01\x00v\x04name\x05\x02value..\xff".to_vec()),
        ),
        (
            "intset",
            of(11, intset.into_iter().chain(members).collect()),
        ),
        (
            "plain-list",
            [vec![1, 2], string(b"a"), string(b"12")].concat(),
        ),
        (
            "plain-set",
            [vec![2, 2], string(b"a"), string(b"12")].concat(),
        ),
        (
            "text-scores",
            [
                vec![3, 2],
                string(b"m"),
                vec![3],
                b"2.5".to_vec(),
                string(b"n"),
                vec![254],
            ]
            .concat(),
        ),
        (
            "plain-hash",
            [vec![4, 1], string(b"f"), string(b"v")].concat(),
        ),
    ]
}

/// The encodings of Redis 2.4 to 6.2, which no server writes any more, mean the same to a server and here.
#[test]
fn old_encodings_are_read() {
    let cases = old_encodings();
    let db = mounted();
    for (key, body) in &cases {
        let reply = db.command([b"RESTORE", key.as_bytes(), b"0", &sealed(body, 9)]);
        assert_eq!(Resp::of(reply).show(), "OK", "{key}");
    }
    assert_eq!(
        db.command(["LLEN", "quicklist"]).expect("counts"),
        upkv::Reply::Int(18)
    );
    for mut redis in servers("rdb-old") {
        for (key, body) in &cases {
            let reply = redis.command(&[b"RESTORE", key.as_bytes(), b"0", &sealed(body, 9)]);
            assert_eq!(reply.show(), "OK", "{key}");
            assert_eq!(shown(&db, key), content(&mut redis, key), "{key}");
        }
    }
}

#[test]
fn the_server_loads_files_written_here() {
    let db = mounted();
    for (at, item) in elements(900).into_iter().enumerate() {
        db.set(format!("s:{at}"), &item).expect("sets");
        db.hash("h:large").set(&item, at.to_string()).expect("sets");
        if at < 50 {
            db.hash("h:small").set(format!("f{at}"), "v").expect("sets");
            db.zset("z:small").add(format!("m{at}"), 0.5).expect("adds");
        }
        db.zset("z:large").add(&item, 2.0).expect("adds");
    }
    db.expire("s:1", Duration::from_secs(100_000))
        .expect("expires");
    db.database(9)
        .expect("in range")
        .set("nine", "9")
        .expect("sets");
    let dir = std::env::temp_dir().join(format!("upkv-rdb-load-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let file = std::fs::File::create(dir.join("dump.rdb")).expect("a file");
    let report = db.export_rdb(file).expect("exports");
    assert_eq!((report.keys, report.skipped.len()), (905, 0));
    let Some(mut redis) = Redis::start("rdb-load") else {
        return;
    };
    let found = keys(&mut redis);
    assert_eq!(found.len(), 904);
    for key in found {
        assert_eq!(content(&mut redis, &key), shown(&db, &key), "{key}");
    }
    let deadline = |reply: Resp| reply.show();
    assert_eq!(
        deadline(ask(&mut redis, "PEXPIRETIME s:1")),
        deadline(Resp::of(db.command(["PEXPIRETIME", "s:1"])))
    );
    ask(&mut redis, "SELECT 9");
    assert_eq!(ask(&mut redis, "GET nine").show(), "\"9\"");
}
