//! The language by examples, and against the same meaning computed in other ways.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::glob::Glob;
use super::*;

fn metadata(value: Value) -> Metadata {
    Metadata::try_from(value).unwrap()
}

fn meets(filter: &str, value: &Metadata) -> bool {
    Filter::parse(filter)
        .unwrap_or_else(|error| panic!("{filter}: {error}"))
        .matches(Some(value))
}

fn city() -> Metadata {
    metadata(json!({
        "name": "It's Istanbul",
        "population": 15_460_000,
        "area": 2_576.5,
        "capital": false,
        "big": u64::MAX,
        "low": i64::MIN,
        "nothing": null,
        "economy": {"currency": "TRY", "sectors": ["tourism", 1, true, {"a": [7]}]},
        "content-type": "a/b",
        "empty": [],
    }))
}

#[test]
fn predicates_that_hold() {
    let city = city();
    for filter in [
        "name = 'It''s Istanbul'",
        "name = \"It's Istanbul\"",
        "population = 15460000.0",
        "population=1.546e7",
        "population = +15460000",
        "area > 2576 AND area < 2577 AND area >= 2576.5 AND area <= 2576.5",
        "low < -9223372036854775807 AND low = -9223372036854775808",
        "big > 18446744073709551614 AND big = 18446744073709551615 AND big < 1.8446744073709552e19",
        "capital = false AND capital = 0 AND capital != true AND capital != 1",
        "capital = FALSE and capital in (3, 0.0)",
        "economy.sectors[2] = 1",
        "name GLOB '*Ist?nb[a-u]l' AND name NOT GLOB '*x' AND name glob 'It''s*'",
        "economy.currency IN ('USD', 'TRY') AND economy.currency NOT IN ('USD', 1)",
        "population NOT IN (1, 2, 'x', true)",
        "economy.sectors CONTAINS 'tourism' AND economy.sectors CONTAINS 1",
        "economy.sectors CONTAINS true AND economy.sectors NOT CONTAINS 'steel'",
        "economy.sectors[#-1].a[#-1] = 7 and economy.sectors[3].a[0] = 7",
        "HAS FIELD nothing AND has not field nothing.x AND HAS FIELD economy.sectors[0]",
        "HAS NOT FIELD economy.sectors[4] AND HAS NOT FIELD economy.sectors[#-5]",
        "content-type = 'a/b'",
        "(((name = 'x') OR capital = 0))",
        "name = 'x' AND capital = 1 OR population > 1",
    ] {
        assert!(meets(filter, &city), "{filter}");
    }
}

#[test]
fn predicates_that_do_not_hold() {
    let city = city();
    for filter in [
        "name = 'it''s istanbul'",
        "Name = 'It''s Istanbul'",
        "population = '15460000'",
        "capital = 2",
        "capital < 1",
        "name > 1",
        "population > 'a'",
        "capital >= false",
        "area = true",
        "economy.sectors[1] = true",
        "name GLOB 'Istanbul'",
        "population GLOB '*'",
        "economy.currency IN ('USD', 'try')",
        "economy.sectors IN ('tourism')",
        "economy CONTAINS 'currency'",
        "name CONTAINS 'I'",
        "empty CONTAINS 1",
        "nothing = 0",
        "nothing = false",
        "HAS NOT FIELD nothing",
        "HAS FIELD economy.sectors[4]",
        "name = 'x' AND (capital = 1 OR population > 1)",
    ] {
        assert!(!meets(filter, &city), "{filter}");
    }
}

/// The rule for paths that lead nowhere and for types that an operator does not cover.
#[test]
fn absence_and_foreign_types() {
    let record = metadata(json!({"object": {}, "array": [], "null": null, "number": 1}));
    let forms = [
        ("= 'x'", "!= 'x'"),
        ("GLOB '*'", "NOT GLOB '*'"),
        ("IN ('x')", "NOT IN ('x')"),
        ("CONTAINS 'x'", "NOT CONTAINS 'x'"),
    ];
    for (plain, negated) in forms {
        for path in ["object", "null", "number", "array"] {
            assert!(
                !meets(&format!("{path} {plain}"), &record),
                "{path} {plain}"
            );
            assert!(
                meets(&format!("{path} {negated}"), &record),
                "{path} {negated}"
            );
        }
        for form in [plain, negated] {
            for path in ["absent", "object.x", "array[0]", "number.x", "number[0]"] {
                assert!(!meets(&format!("{path} {form}"), &record), "{path} {form}");
            }
            let filter = Filter::parse(&format!("absent {form}")).unwrap();
            assert!(!filter.matches(None));
        }
    }
    let absent = Filter::parse("HAS NOT FIELD absent").unwrap();
    assert!(absent.matches(None) && absent.matches(Some(&record)));
}

