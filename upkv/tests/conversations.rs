//! Recorded conversations of several clients at once, byte for byte: what each sends, and what each receives.
//!
//! In `tests/conversations/*.txt` a line `A> GET k` is a request of client A, `A>> bytes` raw bytes from it, and
//! the lines `B< bytes` below tell what each client received after it, and `B< |` that its stream was closed. `$B` in a
//! request is the number of client B.
//! `UPDATE_EXPECT=1` asks a `redis-server` and rewrites what is received, except after requests marked `!`, where this
//! engine follows a newer version or the reply names things that differ.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{Random, Redis, split};
use upkv::{Connection, Db, Output, Store};

/// How long a real server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

struct Ours {
    db: Db,
    clients: BTreeMap<String, (Connection, Output)>,
    closed: BTreeSet<String>,
}

impl Ours {
    fn new() -> Self {
        let store = Store::memory().expect("a store");
        Self {
            db: Db::mount(&store, "kv").expect("mounts"),
            clients: BTreeMap::new(),
            closed: BTreeSet::new(),
        }
    }

    fn connect(&mut self, name: &str) -> u64 {
        let connect = || {
            let connection = Connection::new(self.db.session());
            let output = connection.output();
            (connection, output)
        };
        let (connection, _) = self.clients.entry(name.into()).or_insert_with(connect);
        connection.session().id()
    }

    /// What every client received.
    fn send(&mut self, name: &str, bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let context = &mut Context::from_waker(Waker::noop());
        let (connection, _) = self.clients.get_mut(name).expect("connected");
        // A request that waits goes on in the rounds after it.
        let _ = pin!(connection.feed_async(bytes)).poll(context);
        for (connection, _) in self.clients.values_mut() {
            let _ = pin!(connection.feed_async(b"")).poll(context);
        }
        let received = self
            .clients
            .iter()
            .map(|(name, (_, output))| (name.clone(), output.take()));
        received.collect()
    }
}

impl Ours {
    /// Whether a blocking command of the client waits.
    fn is_waiting(&mut self, name: &str) -> bool {
        let id = self.connect(name).to_string();
        let facts = self.db.session().command(["CLIENT", "LIST", "ID", &id]);
        let Ok(upkv::Reply::Verbatim(line)) = facts else {
            panic!("not a line: {facts:?}");
        };
        let mut fields = line.split(' ');
        let flags = fields.find_map(|field| field.strip_prefix("flags="));
        flags.expect("a field").contains('b')
    }

    /// The clients whose streams are to be closed from now on.
    fn newly_closed(&mut self) -> Vec<String> {
        let closing = self
            .clients
            .iter_mut()
            .filter_map(|(name, (connection, _))| {
                connection.session().is_closing().then(|| name.clone())
            });
        let new: Vec<String> = closing.filter(|name| !self.closed.contains(name)).collect();
        self.closed.extend(new.iter().cloned());
        new
    }
}

struct Theirs {
    server: Redis,
    clients: BTreeMap<String, (UnixStream, u64)>,
}

impl Theirs {
    fn connect(&mut self, name: &str) -> u64 {
        let connect = || {
            let mut socket = self.server.connect();
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            socket.write_all(b"CLIENT ID\r\n").expect("sent");
            let mut id = String::new();
            while !id.ends_with('\n') {
                let mut byte = [0];
                socket.read_exact(&mut byte).expect("an answer");
                id.push(char::from(byte[0]));
            }
            (socket, id[1..].trim().parse().expect("a number"))
        };
        self.clients.entry(name.into()).or_insert_with(connect).1
    }

    /// What every client received, as many bytes as `like` tells, or as there are.
    fn send(
        &mut self,
        name: &str,
        bytes: &[u8],
        like: &BTreeMap<String, Vec<u8>>,
    ) -> BTreeMap<String, Vec<u8>> {
        let (socket, _) = self.clients.get_mut(name).expect("connected");
        socket.write_all(bytes).expect("sent");
        if like.get(name).is_none_or(Vec::is_empty) {
            // No answer tells that a request which waits has arrived; two rounds of another client do.
            for _ in 0..2 {
                self.server.command(&["PING"]);
            }
        }
        let received = like.iter().map(|(name, like)| {
            let (socket, _) = self.clients.get_mut(name).expect("connected");
            let mut bytes = Vec::new();
            let mut byte = [0];
            while bytes.len() < like.len() && matches!(socket.read(&mut byte), Ok(1)) {
                bytes.push(byte[0]);
            }
            (name.clone(), bytes)
        });
        received.collect()
    }

