//! Documents through the typed door, in transactions, across reopening, and with hostile arguments.

use upkv::{Db, Error, Reply, Store};

fn db() -> Db {
    Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
}

#[test]
fn the_view_does_what_the_commands_do() -> Result<(), Error> {
    let db = db();
    let doc = db.json("doc");
    assert_eq!(doc.get("$")?, None);
    assert_eq!(doc.kinds("$")?, Vec::<&str>::new());
    assert_eq!(doc.remove("$")?, 0);
    assert!(!doc.set_if_present("$", "1")?);
    assert!(doc.set_if_absent("$", r#"{"a":1,"n":{"a":"x"},"l":[1,2,3],"t":true}"#)?);
    assert!(!doc.set_if_absent("$", "1")?);
    assert!(doc.set_if_present("$.a", "2")?);
    assert_eq!(doc.get("$..a")?.as_deref(), Some(r#"["x",2]"#));
    assert_eq!(doc.get("a")?.as_deref(), Some("2"));
    assert_eq!(doc.get("missing")?, None);
    assert_eq!(doc.get("$.missing")?.as_deref(), Some("[]"));
    assert_eq!(doc.kinds("$..a")?, ["string", "integer"]);
    assert_eq!(doc.lens("$.*")?, [None, Some(1), Some(3), None]);
    assert_eq!(doc.names("$.n")?, [Some(vec!["a".to_string()])]);
    assert_eq!(doc.incr("$..a", "0.5")?, [None, Some("2.5".to_string())]);
    assert_eq!(doc.multiply("a", "2")?, [Some("5.0".to_string())]);
    assert_eq!(doc.append("$.n.a", "\"y")?, [Some(3)]);
    assert_eq!(doc.toggle("$.t")?, [Some(false)]);
    assert_eq!(doc.push("$.l", ["4", "null"])?, [Some(5)]);
    assert_eq!(doc.insert("$.l", -1, ["5"])?, [Some(6)]);
    assert_eq!(doc.index_of("$.l", "5")?, [Some(Some(4))]);
    assert_eq!(doc.index_of("$.*", "9")?, [None, None, Some(None), None]);
    assert_eq!(doc.pop("$.l", 0)?, [Some("1".to_string())]);
    assert_eq!(doc.trim("$.l", 1, 2)?, [Some(2)]);
    assert_eq!(doc.clear("$.n")?, 1);
    doc.merge("$", r#"{"t":null,"m":[{}]}"#)?;
    assert_eq!(
        doc.get(".")?.as_deref(),
        Some(r#"{"a":5.0,"n":{},"l":[3,4],"m":[{}]}"#)
    );
    assert_eq!(doc.remove("$.l[*]")?, 2);
    assert_eq!(doc.remove("$")?, 1);
    assert!(!db.exists("doc")?);
    assert!(matches!(doc.incr("$", "1"), Err(Error::Refused(_))));
    assert!(matches!(doc.set("$.", "1"), Err(Error::Refused(_))));
    assert!(matches!(doc.set("$", "{"), Err(Error::Refused(_))));
    db.set("text", "x")?;
    assert!(matches!(db.json("text").get("$"), Err(Error::WrongType)));
    assert!(matches!(
        db.json("text").set("$", "1"),
        Err(Error::WrongType)
    ));
    Ok(())
}

#[test]
fn a_transaction_takes_changes_back() -> Result<(), Error> {
    let db = db();
    let text = r#"{"l":[1,2,3,4,5],"t":"x","o":{"a":1,"b":2,"c":3}}"#;
    db.json("doc").set("$", text)?;
    let outcome: Result<(), Error> = db.transaction(|tx| {
        let doc = tx.json("doc");
        doc.remove("$.l[::2]")?;
        doc.append("$.t", "yz")?;
        doc.merge("$.o", r#"{"b":null,"d":4}"#)?;
        doc.set("$.o.a", "[]")?;
        doc.push("$.o.a", ["{}"])?;
        assert_eq!(
            doc.get(".")?.as_deref(),
            Some(r#"{"l":[2,4],"t":"xyz","o":{"a":[{}],"c":3,"d":4}}"#)
        );
        tx.abort("on purpose")
    });
    assert!(matches!(outcome, Err(Error::Aborted(_))));
    assert_eq!(db.json("doc").get(".")?.as_deref(), Some(text));
    Ok(())
}

#[test]
fn a_refused_command_changes_nothing() -> Result<(), Error> {
    let db = db();
    let text = r#"{"a":[9223372036854775807,18446744073709551615],"b":[[1],[1,2,3]]}"#;
    db.json("doc").set("$", text)?;
    let deep = "[".repeat(128) + &"]".repeat(128);
    for args in [
        &["JSON.NUMINCRBY", "doc", "$.a[*]", "1"][..],
        &["JSON.NUMMULTBY", "doc", "$.a[*]", "1e300"],
        &["JSON.ARRINSERT", "doc", "$.b[*]", "2", "0"],
        &["JSON.SET", "doc", "$.a[0]", &deep],
        &["JSON.SET", "doc", "$.new", &deep],
        &["JSON.ARRAPPEND", "doc", "$.a", &deep],
        &["JSON.MERGE", "doc", "$.b", &deep],
        &["JSON.MSET", "doc", "$.a", "1", "doc", "$.a.b", "1"],
    ] {
        let outcome = db.command(args);
        assert!(outcome.is_err(), "{args:?}");
        assert_eq!(db.json("doc").get(".")?.as_deref(), Some(text), "{args:?}");
    }
    Ok(())
}

#[test]
fn copies_that_would_fill_memory_are_refused() -> Result<(), Error> {
    let db = db();
    let list = format!("[{}]", vec!["0"; 20_000].join(","));
    db.json("doc").set("$", &list)?;
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    for args in [
        ["JSON.SET", "doc", "$[*]", &large],
        ["JSON.MERGE", "doc", "$[*]", &large],
    ] {
        assert!(matches!(db.command(args), Err(Error::TooLarge)));
    }
    let indent = "x".repeat(1 << 20);
    let get = ["JSON.GET", "doc", "INDENT", &indent];
    assert!(matches!(db.command(get), Err(Error::TooLarge)));
    assert_eq!(db.json("doc").get(".")?, Some(list));
    Ok(())
}

/// Arguments of all kinds.
const WORDS: [&str; 34] = [
    "$",
    ".",
    "",
    "$..a",
    "$.a",
    "a",
    "$.a[0]",
    "$..*",
    "$[*]",
    "$[::-1]",
    "$[-1,0]",
    "$[?(@.a>0)]",
    "$.l",
    "$..l",
    "$[",
    "0",
    "-1",
    "1",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483648",
    "4294967296",
    "536870913",
    "1e308",
    "\"x\"",
    "[]",
    "[1,[2]]",
    "{\"a\":1}",
    "{\"a\":null,\"l\":[1,2,{\"a\":[]}]}",
    "null",
    "true",
    "NX",
    "\u{0}",
];

#[test]
fn any_arguments_are_answered() {
    let db = db();
    let commands: Vec<_> = upkv::commands()
        .filter(|info| info.group == "json")
        .collect();
    assert_eq!(commands.len(), 26);
    let mut state = 11_u64;
    let mut below = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % limit as u64).expect("small")
    };
    let mut answered = 0;
    for _ in 0..60_000 {
        let info = &commands[below(commands.len())];
        let mut args: Vec<&str> = info.name.split('|').collect();
        args.push(["k1", "k2", "k3"][below(3)]);
        for _ in 0..below(5) {
            args.push(WORDS[below(WORDS.len())]);
        }
        let before = db.json("k1").get(".").expect("a document or nothing");
        match db.command(&args) {
            Ok(_) => answered += 1,
            Err(error) => {
                assert!(error.to_string().contains(' '), "{args:?}: {error}");
                let after = db.json("k1").get(".").expect("a document or nothing");
                assert_eq!(after, before, "{args:?}");
            }
        }
        if below(200) == 0 {
            db.audit().expect("memory is counted right");
            db.command(["JSON.SET", "k1", "$", WORDS[29]]).expect("set");
        }
    }
    assert!(answered > 8_000, "{answered}");
}

#[test]
fn debug_help_lists_subcommands() {
    let Reply::Array(lines) = db().command(["JSON.DEBUG", "HELP"]).expect("known") else {
        panic!("help is a list");
    };
    assert!(
        lines
            .iter()
            .any(|line| matches!(line, Reply::Status(text) if text.starts_with("MEMORY")))
    );
}
