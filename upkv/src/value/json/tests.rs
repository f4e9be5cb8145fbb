//! Text, codec, changes with undo and replay, paths.

use super::change::{Act, Run, Span};
use super::object::Member;
use super::parse::parse;
use super::path::Path;
use super::select::Matches;
use super::*;

fn json(text: &str) -> Json {
    Json::of_node(parse(text.as_bytes()).expect("a document"))
}

fn show(json: &Json) -> String {
    json.root().to_text()
}

fn encoded(json: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    json.encode(&mut bytes);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Json> {
    Json::decode(Arc::new(Hashers::for_tests()), bytes)
}

fn check(json: &Json) {
    assert_eq!(json.heap, json.root.measure().0, "{}", show(json));
    if let Node::Object(object) = &json.root {
        for (at, (name, _)) in object.iter().enumerate() {
            assert_eq!(object.position(name), Some(at));
        }
        assert_eq!(object.position("missing"), None);
    }
}

#[test]
fn text_comes_back() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "1.0",
        "-0.0",
        "0.00001",
        "1e-6",
        "1.5e300",
        "1e16",
        "123456789012345.6",
        r#""a\"\\\b\f\n\r\t\u0001""#,
        "\"\u{e9}\u{1f600}\"",
        "[]",
        "{}",
        r#"[1,[2,{"b":1,"a":[]}],"x"]"#,
    ] {
        let doc = json(text);
        assert_eq!(show(&doc), text);
        check(&doc);
        let bytes = encoded(&doc);
        assert_eq!(show(&decode(&bytes).expect("own bytes")), text);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_none(), "{text} cut to {cut}");
        }
    }
    for (text, shown) in [
        (" [ 1 , 2 ] ", "[1,2]"),
        (r#""\/\u00e9\ud83d\ude00""#, "\"/\u{e9}\u{1f600}\""),
        ("1E2", "100.0"),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("-0", "-0.0"),
        ("2.50", "2.5"),
        (
            r#"{"a":1,"b":2,"a":3,"c":4,"b":5}"#,
            r#"{"a":3,"b":5,"c":4}"#,
        ),
    ] {
        assert_eq!(show(&json(text)), shown);
    }
}

#[test]
fn malformed_text_is_refused() {
    for (text, error) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("x", "expected value at line 1 column 1"),
        ("nul", "expected ident at line 1 column 1"),
        ("[1,", "EOF while parsing a value at line 1 column 3"),
        ("[1", "EOF while parsing a list at line 1 column 2"),
        ("[1,]", "trailing comma at line 1 column 4"),
        ("[1 2]", "expected `,` or `]` at line 1 column 4"),
        ("{1:2}", "key must be a string at line 1 column 2"),
        ("{\"a\" 2}", "expected `:` at line 1 column 6"),
        ("{\"a\":2", "EOF while parsing an object at line 1 column 6"),
        ("{\"a\":2,}", "trailing comma at line 1 column 8"),
        ("\"a", "EOF while parsing a string at line 1 column 2"),
        ("\"\\x\"", "invalid escape at line 1 column 4"),
        (
            "\"\\ud800\"",
            "lone leading surrogate in hex escape at line 1 column 8",
        ),
        ("01", "invalid number at line 1 column 3"),
        ("1.", "EOF while parsing a value at line 1 column 2"),
        ("-", "EOF while parsing a value at line 1 column 1"),
        ("1e999", "number out of range at line 1 column 5"),
        ("1\n2", "trailing characters at line 2 column 1"),
        ("NaN", "expected value at line 1 column 1"),
    ] {
        let found = parse(text.as_bytes()).map(|node| node.to_text());
        let found = found.expect_err(text).to_string();
        let place = |text: &str| text.split(" at line").next().map(String::from);
        assert_eq!(place(&found), place(&format!("ERR {error}")), "{text}");
        assert!(found.contains(" at line "), "{found}");
    }
    assert!(parse(b"\"\xff\"").is_err());
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(json(&nested(DEPTH_MAX)).root.measure().1, DEPTH_MAX);
    assert!(parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
    assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).expect("small")
    }

    fn node(&mut self, depth: usize) -> Node {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Node::Null,
            1 => Node::Bool(self.below(2) == 0),
            2 => Node::Int(self.0.cast_signed() >> self.below(64)),
            3 => Node::Uint(self.0 | 1 << 63),
            4 => Node::Float([0.5, 0.1, -3.0, 1e300][self.below(4)]),
            5 => Node::Text("\u{e9}x".repeat(self.below(9)).into()),
            6 => {
                let count = self.below(5);
                Node::Array((0..count).map(|_| self.node(depth - 1)).collect())
            }
            _ => {
                let count = self.below(30);
                let members = (0..count).map(|_| self.member(depth - 1)).collect();
                Node::Object(Box::new(Object::of(members).0))
            }
        }
    }

    fn member(&mut self, depth: usize) -> Member {
        Member {
            name: format!("m{}", self.below(200)).into(),
            value: self.node(depth),
        }
    }

    fn change(&mut self, json: &Json) -> Change {
        let mut place = Vec::new();
        let mut node = json.root();
        while node.children() > 0 && self.below(3) > 0 {
            place.push(u32::try_from(self.below(node.children())).expect("small"));
            node = node.child(*place.last().expect("pushed")).expect("a child");
        }
        let len = node.children();
        let at = |random: &mut Self| u32::try_from(random.below(len + 1)).expect("small");
        let act = match (self.below(6), node) {
            (0, Node::Array(_)) => {
                let first = at(self);
                let run = |random: &mut Self, at| Run {
                    at,
                    items: vec![random.node(1), random.node(1)],
                };
                let mut runs = vec![run(self, first)];
                if self.below(2) == 0 {
                    runs.push(run(self, first + 3));
                }
                Act::InsertItems(runs)
            }
            (0..4, Node::Object(_)) => Act::InsertMembers(vec![Run {
                at: at(self),
                items: vec![self.member(1)],
            }]),
            (4, _) => {
                let first = at(self);
                let mut spans = vec![Span {
                    at: first,
                    count: 1,
                }];
                if self.below(2) == 0 {
                    spans.push(Span {
                        at: first + 2,
                        count: 2,
                    });
                }
                Act::Remove(spans)
            }
            (_, Node::Text(text)) if self.below(2) == 0 => {
                Act::Cut(u32::try_from(text.len() / 3 * 3).expect("short"))
            }
            (_, Node::Text(_)) => Act::Append("abc".into()),
            (5, _) if place.is_empty() => Act::Replace(self.node(3)),
            _ => Act::Replace(self.node(2)),
        };
        Change::new(&place, act)
    }
}

