//! Every argument of every command, options included, replaced by what nobody would give: the forms of `odd_forms.txt` with one
//! argument after another exchanged for numbers at every edge, text that is nearly a number, patterns, and keys of other types.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod common;
mod odd;

use std::time::Duration;

use common::Random;
use odd::{
    FILL, LARGE, PEAK_KIB, Watch, args, assert_well_formed, digest, open, peak_kib, run, show,
};
use upkv::Db;

/// What one command may take, built without optimization: some write strings of 512 MiB.
const SLOWEST: Duration = Duration::from_secs(10);

const FORMS: &str = include_str!("odd_forms.txt");

const ODD: &[&[u8]] = &[
    b"",
    b"0",
    b"-0",
    b"1",
    b"+1",
    b"-1",
    b"00",
    b" 1",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"-2147483649",
    b"4294967295",
    b"4294967296",
    b"536870911",
    b"536870912",
    b"536870913",
    b"1099511627776",
    b"9223372036854775",
    b"9223372036854775807",
    b"-9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1.5",
    b"-1.5",
    b"1e3",
    b"1e400",
    b"1e-400",
    b"inf",
    b"-inf",
    b"nan",
    b"0x10",
    b"\xff\x00\xfe",
    b"\r\n",
    b"*",
    b"[",
    b"(",
    b"(1",
    b"**********************b",
    b"$",
    b"$..*",
    b"0-0",
    b"18446744073709551615-18446744073709551615",
    b"9223372036854775807-*",
    b"#4294967295",
    b"u64",
    b"i64",
    b"STORE",
    b"LIMIT",
    b"COUNT",
    b"GET",
    b"a",
    b"b",
    b"h",
    b"z",
    b"places",
    b"sketch",
    b"doc",
    b"list",
    b"set",
    b"stream",
    b"missing",
];

fn forms() -> impl Iterator<Item = Vec<Vec<u8>>> {
    let known: Vec<&str> = upkv::commands().map(|info| info.name).collect();
    let lines = FORMS.lines().filter(|line| !line.starts_with('#'));
    lines.map(args).filter(move |line| {
        let name = String::from_utf8_lossy(&line[0]).to_lowercase();
        known.contains(&&*name)
    })
}

/// What is missing is there again, and nobody is paused.
fn restore(db: &Db) {
    db.command(["CLIENT", "UNPAUSE"]).ok();
    for line in FILL {
        let name = line.split(' ').nth(1).expect("a key");
        if db.kind(name).expect("memory does not fail").is_none() {
            db.command(args(line)).ok();
        }
    }
}

#[test]
fn every_command_has_a_form_that_is_understood() {
    let db = open();
    let mut seen = Vec::new();
    for form in forms() {
        db.command(["FLUSHALL"]).expect("flushes");
        restore(&db);
        let shown = show(&form);
        if let Some(Err(error)) = run(&mut db.session(), &form) {
            let line = error.reply_line();
            let understood = ["ERR syntax", "ERR unknown", "ERR wrong number"];
            // Containers ask for a subcommand.
            let understood = form.len() == 1 || !understood.iter().any(|bad| line.starts_with(bad));
            assert!(understood, "{shown}: {line}");
        }
        let words = form
            .iter()
            .map(|word| String::from_utf8_lossy(word).to_lowercase());
        seen.push(words.collect::<Vec<_>>().join("|") + "|");
    }
    for info in upkv::commands() {
        let name = format!("{}|", info.name);
        assert!(seen.iter().any(|form| form.starts_with(&name)), "{name}");
    }
}

/// The form with one argument replaced, or cut, or with one more.
fn variations(form: &[Vec<u8>]) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let replaced = (1..form.len()).flat_map(move |at| {
        ODD.iter().map(move |odd| {
            let mut line = form.to_vec();
            line[at] = odd.to_vec();
            line
        })
    });
    let longer = ODD.iter().map(move |odd| [form, &[odd.to_vec()]].concat());
    let doubled = (1..form.len()).map(move |at| [&form[..at], &form[at - 1..]].concat());
    let cut = (1..form.len()).map(move |at| form[..at].to_vec());
    replaced.chain(longer).chain(doubled).chain(cut)
}

#[test]
fn no_argument_of_any_command_breaks_it() {
    let db = open();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut answered, mut refused) = (0_u64, 0_u64);
    // One in so many; a long run tries them all.
    let one_in = (4 / upkv::storage::testing::scaled(1)).max(1);
    for form in forms() {
        for line in variations(&form) {
            if !random.next().is_multiple_of(one_in) {
                continue;
            }
            restore(&db);
            let shown = show(&line);
            // Looking at everything takes longer than all else.
            let before = (random.below(8) == 0).then(|| digest(&db));
            let watch = Watch::start();
            let outcome = run(&mut db.session(), &line);
            let took = watch.elapsed();
            assert!(took < SLOWEST, "{shown}: {took:?}");
            match &outcome {
                Some(Ok(reply)) => {
                    answered += 1;
                    assert_well_formed(reply, &shown);
                }
                Some(Err(error)) => {
                    refused += 1;
                    assert_well_formed(&upkv::Reply::from(error), &shown);
                }
                None => {}
            }
            if let Some(before) = before
                && !matches!(outcome, Some(Ok(_)))
            {
                assert_eq!(
                    digest(&db),
                    before,
                    "refused or waiting, and yet changed: {shown}"
                );
            }
            let peak = peak_kib();
            assert!(
                peak.is_none_or(|peak| peak < PEAK_KIB),
                "{peak:?} KiB: {shown}"
            );
            shrink(&db);
        }
        let audit = db.audit();
        assert!(audit.is_ok(), "{audit:?}: {}", show(&form));
    }
    assert!(
        answered > 1_000 && refused > 5_000,
        "{answered} answered, {refused} refused"
    );
}

/// Removes keys that became large.
fn shrink(db: &Db) {
    for key in db.keys("*") {
        let key = key.expect("memory does not fail");
        if matches!(db.memory_usage(&key), Ok(Some(size)) if size > LARGE) {
            db.delete(&key).expect("memory does not fail");
        }
    }
}