    fn expect_closed(&mut self, name: &str, line: &str) {
        let (socket, _) = self.clients.get_mut(name).expect("connected");
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the server keeps {name} open after {line}: {other:?}"),
        }
    }

    /// Reads whatever a reply that is not compared leaves, up to the answer of a PING.
    fn skip(&mut self, sender: &str, received: &BTreeMap<String, Vec<u8>>) {
        let mut names: Vec<&String> = received.keys().collect();
        // Once the sender has its answer, the others have theirs.
        names.sort_by_key(|name| *name != sender);
        for name in names {
            if received[name].is_empty() {
                continue;
            }
            let (socket, _) = self.clients.get_mut(name).expect("connected");
            socket
                .write_all(b"PING skipped-up-to-here\r\n")
                .expect("sent");
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"skipped-up-to-here\r\n") {
                socket.read_exact(&mut byte).expect("the answer");
                seen.push(byte[0]);
            }
        }
    }
}

fn request(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Runs one file; the file as it should be.
fn replay(text: &str, mut theirs: Option<Redis>) -> String {
    let mut ours = Ours::new();
    let mut theirs = theirs.take().map(|mut server| {
        server.command(&["FLUSHALL"]);
        let clients = BTreeMap::new();
        Theirs { server, clients }
    });
    let mut out = String::new();
    for line in text.lines() {
        if line
            .split_once("< ")
            .is_some_and(|(name, _)| name.len() == 1)
        {
            continue;
        }
        writeln!(out, "{line}").expect("text grows");
        let Some((name, rest)) = line.split_once('>') else {
            continue;
        };
        if name.len() != 1 || line.starts_with('#') {
            continue;
        }
        let (ours_only, rest) = rest
            .strip_prefix('!')
            .map_or((false, rest), |rest| (true, rest));
        let bytes = |id_of: &mut dyn FnMut(&str) -> u64| {
            if let Some(raw) = rest.strip_prefix("> ") {
                return split(&format!("\"{raw}\"")).concat();
            }
            let word = |word: Vec<u8>| {
                if let Some(name) = word.strip_prefix(b"$") {
                    let id = id_of(&String::from_utf8_lossy(name));
                    id.to_string().into_bytes()
                } else {
                    word
                }
            };
            request(&split(rest).into_iter().map(word).collect::<Vec<_>>())
        };
        ours.connect(name);
        let sent = bytes(&mut |name| ours.connect(name));
        let mut received = ours.send(name, &sent);
        if let Some(theirs) = &mut theirs {
            theirs.connect(name);
            let sent = bytes(&mut |name| theirs.connect(name));
            if ours_only {
                let none = BTreeMap::new();
                theirs.send(name, &sent, &none);
                theirs.skip(name, &received);
            } else {
                received = theirs.send(name, &sent, &received);
            }
        }
        for name in ours.newly_closed() {
            if let Some(theirs) = theirs.as_mut().filter(|_| !ours_only) {
                theirs.expect_closed(&name, line);
            }
            received.entry(name).or_default().extend_from_slice(b"|");
        }
        for (name, bytes) in received.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            writeln!(out, "{name}< {}", bytes.escape_ascii()).expect("text grows");
        }
    }
    out
}