#[test]
fn changes_are_undone_replayed_and_stored() {
    let mut random = Random(7);
    let mut doc = json(r#"{"a":[1,2,3],"b":{"c":"text"}}"#);
    let mut copy = json(&show(&doc));
    let mut made = [0_u32; 2];
    for step in 0..20_000 {
        let change = random.change(&doc);
        let before = show(&doc);
        let mut delta = Vec::new();
        change.log(&mut delta);
        let Some(inverse) = doc.apply(change) else {
            made[0] += 1;
            assert_eq!(show(&doc), before);
            assert_eq!(copy.replay(&delta), None);
            assert_eq!(show(&copy), before);
            continue;
        };
        made[1] += 1;
        check(&doc);
        assert_eq!(copy.replay(&delta), Some(()));
        let after = show(&doc);
        assert_eq!(show(&copy), after);
        doc.undo(&inverse);
        check(&doc);
        assert_eq!(show(&doc), before);
        assert_eq!(doc.replay(&delta), Some(()));
        assert_eq!(show(&doc), after);
        if step % 16 == 0 {
            let bytes = encoded(&doc);
            let back = decode(&bytes).expect("own bytes");
            check(&back);
            assert_eq!(show(&back), after);
            for _ in 0..20 {
                let mut damaged = bytes.clone();
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
                if let Some(read) = decode(&damaged) {
                    check(&read);
                }
                let at = random.below(delta.len());
                delta[at] ^= 1 << random.below(8);
                let mut target = decode(&bytes).expect("own bytes");
                let _ = target.replay(&delta);
                check(&target);
            }
        }
        if doc.memory() > 60_000 {
            (doc, copy) = (json("[{}]"), json("[{}]"));
        }
    }
    assert!(made.iter().all(|count| *count > 1_000), "{made:?}");
}

#[test]
fn a_document_never_becomes_too_deep() {
    let mut doc = json(&("[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX)));
    let place = vec![0; DEPTH_MAX - 1];
    let insert = |node| {
        let items = vec![node];
        Act::InsertItems(vec![Run { at: 0, items }])
    };
    let deeper = Change::new(&place, insert(Node::Array(Vec::new())));
    assert!(deeper.adds().1 > DEPTH_MAX);
    assert!(doc.apply(deeper).is_none());
    assert!(doc.apply(Change::new(&place, insert(Node::Null))).is_some());
    let mut bytes = [8, 1].repeat(DEPTH_MAX + 1);
    bytes.push(0);
    assert!(decode(&bytes).is_none());
    assert!(decode(&bytes[2..]).is_some());
}

fn matches(doc: &str, path: &str) -> String {
    let doc = json(doc);
    let path = Path::parse(path.as_bytes()).expect("a path");
    let found = Matches::of(doc.root(), &path).expect("cheap");
    for (node, place) in found.nodes().zip(found.places()) {
        assert!(std::ptr::eq(node, doc.at(&place).expect("a place")));
    }
    let texts: Vec<String> = found.nodes().map(Node::to_text).collect();
    texts.join(" ")
}

#[test]
fn paths_match() {
    let doc =
        r#"{"a":1,"n":{"a":3,"l":[10,20,30,40]},"x y":[{"p":1,"t":"q"},{"p":2.5},{"p":"z"}]}"#;
    for (path, expected) in [
        ("$..a", "3 1"),
        ("..a", "3"),
        ("$.n.l[0]", "10"),
        ("$.n.l[-1]", "40"),
        ("$.n.l[4]", ""),
        ("$.n.l[1:3]", "20 30"),
        ("$.n.l[::2]", "10 30"),
        ("$.n.l[::-1]", "40 30 20 10"),
        ("$.n.l[-2:]", "30 40"),
        ("$.n.l[3,0,3]", "40 10"),
        ("$.n.l[9223372036854775807]", ""),
        (
            "$.n.l[-9223372036854775808:9223372036854775807:9223372036854775807]",
            "10",
        ),
        ("$['x y'][0].p", "1"),
        ("$[\"a\",'n'].a", "3"),
        (".n.a", "3"),
        ("n.a", "3"),
        ("[\"n\"].a", "3"),
        ("$.n.*", "3 [10,20,30,40]"),
        ("$..[1]", "20 {\"p\":2.5}"),
        ("$..l[*]", "10 20 30 40"),
        ("$['x y'][?(@.p > 1)].p", "2.5"),
        ("$['x y'][?(@.p==1 && @.t=='q' || @.p=='z')].p", "1 \"z\""),
        ("$['x y'][?@.t].p", "1"),
        ("$['x y'][?(!@.t)].p", "2.5 \"z\""),
        ("$['x y'][?(@.t != 'q')].p", "2.5 \"z\""),
        ("$['x y'][?(@.p == $.a)].p", "1"),
        ("$['x y'][?(@..p <= 2.5)].p", "1 2.5"),
        ("$.n.l[?(@>=20&&@<40)]", "20 30"),
        ("$", &json(doc).root.to_text()),
    ] {
        assert_eq!(matches(doc, path), expected, "{path}");
    }
    assert_eq!(matches("[[1],[2]]", "$..*"), "1 2 [1] [2]");
    assert_eq!(
        matches("[9007199254740993]", "$[?(@==9007199254740992.0)]"),
        ""
    );
    for path in [
        "$.", "$[", "$[1", "$['a]", "$.a b", "$[?(@.a]", "$[?(1)]", "$[::0]", "$..", "$[x]", "$.a]",
    ] {
        assert!(Path::parse(path.as_bytes()).is_err(), "{path}");
    }
    assert!(Path::parse(b"$.\xff").is_err());
    let nested = "$".to_owned() + &"[?(@".repeat(1_000);
    assert!(Path::parse(nested.as_bytes()).is_err());
    assert!(Path::parse("$".repeat(1 << 20).as_bytes()).is_ok());
    assert!(Path::parse(("$".to_owned() + &".a".repeat(2_000)).as_bytes()).is_err());
}

#[test]
fn hostile_paths_end() {
    let deep = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
    let wide = format!("[{}]", vec!["[1,2]"; 2_000].join(","));
    for doc in [&deep, &wide] {
        let path = "$".to_owned() + &"..*".repeat(300);
        matches(doc, &path);
        matches(doc, &("$".to_owned() + &"[0,0,*]".repeat(200)));
    }
    let filter = "$..[?($..[?($..[?($..* == 3)])])]";
    let path = Path::parse(filter.as_bytes()).expect("a path");
    let error = Matches::of(json(&wide).root(), &path).expect_err("too much work");
    assert!(error.to_string().contains("too long"));
}
