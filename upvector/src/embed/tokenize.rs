//! Text to the stems that stand for it, and stems to dimensions.

use ahash::HashMap;

use super::stem::stem;
use super::stop_words::is_stop_word;

/// What of a text is indexed.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// The dimension of each stem and how often it occurs, in the order of dimensions.
    pub(super) counts: Vec<(i32, u32)>,
    /// Words, those that are the same counted one by one, stop words not.
    pub(super) length: u32,
}

/// Lower-cases a text, splits it at what is neither a letter nor a digit, drops stop words, and counts stems.
pub(super) fn terms(text: &str) -> Terms {
    let lower = text.to_lowercase();
    // Each word is stemmed once, however often it occurs.
    let mut words: HashMap<&str, u32> = HashMap::default();
    for word in lower.split(|character: char| !character.is_alphanumeric()) {
        if !word.is_empty() && !is_stop_word(word) {
            *words.entry(word).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = words
        .into_iter()
        .map(|(word, count)| (dimension(&stem(word)), count))
        .collect();
    counts.sort_unstable();
    // Words of one stem, and stems that share a dimension by chance, count together.
    counts.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 += next.1;
        }
        same
    });
    let length = counts.iter().map(|(_, count)| count).sum();
    Terms { counts, length }
}

/// The dimension of a stem: its `MurmurHash3` of 32 bits (x86 variant, seed 0) as a signed number.
fn dimension(stem: &str) -> i32 {
    const FIRST: u32 = 0xcc9e_2d51;
    const SECOND: u32 = 0x1b87_3593;
    let scramble = |block: u32| {
        let block = block.wrapping_mul(FIRST).rotate_left(15);
        block.wrapping_mul(SECOND)
    };
    let (blocks, tail) = stem.as_bytes().as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let mut block = [0; 4];
        block[..tail.len()].copy_from_slice(tail);
        hash ^= scramble(u32::from_le_bytes(block));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the hash is defined with the length modulo 2^32"
    )]
    let length = stem.len() as u32;
    hash ^= length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Vec<(i32, u32)> {
        terms(text).counts
    }

    #[test]
    fn words_of_one_stem_count_together() {
        let found = terms("The walls, a WALL; walled? It's 3.14 wall-paper");
        let mut expected = [
            (dimension("wall"), 4),
            (dimension("3"), 1),
            (dimension("14"), 1),
            (dimension("paper"), 1),
        ];
        expected.sort_unstable();
        assert_eq!(found.counts, expected);
        assert_eq!(found.length, 7);
    }

    #[test]
    fn letters_of_any_script_make_words() {
        assert_eq!(
            counts("\u{c9}COLE \u{e9}cole"),
            [(dimension("\u{e9}cole"), 2)]
        );
        assert_eq!(
            counts("\u{4e2d}\u{6587}\u{3002}"),
            [(dimension("\u{4e2d}\u{6587}"), 1)]
        );
    }

    #[test]
    fn nothing_is_left_of_stop_words() {
        let found = terms("And the -- of it!");
        assert_eq!((found.counts.len(), found.length), (0, 0));
    }

    /// Published values of the hash.
    #[test]
    fn dimensions_are_pinned() {
        for (stem, hash) in [
            ("", 0),
            ("test", 0xba6b_d213_u32),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(dimension(stem), hash.cast_signed(), "{stem}");
        }
    }
}
