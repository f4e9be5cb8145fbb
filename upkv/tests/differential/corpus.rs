//! Scripts that are given, each run here and in a real server, in both protocols.

use crate::common::Redis;

use crate::server::{Ours, Side, Theirs};

#[test]
fn scripts_reply_as_in_redis() {
    let Some(server) = Redis::start("scripts") else {
        return;
    };
    let mut theirs = Theirs::connect(&server);
    let mut differences = Vec::new();
    for protocol in ["2", "3"] {
        let mut ours = Ours::open(false);
        for line in ["FLUSHALL", &format!("HELLO {protocol}")] {
            theirs.ask_words(line);
            ours.ask_words(line);
        }
        for script in include_str!("scripts.txt").lines() {
            if script.is_empty() || script.starts_with('#') {
                continue;
            }
            let args = ["EVAL", script, "2", "s", "n", "a", "2"];
            let args = args.map(|arg| arg.as_bytes().to_vec());
            let (a, b) = (ours.ask(&args), theirs.ask(&args));
            if a != b {
                let (a, b) = (a.show(), b.show());
                differences.push(format!("{protocol}: {script}\n  ours   {a}\n  theirs {b}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
