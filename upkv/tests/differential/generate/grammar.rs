//! Grammars turned into arguments: `SET key value [NX|XX] [EX span]`.

use crate::common::Random;
use crate::generate::pools::{Source, argument};

/// The arguments of one random command.
pub(super) fn expand(grammar: &str, r: &mut Random, source: &Source<'_>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    sequence(grammar, r, source, &mut out);
    out
}

fn sequence(text: &str, r: &mut Random, source: &Source<'_>, out: &mut Vec<Vec<u8>>) {
    let mut options: Vec<&str> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (item, after) = next_item(rest);
        rest = after.trim_start();
        if let Some(option) = item.strip_prefix('[') {
            options.push(&option[..option.len() - 1]);
            if rest.starts_with('[') {
                continue;
            }
            flush(&mut options, r, source, out);
        } else if let Some(repeated) = item.strip_prefix('{') {
            for _ in 0..=r.below(3) {
                one_of(&repeated[..repeated.len() - 1], r, source, out);
            }
        } else {
            let group = item
                .strip_prefix('(')
                .and_then(|item| item.strip_suffix(')'));
            one_of(group.unwrap_or(item), r, source, out);
        }
    }
}

/// Options in random order, one in three of them.
fn flush(options: &mut Vec<&str>, r: &mut Random, source: &Source<'_>, out: &mut Vec<Vec<u8>>) {
    while !options.is_empty() {
        let at = if r.below(3) == 0 {
            r.below(options.len())
        } else {
            0
        };
        let option = options.remove(at);
        if r.below(3) == 0 {
            one_of(option, r, source, out);
        }
    }
}

/// The first word or bracket, and what follows.
fn next_item(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            b' ' if depth == 0 => return text.split_at(at),
            _ => {}
        }
    }
    assert_eq!(depth, 0, "brackets of a grammar match: {text}");
    (text, "")
}

/// One of the alternatives of a group; of a single word too.
fn one_of(text: &str, r: &mut Random, source: &Source<'_>, out: &mut Vec<Vec<u8>>) {
    let mut depth = 0usize;
    let mut alternatives = vec![0];
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            b'|' if depth == 0 => alternatives.push(at + 1),
            _ => {}
        }
    }
    let which = r.below(alternatives.len());
    let end = alternatives
        .get(which + 1)
        .map_or(text.len(), |next| next - 1);
    let chosen = &text[alternatives[which]..end];
    if chosen.contains([' ', '[', '{', '(']) {
        sequence(chosen, r, source, out);
    } else if chosen.is_empty() {
        // An alternative may be nothing.
    } else {
        out.push(argument(chosen, r, source));
    }
}
