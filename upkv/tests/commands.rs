//! Recorded conversations: commands, and the replies a real server gave.
//!
//! `tests/commands/*.txt` hold one command a line after `> `, and the reply on the next line. `UPDATE_EXPECT=1`
//! asks a `redis-server` and rewrites the replies, except of lines marked `!`, where this engine follows a
//! newer version than most machines have. Lines marked `~` have replies in no particular order.

mod common;

use std::path::PathBuf;

use common::{Redis, Resp, split};
use upkv::{Db, Session, Store};

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

fn session() -> Session {
    Db::mount(&Store::memory().expect("a store"), "kv")
        .expect("mounts")
        .session()
}

#[test]
fn replies_are_those_recorded_from_redis() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/commands");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the folder exists")
        .map(|entry| entry.expect("listed").path())
        .collect();
    // Builds without scripts know nothing of them.
    let is_known = |path: &PathBuf| {
        let chapter = path.file_stem().and_then(|stem| stem.to_str());
        cfg!(feature = "lua") || !matches!(chapter, Some("function" | "script"))
    };
    files.retain(is_known);
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
            None => text,
            Some(redis) => {
                redis.command(&["RESET"]);
                redis.command(&["FLUSHALL"]);
                let mut ours = session();
                let updated = replay(&text, |args, newer| {
                    let theirs = redis.command(args);
                    let ours = Resp::of(ours.command(args));
                    if newer { ours } else { theirs }
                });
                std::fs::write(&path, &updated).expect("written");
                updated
            }
        };
        let mut ours = session();
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