#[test]
fn every_client_receives_what_redis_sends() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the folder exists")
        .map(|entry| entry.expect("listed").path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "conversations are missing");
    let mut differences = Vec::new();
    for path in files {
        let mut text = std::fs::read_to_string(&path).expect("text");
        if std::env::var_os("UPDATE_EXPECT").is_some()
            && let Some(redis) = Redis::start("conversations")
        {
            text = replay(&text, Some(redis));
            std::fs::write(&path, &text).expect("written");
        }
        let found = replay(&text, None);
        let lines = found.lines().zip(text.lines()).enumerate();
        let differ = lines.filter(|(_, (found, expected))| found != expected);
        differences.extend(differ.map(|(at, (found, expected))| {
            format!(
                "{}:{}\n  found    {found}\n  expected {expected}",
                path.display(),
                at + 1
            )
        }));
        differences.extend(
            (found.lines().count() != text.lines().count()).then(|| path.display().to_string()),
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// One step of a random conversation: who sends, and what.
fn step(r: &mut Random) -> (&'static str, String) {
    // P publishes and writes and listens to nothing, since a server's own order of reply and message is not the point.
    let keys = ["k", "l", "user:1", "user:2"];
    let channels = ["news", "sport", "x", "k"];
    let (key, channel) = (r.pick(&keys), r.pick(&channels));
    if r.below(3) == 0 {
        let line = match r.below(13) {
            0..=2 => format!("PUBLISH {channel} {key}"),
            3 => format!("SPUBLISH {channel} {key}"),
            4 => format!("SET {key} 1"),
            5 => format!("MSET {key} 1 user:1 2 l 3"),
            6 => format!("DEL {key} k"),
            7 => format!("PUBSUB NUMSUB {channel} x"),
            8 => "ZADD z 1 a 2 b".into(),
            9 => "ZADD y 1 c".into(),
            10 => "ZADD z 3 d".into(),
            11 => "RENAME y z".into(),
            _ => "FLUSHALL".into(),
        };
        return ("P", line);
    }
    let line = match r.below(40) {
        0..=2 => format!("SUBSCRIBE {channel}"),
        3 => format!("UNSUBSCRIBE {channel}"),
        4 => "PSUBSCRIBE *".into(),
        5 => "PUNSUBSCRIBE *".into(),
        6 => format!("SSUBSCRIBE {channel} {key}"),
        7 => format!("SUNSUBSCRIBE {channel}"),
        8 => "RESET".into(),
        9 => "PING".into(),
        10 => format!("PING {key}"),
        11..=13 => format!("GET {key}"),
        14 => format!("MGET {key} l"),
        15 => format!("INCR {key}"),
        16 => "MULTI".into(),
        17 | 18 => "EXEC".into(),
        19 => "DISCARD".into(),
        20 => format!("WATCH {key}"),
        21 => "UNWATCH".into(),
        22 => format!("SELECT {}", r.below(3)),
        23 => "CLIENT TRACKING ON".into(),
        24 => "CLIENT TRACKING OFF".into(),
        25 => "CLIENT TRACKING ON OPTIN".into(),
        26 => "CLIENT TRACKING ON OPTOUT NOLOOP".into(),
        27 => "CLIENT TRACKING ON BCAST PREFIX user: PREFIX k".into(),
        28 => "CLIENT CACHING YES".into(),
        29 => "CLIENT CACHING NO".into(),
        30 => "CLIENT TRACKINGINFO".into(),
        31 => format!("CLIENT SETNAME {key}"),
        32 => "CLIENT GETNAME".into(),
        33 => "CLIENT REPLY ON".into(),
        34 => format!("NONSENSE {key}"),
        35 => "BZPOPMIN z y 0".into(),
        36 => "BZPOPMAX y 0".into(),
        37 => "BZMPOP 0 2 y z MAX COUNT 2".into(),
        38 => "ZADD y 5 e".into(),
        _ => format!("GET {key} {key}"),
    };
    (r.pick(&["A", "B"]), line)
}

#[test]
fn random_conversations_equal_those_of_redis() {
    const SEEDS: u64 = 60;
    const STEPS: usize = 120;
    let Some(server) = Redis::start("random-conversations") else {
        return;
    };
    let mut server = Some(server);
    for seed in 1..=SEEDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut redis = server.take().expect("given back below");
        redis.command(&["FLUSHALL"]);
        let (mut ours, clients) = (Ours::new(), BTreeMap::new());
        let mut theirs = Theirs {
            server: redis,
            clients,
        };
        let mut told = String::new();
        let mut queueing = BTreeSet::new();
        for name in ["A", "B", "P", "T"] {
            ours.connect(name);
            theirs.connect(name);
        }
        // One client tracks throughout, since this engine forgets what was read when nobody does.
        let track = request(&split("CLIENT TRACKING ON"));
        let received = ours.send("T", &track);
        theirs.send("T", &track, &received);
        if seed % 2 == 0 {
            let hello = request(&split("HELLO 3"));
            let received = ours.send("A", &hello);
            theirs.send("A", &hello, &BTreeMap::new());
            theirs.skip("A", &received);
        }
        for _ in 0..STEPS {
            let (name, mut line) = step(&mut random);
            if ours.is_waiting(name) {
                continue;
            }
            // Changes by a transaction are told when it is done, also to a client that started to track, or read the
            // key, after the change; a server tells them one by one.
            let tells = line.starts_with("CLIENT TRACKING ON") || line.starts_with("INCR");
            if tells && queueing.contains(name) {
                line = "PING".into();
            }
            match &*line {
                "MULTI" => {
                    queueing.insert(name);
                }
                "EXEC" | "DISCARD" | "RESET" => {
                    queueing.remove(name);
                }
                _ => {}
            }
            writeln!(told, "{name}> {line}").expect("text grows");
            let sent = request(&split(&line));
            let found = ours.send(name, &sent);
            let expected = theirs.send(name, &sent, &found);
            assert_eq!(show(&found), show(&expected), "seed {seed}:\n{told}");
        }
        server = Some(theirs.server);
    }
}

fn show(received: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let lines = received
        .iter()
        .map(|(name, bytes)| format!("{name}< {}", bytes.escape_ascii()));
    lines.collect()
}
