//! From sections to chunks: pieces of about 200 words, of one item each unless the items are short.
//!
//! Invariant: every word of a section is in at least one of its chunks, in order, and no chunk is over [`CHUNK_BYTES_MAX`].

use super::extract::Section;

/// Words of a full chunk.
const WORDS: usize = 200;
/// Words at the end of a chunk that the next one begins with, but not more than a quarter of it.
const OVERLAP: usize = 30;
/// Sections of fewer words are put together with neighbours of their kind.
const SHORT: usize = 20;
/// Words of short sections in one chunk, at most.
const SHORT_TOGETHER: usize = 100;
/// Bytes of text in a chunk, its heading not counted; what is longer is cut, inside a word if it must be.
pub(crate) const CHUNK_BYTES_MAX: usize = 4096;

/// What is embedded, stored and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// As in [`Section`].
    pub(crate) kind: &'static str,
    /// As in [`Section`]; of several short ones, the first.
    pub(crate) item: String,
    /// Line where the section starts.
    pub(crate) line: u32,
    /// Heading and text.
    pub(crate) text: String,
}

/// Cuts the sections of a file.
pub(crate) fn chunks(sections: &[Section]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    // Words of the last chunk, if it may take more short sections.
    let mut open: Option<usize> = None;
    for section in sections {
        let words = section.text.split_whitespace().count();
        let short = words < SHORT && section.text.len() < CHUNK_BYTES_MAX / 8;
        if short
            && let Some(before) = open
            && before + words <= SHORT_TOGETHER
            && let Some(last) = chunks.last_mut()
            && last.kind == section.kind
        {
            last.text.push('\n');
            last.text.push_str(&whole(section, section.text.trim()));
            open = Some(before + words);
            continue;
        }
        open = short.then_some(words);
        chunks.extend(pieces(&section.text).map(|piece| Chunk {
            kind: section.kind,
            item: section.item.clone(),
            line: section.line,
            text: whole(section, piece),
        }));
    }
    chunks
}

fn whole(section: &Section, piece: &str) -> String {
    format!("{} {}: {piece}", section.kind, section.full_name)
}

/// The pieces of a text, overlapping.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let words = words(text);
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = words.get(from)?.0;
        let most = words.len().min(from + WORDS);
        let fits = |n: &usize| words[*n].1 - start <= CHUNK_BYTES_MAX;
        let last = (from..most).take_while(fits).last().unwrap_or(from);
        let piece = &text[start..words[last].1];
        from = if last + 1 == words.len() {
            words.len()
        } else {
            last + 1 - OVERLAP.min((last + 1 - from) / 4)
        };
        Some(piece)
    })
}

/// Where each word begins and ends; one that is longer than a chunk counts as several.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        match start {
            None if !c.is_whitespace() => start = Some(at),
            Some(from) if c.is_whitespace() => {
                words.push((from, at));
                start = None;
            }
            Some(from) if at + c.len_utf8() - from > CHUNK_BYTES_MAX => {
                words.push((from, at));
                start = Some(at);
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| (from, text.len())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(kind: &'static str, item: &str, text: &str) -> Section {
        Section {
            kind,
            item: item.to_owned(),
            full_name: item.to_owned(),
            line: 1,
            text: text.to_owned(),
        }
    }

    fn numbered(words: usize) -> String {
        let words: Vec<String> = (0..words).map(|n| format!("w{n}")).collect();
        words.join(" ")
    }

    #[test]
    fn long_sections_are_cut_with_an_overlap() {
        let chunks = chunks(&[section("fn", "f", &numbered(500))]);
        let spans: Vec<(&str, &str)> = chunks
            .iter()
            .map(|chunk| {
                let mut words = chunk.text.split(' ').skip(2);
                let first = words.next().expect("words");
                (first, words.last().expect("words"))
            })
            .collect();
        assert_eq!(spans, [("w0", "w199"), ("w170", "w369"), ("w340", "w499")]);
        assert!(chunks[1].text.starts_with("fn f: w170 w171"));
    }

    #[test]
    fn short_neighbours_of_a_kind_are_put_together_and_others_are_not() {
        let sections = [
            section("fn", "a", "Says a."),
            section("fn", "b", "Says b.\n"),
            section("struct", "C", "Is c."),
            section("fn", "d", &numbered(30)),
            section("fn", "e", "Says e."),
        ];
        let chunks = chunks(&sections);
        let items: Vec<&str> = chunks.iter().map(|chunk| chunk.item.as_str()).collect();
        assert_eq!(items, ["a", "C", "d", "e"]);
        assert_eq!(chunks[0].text, "fn a: Says a.\nfn b: Says b.");
    }

    #[test]
    fn many_short_sections_do_not_become_one_long_chunk() {
        let sections: Vec<Section> = (0..100)
            .map(|n| section("fn", &format!("f{n}"), &numbered(10)))
            .collect();
        assert_eq!(chunks(&sections).len(), 10);
    }

    #[test]
    fn every_word_is_kept_and_no_piece_is_too_long() {
        let long = "\u{e4}".repeat(5_000);
        let wide = numbered(5).replace(' ', &" ".repeat(3_000));
        for text in [
            &numbered(1_000),
            &long,
            &wide,
            "",
            " ",
            "one",
            &format!("{long} x {long}"),
        ] {
            let pieces: Vec<&str> = pieces(text).collect();
            assert!(pieces.iter().all(|piece| piece.len() <= CHUNK_BYTES_MAX));
            for (from, to) in words(text) {
                let word = &text[from..to];
                assert!(pieces.iter().any(|piece| piece.contains(word)), "{word}");
            }
        }
    }
}
