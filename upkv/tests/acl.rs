//! Users: categories as Redis has them, rules there and back, sessions under changing rights, stores and tokens.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use common::{Random, Redis, Resp, split};
use upkv::{AclStore, Connection, Db, Reply, Session, Store, commands};

fn db() -> Db {
    Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
}

fn line(session: &mut Session, line: &str) -> Result<Reply, String> {
    session
        .command(line.split(' '))
        .map_err(|error| error.to_string())
}

fn words(reply: Reply) -> Vec<String> {
    let Reply::Array(items) = reply else {
        panic!("not a list: {reply:?}");
    };
    let word = |item| match item {
        Reply::Bulk(word) => String::from_utf8_lossy(&word).into_owned(),
        other => panic!("not a word: {other:?}"),
    };
    items.into_iter().map(word).collect()
}

/// `tests/acl/categories.txt` is what a server of version 7.0 answers to `ACL CAT` for each category.
#[test]
fn commands_are_in_the_categories_of_redis() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/acl/categories.txt");
    let text = std::fs::read_to_string(path).expect("text");
    let theirs: BTreeMap<&str, BTreeSet<&str>> = text
        .lines()
        .map(|line| {
            let (category, names) = line.split_once(':').expect("a category");
            (category, names.split_whitespace().collect())
        })
        .collect();
    let known: BTreeSet<&str> = theirs.values().flatten().copied().collect();
    let ours: BTreeSet<&str> = commands().map(|info| info.name).collect();
    let mut session = db().session();
    let mut wrong = Vec::new();
    for (category, theirs) in &theirs {
        let found = words(line(&mut session, &format!("ACL CAT {category}")).expect("a category"));
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        let has: BTreeSet<&str> = found.intersection(&known).copied().collect();
        let mut wanted: BTreeSet<&str> = theirs.intersection(&ours).copied().collect();
        if *category == "blocking" {
            // Since 7.2.
            wanted.insert("wait");
        }
        let missing: Vec<_> = wanted.difference(&has).collect();
        let extra: Vec<_> = has.difference(&wanted).collect();
        if missing.len() + extra.len() > 0 {
            wrong.push(format!(
                "@{category}: lacks {missing:?}, should not have {extra:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rules at random, also ones that are refused.
fn rules(random: &mut Random) -> Vec<String> {
    const RULES: [&str; 47] = [
        "on",
        "off",
        "nopass",
        "resetpass",
        ">one",
        ">two",
        "<one",
        "+@all",
        "-@all",
        "+@read",
        "-@read",
        "+@hash",
        "-@slow",
        "+get",
        "-get",
        "+config",
        "-config",
        "+config|get",
        "-config|get",
        "+select|0",
        "+select|1",
        "-select",
        "+SET",
        "~a*",
        "~b?",
        "%R~a*",
        "%W~c",
        "%RW~d",
        "allkeys",
        "resetkeys",
        "&x*",
        "&y",
        "allchannels",
        "resetchannels",
        "sanitize-payload",
        "skip-sanitize-payload",
        "clearselectors",
        "reset",
        "(+set ~z)",
        "(%R~a +@all -get &q)",
        "()",
        "nonsense",
        "+nonsense",
        "(+nonsense)",
        "(~a))",
        "~x)",
        "&(y",
    ];
    let count = random.below(6);
    let rule = |_| RULES[random.below(RULES.len())].to_owned();
    (0..count).map(rule).collect()
}

#[test]
fn lines_read_again_give_the_same_users() {
    let mut random = Random(7);
    let (db, other) = (db(), db());
    let probes = [
        "GET a1",
        "SET a1 x",
        "SET z x",
        "GET z",
        "SET c x",
        "GET c",
        "DEL bx",
        "COPY a1 c",
        "SELECT 0",
        "SELECT 1",
        "SELECT 2",
        "CONFIG GET x",
        "CONFIG SET x y",
        "CONFIG RESETSTAT",
        "PUBLISH x1 m",
        "PUBLISH q m",
        "HSET b1 f v",
        "HGETALL b1",
        "PSUBSCRIBE x*",
        "FLUSHALL",
        "KEYS *",
    ];
    let dry_run =
        |db: &Db, probe: &str| line(&mut db.session(), &format!("ACL DRYRUN ada {probe}"));
    let mut allowed = 0;
    for _ in 0..2_000 {
        let rules = rules(&mut random);
        let before = db.acl().lines();
        if db.acl().set_user("ada", &rules).is_err() {
            assert_eq!(
                db.acl().lines(),
                before,
                "a refused change changes nothing: {rules:?}"
            );
            continue;
        }
        let lines = db.acl().lines();
        other
            .acl()
            .load(&lines.join("\n"))
            .expect("lines that were told");
        assert_eq!(other.acl().lines(), lines);
        for probe in probes {
            let (here, there) = (dry_run(&db, probe), dry_run(&other, probe));
            assert_eq!(here, there, "{probe} of {lines:?}");
            allowed += usize::from(here == Ok(Reply::Status("OK")));
        }
    }
    assert!(allowed > 1_000, "{allowed}: most users may do nothing");
}

#[derive(Debug, Default)]
struct Kept(Mutex<Option<String>>);

impl AclStore for Kept {
    fn load(&self) -> io::Result<String> {
        let text = self.0.lock().expect("no panic").clone();
        text.ok_or_else(|| io::Error::other("the disk is gone"))
    }

    fn save(&self, text: &str) -> io::Result<()> {
        *self.0.lock().expect("no panic") = Some(text.into());
        Ok(())
    }
}

#[test]
fn users_are_saved_and_loaded_where_the_host_says() {
    let db = db();
    let kept = Arc::new(Kept::default());
    let mut session = db.session();
    let refused = line(&mut session, "ACL SAVE").expect_err("no store");
    assert!(
        refused.starts_with("ERR This Redis instance is not configured to use an ACL file."),
        "{refused}"
    );
    db.acl().set_store(Some(kept.clone()));
    let refused = line(&mut session, "ACL LOAD").expect_err("nothing there");
    assert_eq!(
        refused,
        "ERR Error loading ACLs, opening file: the disk is gone"
    );
    for user in ["ada", "bob", "cleo"] {
        db.acl()
            .set_user(user, ["on", "nopass", "+@all", "~*"])
            .expect("rules");
    }
    line(&mut session, "ACL SAVE").expect("saved");
    let saved = kept.load().expect("saved");
    assert_eq!(saved.lines().count(), 4);
    assert_eq!(saved.lines().collect::<Vec<_>>(), db.acl().lines());

    let mut sessions: Vec<Session> = ["ada", "bob", "cleo"]
        .into_iter()
        .map(|user| {
            let mut session = db.session();
            session
                .log_in(user, "anything")
                .expect("no password is needed");
            session
        })
        .collect();
    // Bob is the same, ada is gone, cleo changes.
    let text = saved
        .replace("user ada ", "# user ada ")
        .replace("user cleo on", "user cleo off");
    kept.save(&text).expect("kept");
    line(&mut session, "ACL LOAD").expect("loaded");
    let closing: Vec<bool> = sessions.iter().map(Session::is_closing).collect();
    assert_eq!(closing, [true, false, true]);
    assert_eq!(line(&mut sessions[1], "GET a"), Ok(Reply::Null));
    let closed = Err("ERR the connection is closed".to_owned());
    assert_eq!(line(&mut sessions[0], "GET a"), closed);

    let lines = db.acl().lines();
    for (text, why) in [
        ("user a\nuser a", "line 2: user 'a' twice."),
        (
            "\nnonsense",
            "line 2: should start with user keyword followed by the username.",
        ),
        (
            "user a +nonsense",
            "line 1: Error in ACL SETUSER modifier '+nonsense': Unknown command or category name in ACL.",
        ),
        (
            "user a (~x",
            "line 1: Unmatched parenthesis in acl selector starting at '(~x'.",
        ),
    ] {
        kept.save(text).expect("kept");
        let refused = line(&mut session, "ACL LOAD").expect_err(text);
        assert!(
            refused.starts_with(&format!("ERR {why} WARNING: ACL errors detected")),
            "{refused}"
        );
        assert_eq!(db.acl().lines(), lines, "nothing changed");
    }
}

#[test]
fn tokens_are_made_and_end_with_the_password() {
    let db = db();
    let mut admin = db.session();
    let bulk = |reply: Result<Reply, String>| match reply.expect("a token") {
        Reply::Bulk(text) => String::from_utf8(text.to_vec()).expect("text"),
        other => panic!("not a text: {other:?}"),
    };
    let made = bulk(line(&mut admin, "ACL GENTOKEN ada"));
    assert_ne!(made, bulk(line(&mut admin, "ACL GENTOKEN ada")));
    let chosen = bulk(line(&mut admin, "ACL GENTOKEN ada a-secret-of-some-length"));
    let weak = line(&mut admin, "ACL GENTOKEN ada hunter2").expect_err("weak");
    assert!(weak.starts_with("ERR the password is too weak"), "{weak}");
    assert_eq!(
        db.acl().authenticate(&made),
        None,
        "there is no such user yet"
    );
    let rules = [
        "on",
        &format!(">{made}"),
        &format!(">{chosen}"),
        "~*",
        "+@all",
        "-flushall",
    ];
    db.acl().set_user("ada", rules).expect("rules");
    for token in [&made, &chosen] {
        assert_eq!(db.acl().authenticate(token).as_deref(), Some("ada"));
        let password = format!("AUTH ada {token}");
        line(&mut db.session(), &password).expect("a token is a password");
        assert_eq!(
            bulk(line(&mut admin, &format!("ACL RESTTOKEN ada {token}"))),
            **token
        );
    }
    db.acl()
        .set_user("bob", ["on", ">hunter2", "~*", "+get"])
        .expect("rules");
    let token = bulk(line(&mut admin, "ACL RESTTOKEN bob hunter2"));
    assert_eq!(db.acl().token("bob", "hunter2").expect("a token"), token);
    let mut bearer = db.session();
    bearer.log_in_with_token(&token).expect("a token");
    assert_eq!(bearer.user(), Some("bob"));
    line(&mut bearer, "GET a").expect("a right");
    let refused = line(&mut bearer, "SET a b").expect_err("no right");
    assert_eq!(
        refused,
        "NOPERM User bob has no permissions to run the 'set' command"
    );

    for (user, password) in [("bob", "hunter3"), ("nobody", "hunter2"), ("default", "x")] {
        let refused =
            line(&mut admin, &format!("ACL RESTTOKEN {user} {password}")).expect_err("no token");
        assert_eq!(
            refused,
            format!("ERR Wrong password or user \"{user}\" does not exist")
        );
    }
    db.acl().set_user("bob", ["<hunter2"]).expect("rules");
    assert!(db.session().log_in_with_token(&token).is_err());
    for forged in ["", "AQNib2I", "AQdkZWZhdWx0eA", "x"] {
        assert_eq!(db.acl().authenticate(forged), None, "{forged}");
    }
}

#[test]
fn a_password_of_the_default_user_holds_for_new_connections() {
    let db = db();
    let mut before = db.session();
    line(&mut before, "CONFIG SET requirepass secret").expect("set");
    line(&mut before, "GET a").expect("logged in before");
    let mut after = Connection::new(db.session());
    let output = after.output();
    let mut ask = |line: &str| {
        after.feed(format!("{line}\r\n").as_bytes());
        String::from_utf8(output.take()).expect("text")
    };
    assert_eq!(ask("GET a"), "-NOAUTH Authentication required.\r\n");
    assert!(
        ask("HELLO 3")
            .starts_with("-NOAUTH HELLO must be called with the client already authenticated")
    );
    assert!(ask("AUTH wrong").starts_with("-WRONGPASS "));
    assert!(ask("HELLO 3 AUTH default secret").starts_with("%7\r\n"));
    assert_eq!(ask("GET a"), "_\r\n");
    assert_eq!(ask("RESET"), "+RESET\r\n");
    assert_eq!(ask("GET a"), "-NOAUTH Authentication required.\r\n");
    line(&mut before, "CONFIG SET requirepass \u{e9}").expect("set");
    assert!(ask("AUTH secret").starts_with("-WRONGPASS "));
    assert_eq!(ask("AUTH \u{e9}"), "+OK\r\n");
    assert_eq!(ask("RESET"), "+RESET\r\n");
    db.acl().set_default_password("");
    assert_eq!(ask("GET a"), "$-1\r\n");
    assert!(
        ask("AUTH x").starts_with("-ERR AUTH <password> called without any password configured")
    );
}

/// One entry of the log as `reason context object user count`, in RESP2's flat form.
fn log(session: &mut Session) -> Vec<String> {
    let Ok(Reply::Array(entries)) = line(session, "ACL LOG 100") else {
        panic!("not a list");
    };
    let show = |reply: &Reply| match reply {
        Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        Reply::Int(number) => number.to_string(),
        other => panic!("neither text nor number: {other:?}"),
    };
    let shown = entries.iter().map(|entry| {
        let Reply::Map(pairs) = entry else {
            panic!("not a map: {entry:?}");
        };
        let find = |name: &str| {
            let found = pairs.iter().find(|(key, _)| show(key) == name);
            show(&found.expect(name).1)
        };
        assert!(find("client-info").starts_with("id="));
        assert!(find("timestamp-created") <= find("timestamp-last-updated"));
        ["reason", "context", "object", "username", "count"]
            .map(find)
            .join(" ")
    });
    shown.collect()
}

#[test]
fn refusals_are_logged_with_their_context() {
    let db = db();
    db.acl()
        .set_user("ada", ["on", ">x", "~a*", "&n*", "+@all", "-get"])
        .expect("rules");
    let (mut admin, mut ada) = (db.session(), db.session());
    for line_of_ada in [
        "AUTH ada wrong",
        "auth nobody x",
        "AUTH ada x",
        "GET a",
        "GET a",
        "SET b x",
        "PUBLISH other m",
        "MULTI",
        "APPEND a x",
        "GET a",
        "EXEC",
        "MULTI",
        "APPEND a x",
        "EXEC",
    ] {
        let _ = line(&mut ada, line_of_ada);
    }
    // What was queued is refused as soon as the right is gone, once, however often the transaction starts over.
    line(&mut ada, "MULTI").expect("starts");
    line(&mut ada, "APPEND a x").expect("queued");
    line(&mut ada, "STRLEN a").expect("queued");
    db.acl().set_user("ada", ["-append"]).expect("rules");
    let Ok(Reply::Array(replies)) = line(&mut ada, "EXEC") else {
        panic!("EXEC runs the rest");
    };
    assert_eq!(
        replies,
        [
            Reply::Error("NOPERM User ada has no permissions to run the 'append' command".into()),
            Reply::Int(1)
        ]
    );
    let expected = [
        "command multi append ada 1",
        "command multi get ada 1",
        "channel toplevel other ada 1",
        "key toplevel b ada 1",
        "command toplevel get ada 2",
        "auth toplevel auth nobody 1",
        "auth toplevel AUTH ada 1",
    ];
    assert_eq!(log(&mut admin), expected);
    line(&mut admin, "CONFIG SET acllog-max-len 2").expect("set");
    assert!(line(&mut ada, "GET a").is_err());
    assert_eq!(
        log(&mut admin),
        ["command toplevel get ada 3", "command multi append ada 1"]
    );
    line(&mut admin, "ACL LOG RESET").expect("reset");
    assert!(log(&mut admin).is_empty());
}

#[test]
fn rights_change_with_the_next_command_and_end_with_the_user() {
    let db = db();
    let mut ada = db.session();
    db.acl()
        .set_user("ada", ["on", "nopass", "~*", "+@all"])
        .expect("rules");
    ada.log_in("ada", "").expect("no password is needed");
    line(&mut ada, "SET a 1").expect("a right");
    db.acl()
        .set_user("ada", ["%R~a"])
        .expect_err("after all keys");
    db.acl()
        .set_user("ada", ["resetkeys", "%R~a"])
        .expect("rules");
    line(&mut ada, "GET a").expect("a right");
    assert!(line(&mut ada, "SET a 2").is_err());
    assert!(line(&mut ada, "GETDEL a").is_err());
    assert!(
        line(&mut ada, "ACL SETUSER ada +get").is_ok(),
        "no key is in it"
    );
    assert_eq!(line(&mut ada, "ACL DELUSER ada"), Ok(Reply::Int(1)));
    assert!(ada.is_closing());
    assert!(line(&mut ada, "GET a").is_err());
    let refused = db
        .acl()
        .delete_user("default")
        .expect_err("is always there");
    assert_eq!(
        refused.to_string(),
        "ERR The 'default' user cannot be removed"
    );
    // Who restricts the default user restricts those who did not log in.
    let mut session = db.session();
    db.acl()
        .set_user("default", ["-@dangerous"])
        .expect("rules");
    assert!(line(&mut session, "KEYS *").is_err());
    db.acl().set_user("default", ["off"]).expect("rules");
    line(&mut session, "GET a").expect("it was let in before");
    let refused = line(&mut db.session(), "GET a").expect_err("not let in");
    assert_eq!(refused, "NOAUTH Authentication required.");
}

/// Which users may run which recorded commands, compared with a server if there is one.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one table of users and one comparison"
)]
fn rights_to_recorded_commands_are_those_of_redis() {
    let Some(mut redis) = Redis::start("acl") else {
        return;
    };
    let users: [(&str, &[&str]); 8] = [
        ("reader", &["+@all", "%R~*", "resetchannels"]),
        ("writer", &["+@all", "%W~*", "&*"]),
        ("any", &["+@all", "~?", "~k*", "&n*"]),
        (
            "mixed",
            &["+@all", "%R~a*", "%W~b*", "%R~k*", "~h*", "%W~z*", "%RW~s*"],
        ),
        ("reads", &["+@read", "~*"]),
        ("writes", &["+@write", "-@hash", "+@fast", "~*", "&*"]),
        ("fast", &["+@all", "-@slow", "~*", "&*"]),
        (
            "several",
            &[
                "+@string",
                "~a*",
                "(+@hash ~h*)",
                "(%R~* +@all)",
                "(%W~b* +@write)",
            ],
        ),
    ];
    let db = db();
    for (name, rules) in users {
        db.acl().set_user(name, rules).expect("rules");
        let mut command = vec!["ACL", "SETUSER", name];
        command.extend(rules);
        redis.command(&command);
    }
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/commands");
    let mut lines = BTreeSet::new();
    for file in std::fs::read_dir(&dir).expect("the folder exists") {
        let text = std::fs::read_to_string(file.expect("listed").path()).expect("text");
        let commands = text.lines().filter_map(|line| line.split_once("> "));
        let commands = commands.filter(|(mark, _)| matches!(*mark, "" | "~" | "!"));
        lines.extend(commands.map(|(_, command)| command.to_owned()));
    }
    let mut session = db.session();
    let (mut allowed, mut refused, mut wrong) = (0, 0, Vec::new());
    for line in lines {
        let words = split(&line);
        // Up to 7.0 no pattern but an empty one matches an empty key.
        if words.is_empty() || words.iter().any(Vec::is_empty) {
            continue;
        }
        // Where keys cannot be found a server looks at none; the command fails then.
        let mut keys: Vec<Vec<u8>> = ["COMMAND", "GETKEYS"].map(Into::into).to_vec();
        keys.extend(words.iter().cloned());
        let keys = redis.command(&keys).show();
        if keys.starts_with("(error) ERR Invalid arguments") {
            continue;
        }
        for (name, _) in users {
            let mut command: Vec<Vec<u8>> = ["ACL", "DRYRUN", name].map(Into::into).to_vec();
            command.extend(words.iter().cloned());
            let ours = Resp::of(session.command(&command)).show();
            let theirs = redis.command(&command).show();
            if ours.starts_with("(error)") || theirs.starts_with("(error)") {
                // Unknown to one of them, or malformed.
                continue;
            }
            if (ours == "OK") != (theirs == "OK") {
                wrong.push(format!("{name}: {line}: {ours}, {theirs}"));
            }
            *(if ours == "OK" {
                &mut allowed
            } else {
                &mut refused
            }) += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(allowed > 1_000 && refused > 1_000, "{allowed} {refused}");
}
