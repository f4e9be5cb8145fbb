//! Recorded conversations: commands, and the replies a real server gave.
//!
//! `tests/commands/*.txt` hold one command a line after `> `, and the reply on the next line. `UPDATE_EXPECT=1`
//! asks a `redis-server` and rewrites the replies, except of lines marked `!`, where this engine follows a
//! newer version than most machines have. Lines marked `~` have replies in no particular order.
//!
//! A first line `@ upstash key=8 ...` names the profile, and limits; such a file is never compared with a server.

mod common;

use std::path::PathBuf;

use common::{Redis, Resp, split};
use upkv::{Db, DbOptions, Limits, Profile, Session, Store};

/// Runs one file; the file as it should be.
fn replay(text: &str, mut ask: impl FnMut(&[Vec<u8>], bool) -> Resp) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some((mark, command)) = line.split_once("> ") else {
            continue;
        };
        if !matches!(mark, "" | "~" | "!") {
            continue;
        }
        let is_command = |next: &str| {
            ["> ", "~> ", "!> "]
                .iter()
                .any(|mark| next.starts_with(mark))
        };
        let is_reply =
            |next: &&str| !next.is_empty() && !is_command(next) && !next.starts_with('#');
        lines.next_if(is_reply);
        let reply = ask(&split(command), mark == "!");
        let reply = if mark == "~" { reply.sorted() } else { reply };
        out.push_str(&reply.show());
        out.push('\n');
    }
    out
}

/// A session as the first line of a file asks for it.
fn session(text: &str) -> Session {
    let mut options = DbOptions::new();
    let mut limits = Limits::new();
    let line = text.lines().next().unwrap_or_default();
    for word in line.strip_prefix("@ ").unwrap_or_default().split(' ') {
        let Some((name, number)) = word.split_once('=') else {
            if !word.is_empty() {
                assert_eq!(word, "upstash", "a profile");
                options = options.profile(Profile::Upstash);
            }
            continue;
        };
        let number: usize = number.parse().expect("a number");
        let bytes = number as u64;
        limits = match name {
            "request" => limits.request_bytes(bytes),
            "key" => limits.key_bytes(bytes),
            "record" => limits.record_bytes(bytes),
            "database" => limits.database_bytes(bytes),
            "pending" => limits.pending_entries(number),
            _ => panic!("no such limit: {name}"),
        };
    }
    let store = Store::memory().expect("a store");
    let db = Db::mount_with(&store, "kv", options.limits(limits));
    db.expect("mounts").session()
}

#[test]
fn replies_are_those_recorded_from_redis() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/commands");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the folder exists")
        .map(|entry| entry.expect("listed").path())
        .collect();
    let needs_lua = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("scripts"))
    };
    files.retain(|path| cfg!(feature = "lua") || !needs_lua(path));
    files.sort();
    assert!(files.len() >= 5, "conversations are missing");
    let mut different = Vec::new();
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut redis = if update {
        Redis::start("commands")
    } else {
        None
    };
    for path in files {
        let text = std::fs::read_to_string(&path).expect("text");
        let expected = match &mut redis {
            _ if text.starts_with("@ ") => text,
            None => text,
            Some(redis) => {
                redis.command(&["RESET"]);
                redis.command(&["FLUSHALL"]);
                let mut ours = session(&text);
                let updated = replay(&text, |args, newer| {
                    let theirs = redis.command(args);
                    let ours = Resp::of(ours.command(args));
                    if newer { ours } else { theirs }
                });
                std::fs::write(&path, &updated).expect("written");
                updated
            }
        };
        let mut ours = session(&expected);
        let found = replay(&expected, |args, _| Resp::of(ours.command(args)));
        let mut command = "";
        for (at, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            if found != expected {
                let place = format!("{}:{}", path.display(), at + 1);
                different.push(format!("{place}: {command}\n  {expected}\n  {found}"));
            }
            command = expected;
        }
        assert_eq!(
            found.lines().count(),
            expected.lines().count(),
            "{}",
            path.display()
        );
    }
    assert!(
        different.is_empty(),
        "expected, found:\n{}",
        different.join("\n")
    );
}