#[test]
fn a_blank_text_is_no_filter() {
    for text in ["", "  \n\t"] {
        let filter = Filter::parse(text).unwrap();
        assert!(filter.is_empty() && filter.matches(None));
    }
    assert!(!Filter::parse("a = 1").unwrap().is_empty());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn errors_say_where_and_what() {
    for (text, message) in [
        (
            "a",
            "byte 1: expected an operator, found the end of the filter",
        ),
        ("= 1", "byte 0: expected a field, found \"=\""),
        (
            "a = ",
            "byte 4: expected a number, a string, true or false, found the end of the filter",
        ),
        (
            "a = b",
            "byte 4: expected a number, a string, true or false, found \"b\"",
        ),
        (
            "a == 1",
            "byte 3: expected a number, a string, true or false, found \"=\"",
        ),
        (
            "a = 1 b = 2",
            "byte 6: expected AND, OR or the end of the filter, found \"b\"",
        ),
        (
            "a = 1 AND",
            "byte 9: expected a field, found the end of the filter",
        ),
        ("NOT (a = 1)", "byte 0: expected a field, found \"NOT\""),
        ("in = 1", "byte 0: expected a field, found \"in\""),
        (
            "(a = 1",
            "byte 6: expected \")\", found the end of the filter",
        ),
        (
            "a = 1)",
            "byte 5: expected AND, OR or the end of the filter, found \")\"",
        ),
        (
            "a IN ()",
            "byte 6: expected a number, a string, true or false, found \")\"",
        ),
        ("a IN (1 2)", "byte 8: expected \")\", found a number"),
        ("a IN 1", "byte 5: expected \"(\", found a number"),
        ("a GLOB 1", "byte 7: expected a string, found a number"),
        (
            "a NOT = 1",
            "byte 6: expected GLOB, IN or CONTAINS after NOT, found \"=\"",
        ),
        (
            "a GLOB '[a'",
            "byte 7: a class of the pattern is not closed",
        ),
        ("HAS a", "byte 4: expected FIELD, found \"a\""),
        ("a = 'x", "byte 4: the string is not closed"),
        ("a = 'x''", "byte 4: the string is not closed"),
        ("a..b = 1", "byte 2: a key is expected after a dot"),
        (
            "a = 1 AND b[x] = 1",
            "byte 11: brackets hold an index: [n], or [#-n] from the end",
        ),
        (
            "a = 1AND b = 2",
            "byte 4: the number has letters or signs after it",
        ),
        (
            "a = 1.",
            "byte 4: digits are expected after the point of a number",
        ),
        ("a = -", "byte 4: digits are expected after a sign"),
        (
            "a = 1e",
            "byte 4: digits are expected after the exponent of a number",
        ),
        ("a = 1e999", "byte 4: the number is too large"),
        ("a ! 1", "byte 2: unexpected '!'"),
        ("a = \u{e9}", "byte 4: unexpected '\u{e9}'"),
        (".5 = a", "byte 0: unexpected '.'"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert!(matches!(error, Error::Filter(_)), "{text}: {error}");
        assert_eq!(error.to_string(), format!("filter at {message}"), "{text}");
    }
}

#[test]
fn text_and_nesting_are_limited() {
    let nested = |depth| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(meets(&nested(64), &metadata(json!({"a": 1}))));
    let error = Filter::parse(&nested(65)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter at byte 64: groups are nested over 64 deep"
    );
    let sized = |bytes: usize| format!("a = '{}'", "x".repeat(bytes - 6));
    Filter::parse(&sized(8_192)).unwrap();
    let error = Filter::parse(&sized(8_193)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter bytes of 8193 is over the limit of 8192"
    );
}

#[test]
fn patterns_fit_whole_strings() {
    for (pattern, fits, fails) in [
        ("", &[""][..], &["a"][..]),
        ("*", &["", "a", "abc"], &[]),
        ("a*", &["a", "abc"], &["", "ba"]),
        ("*a", &["a", "cba"], &["", "ab"]),
        ("*a*b*", &["ab", "xaxbx"], &["ba", "a"]),
        ("?", &["a", "\u{e9}", "\u{1f600}"], &["", "ab"]),
        ("[abc]", &["a", "c"], &["d", "", "ab"]),
        ("[a-cx]", &["b", "x"], &["d", "-"]),
        ("[^a-c]", &["d", "\u{e9}"], &["a", "b", ""]),
        ("[]]", &["]"], &["", "a"]),
        ("[^]]", &["a"], &["]"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[-a]", &["a", "-"], &["b"]),
        ("[z-a]", &[], &["a", "z", "m", "-"]),
        ("[*]?", &["*a"], &["aa", "*"]),
        ("[^]a-]x", &["bx"], &["ax", "]x", "-x"]),
        ("]", &["]"], &["["]),
        (
            "\u{e9}[\u{e0}-\u{ff}]",
            &["\u{e9}\u{fe}"],
            &["\u{e9}e", "\u{e9}"],
        ),
        ("\u{10ffff}", &["\u{10ffff}"], &["a"]),
    ] {
        let glob = Glob::new(pattern).unwrap();
        for text in fits {
            assert!(glob.matches(text), "{pattern} {text}");
        }
        for text in fails {
            assert!(!glob.matches(text), "{pattern} {text}");
        }
    }
    for open in ["[", "[a", "[^", "[]", "[a-", "x[^]"] {
        assert!(Glob::new(open).is_err(), "{open}");
    }
}

/// What a pattern means, by trying everything.
fn globs(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skip| globs(rest, &text[skip..])),
        [one, rest @ ..] => match text {
            [first, others @ ..] => (*one == '?' || one == first) && globs(rest, others),
            [] => false,
        },
    }
}

proptest! {
    #[test]
    fn patterns_mean_what_trying_everything_means(
        pattern in "[ab\u{e9}?*]{0,9}",
        text in "[ab\u{e9}]{0,12}",
        padding in 0_usize..140,
    ) {
        // Padding moves the same pattern over the edge between words of states.
        let pattern = format!("{}{pattern}", "z".repeat(padding));
        let text = format!("{}{text}", "z".repeat(padding));
        let expected = globs(
            &pattern.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(Glob::new(&pattern).unwrap().matches(&text), expected);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        if let Ok(filter) = Filter::parse(&text) {
            filter.matches(Some(&city()));
        }
    }

    /// Texts made of the pieces of the language get past the lexer.
    #[test]
    fn no_order_of_tokens_panics(tokens in prop::collection::vec(prop::sample::select(vec![
        "a", "name", "economy.sectors[#-1]", "AND", "or", "NOT", "GLOB", "IN", "CONTAINS", "HAS",
        "FIELD", "true", "(", ")", ",", "=", "!=", "<", ">=", "1", "-2.5e3", "'x'", "\"*[a-z]\"",
    ]), 0..24)) {
        let text = tokens.join(" ");
        if let Ok(filter) = Filter::parse(&text) && !filter.is_empty() {
            let grouped = Filter::parse(&format!("({text})")).unwrap();
            prop_assert_eq!(filter.matches(Some(&city())), grouped.matches(Some(&city())));
        }
    }

    #[test]
    fn a_list_is_its_equalities(
        value in prop_oneof![Just(json!(1)), Just(json!(true)), Just(json!(0)), Just(json!("b")), Just(json!(2.5)), Just(json!(null))],
        list in prop::collection::vec(prop::sample::select(vec!["1", "0", "1.0", "true", "false", "'a'", "'b'", "2.5", "-3"]), 1..6),
    ) {
        let record = metadata(json!({"x": value, "list": [value]}));
        let any = list.iter().map(|literal| format!("x = {literal}")).collect::<Vec<_>>().join(" OR ");
        let contains = list.iter().map(|literal| format!("list CONTAINS {literal}")).collect::<Vec<_>>().join(" OR ");
        let literals = list.join(", ");
        let expected = meets(&any, &record);
        prop_assert_eq!(meets(&format!("x IN ({literals})"), &record), expected);
        prop_assert_eq!(meets(&format!("x NOT IN ({literals})"), &record), !expected);
        prop_assert_eq!(meets(&contains, &record), expected);
    }
}

/// A pattern and a string on which backtracking would take longer than anyone waits.
#[test]
fn hostile_patterns_cost_no_more_than_others() {
    let pattern = "a*".repeat(2_000) + "b";
    let glob = Glob::new(&pattern).unwrap();
    assert!(!glob.matches(&"a".repeat(48 << 10)));
    assert!(glob.matches(&("a".repeat(48 << 10) + "b")));
}
