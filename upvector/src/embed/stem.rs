//! The Porter2 (Snowball English) stemmer: words that differ by inflection and common derivation become one.
//!
//! Words come lower-cased and without apostrophes. The step numbers are those of the algorithm's description. `Y` marks a `y` that is a
//! consonant while a word is worked on.
//!
//! Invariant: part of the format of stored vectors, so the rules may not change; golden stems pin them.

use std::borrow::Cow;

/// The stem of a word. Words with other characters than the 26 letters are their own stems.
pub(super) fn stem(word: &str) -> Cow<'_, str> {
    if word.len() <= 2 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.into();
    }
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).into();
    }
    let mut word = Word::new(word);
    word.plural();
    if !KEPT_AFTER_PLURAL.iter().any(|kept| word.is(kept)) {
        word.past();
        word.final_y();
        word.replace_in_first_region(&SUFFIXES_2);
        word.replace_in_first_region(&SUFFIXES_3);
        word.delete_in_second_region();
        word.final_e_or_l();
    }
    word.finish().into()
}

/// Words whose stem does not follow from the rules.
const IRREGULAR: [(&str, &str); 18] = [
    ("skis", "ski"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("idly", "idl"),
    ("gently", "gentl"),
    ("ugly", "ugli"),
    ("early", "earli"),
    ("only", "onli"),
    ("singly", "singl"),
    ("sky", "sky"),
    ("news", "news"),
    ("howe", "howe"),
    ("atlas", "atlas"),
    ("cosmos", "cosmos"),
    ("bias", "bias"),
    ("andes", "andes"),
];

/// Words that end after step 1a.
const KEPT_AFTER_PLURAL: [&str; 8] = [
    "inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed",
];

/// Beginnings after which the first region starts, whatever their letters.
const LONG_BEGINNINGS: [&str; 3] = ["gener", "commun", "arsen"];

/// Where a suffix may be replaced besides the region it is in.
#[derive(Clone, Copy)]
enum Only {
    Always,
    /// After one of these letters.
    After(&'static [u8]),
    /// In the second region.
    Second,
}

type Rule = (&'static str, &'static str, Only);

/// Step 2, longer suffixes first.
const SUFFIXES_2: [Rule; 24] = [
    ("ational", "ate", Only::Always),
    ("fulness", "ful", Only::Always),
    ("iveness", "ive", Only::Always),
    ("ization", "ize", Only::Always),
    ("ousness", "ous", Only::Always),
    ("biliti", "ble", Only::Always),
    ("lessli", "less", Only::Always),
    ("tional", "tion", Only::Always),
    ("alism", "al", Only::Always),
    ("aliti", "al", Only::Always),
    ("ation", "ate", Only::Always),
    ("entli", "ent", Only::Always),
    ("fulli", "ful", Only::Always),
    ("iviti", "ive", Only::Always),
    ("ousli", "ous", Only::Always),
    ("abli", "able", Only::Always),
    ("alli", "al", Only::Always),
    ("anci", "ance", Only::Always),
    ("ator", "ate", Only::Always),
    ("enci", "ence", Only::Always),
    ("izer", "ize", Only::Always),
    ("bli", "ble", Only::Always),
    ("ogi", "og", Only::After(b"l")),
    ("li", "", Only::After(b"cdeghkmnrt")),
];

/// Step 3, longer suffixes first.
const SUFFIXES_3: [Rule; 9] = [
    ("ational", "ate", Only::Always),
    ("tional", "tion", Only::Always),
    ("alize", "al", Only::Always),
    ("ative", "", Only::Second),
    ("icate", "ic", Only::Always),
    ("iciti", "ic", Only::Always),
    ("ical", "ic", Only::Always),
    ("ness", "", Only::Always),
    ("ful", "", Only::Always),
];

/// Step 4, longer suffixes first.
const SUFFIXES_4: [&str; 18] = [
    "ement", "able", "ance", "ence", "ible", "ment", "ant", "ate", "ent", "ion", "ism", "iti",
    "ive", "ize", "ous", "al", "er", "ic",
];

/// A word on its way to the stem.
struct Word {
    letters: Vec<u8>,
    /// Start of the first region: after the first consonant that follows a vowel.
    first: usize,
    /// Start of the second region: the same, within the first.
    second: usize,
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

/// The end of the first vowel with a consonant after it, or of the word.
fn region(letters: &[u8], from: usize) -> usize {
    let pairs = letters[from..].windows(2);
    let place = pairs
        .enumerate()
        .find(|(_, pair)| is_vowel(pair[0]) && !is_vowel(pair[1]));
    place.map_or(letters.len(), |(at, _)| from + at + 2)
}

impl Word {
    fn new(word: &str) -> Self {
        let mut letters = word.as_bytes().to_vec();
        for at in 0..letters.len() {
            if letters[at] == b'y' && (at == 0 || is_vowel(letters[at - 1])) {
                letters[at] = b'Y';
            }
        }
        let beginning = LONG_BEGINNINGS.iter().find(|one| word.starts_with(**one));
        let first = beginning.map_or_else(|| region(&letters, 0), |one| one.len());
        let second = region(&letters, first);
        Self {
            letters,
            first,
            second,
        }
    }

    fn finish(self) -> String {
        let letters = self.letters.iter();
        letters
            .map(|letter| letter.to_ascii_lowercase() as char)
            .collect()
    }

    fn is(&self, word: &str) -> bool {
        self.letters.eq_ignore_ascii_case(word.as_bytes())
    }

    fn ends(&self, suffix: &str) -> bool {
        self.letters.ends_with(suffix.as_bytes())
    }

    /// What remains without a suffix of this length.
    fn before(&self, length: usize) -> &[u8] {
        &self.letters[..self.letters.len() - length]
    }

    fn replace(&mut self, length: usize, by: &str) {
        self.letters.truncate(self.letters.len() - length);
        self.letters.extend_from_slice(by.as_bytes());
    }

    /// A vowel and a consonant other than w, x, Y after a consonant; or a vowel and a consonant that are all.
    fn ends_in_short_syllable(letters: &[u8]) -> bool {
        match letters {
            [vowel, consonant] => is_vowel(*vowel) && !is_vowel(*consonant),
            [.., before, vowel, consonant] => {
                !is_vowel(*before)
                    && is_vowel(*vowel)
                    && !is_vowel(*consonant)
                    && !matches!(consonant, b'w' | b'x' | b'Y')
            }
            _ => false,
        }
    }

    /// Step 1a.
    fn plural(&mut self) {
        if self.ends("sses") {
            self.replace(2, "");
        } else if self.ends("ied") || self.ends("ies") {
            self.replace(3, if self.letters.len() > 4 { "i" } else { "ie" });
        } else if self.ends("s") && !self.ends("us") && !self.ends("ss") {
            // A vowel right before the s does not count.
            let before = self.before(2);
            if before.iter().any(|letter| is_vowel(*letter)) {
                self.replace(1, "");
            }
        }
    }

    /// Step 1b.
    fn past(&mut self) {
        for suffix in ["eedly", "eed"] {
            if self.ends(suffix) {
                if self.letters.len() - suffix.len() >= self.first {
                    self.replace(suffix.len(), "ee");
                }
                return;
            }
        }
        let endings = ["ingly", "edly", "ing", "ed"];
        let Some(suffix) = endings.into_iter().find(|suffix| self.ends(suffix)) else {
            return;
        };
        if !self
            .before(suffix.len())
            .iter()
            .any(|letter| is_vowel(*letter))
        {
            return;
        }
        self.replace(suffix.len(), "");
        let doubled = match *self.letters {
            [.., one, two] => one == two && b"bdfgmnprt".contains(&one),
            _ => false,
        };
        if ["at", "bl", "iz"].iter().any(|ending| self.ends(ending)) {
            self.replace(0, "e");
        } else if doubled {
            self.replace(1, "");
        } else if self.first >= self.letters.len() && Self::ends_in_short_syllable(&self.letters) {
            self.replace(0, "e");
        }
    }

    /// Step 1c.
    fn final_y(&mut self) {
        if let [_, .., before, b'y' | b'Y'] = *self.letters
            && !is_vowel(before)
        {
            self.replace(1, "i");
        }
    }

    /// Steps 2 and 3: the longest suffix of the rules is replaced if it is in the first region and its condition holds.
    fn replace_in_first_region(&mut self, rules: &[Rule]) {
        let Some((suffix, by, only)) = rules.iter().find(|(suffix, ..)| self.ends(suffix)) else {
            return;
        };
        let start = self.letters.len() - suffix.len();
        let allowed = match only {
            Only::Always => true,
            Only::After(letters) => self.letters[..start]
                .last()
                .is_some_and(|letter| letters.contains(letter)),
            Only::Second => start >= self.second,
        };
        if start >= self.first && allowed {
            self.replace(suffix.len(), by);
        }
    }

    /// Step 4: the longest suffix is deleted if it is in the second region.
    fn delete_in_second_region(&mut self) {
        let Some(suffix) = SUFFIXES_4.iter().find(|suffix| self.ends(suffix)) else {
            return;
        };
        let start = self.letters.len() - suffix.len();
        let allowed = *suffix != "ion" || matches!(self.letters[..start].last(), Some(b's' | b't'));
        if start >= self.second && allowed {
            self.replace(suffix.len(), "");
        }
    }

    /// Step 5.
    fn final_e_or_l(&mut self) {
        let Some((last, before)) = self.letters.split_last() else {
            return;
        };
        let delete = match last {
            b'e' => {
                before.len() >= self.second
                    || before.len() >= self.first && !Self::ends_in_short_syllable(before)
            }
            b'l' => before.len() >= self.second && before.last() == Some(&b'l'),
            _ => false,
        };
        if delete {
            self.replace(1, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_pinned() {
        for (word, expected) in [
            ("consign", "consign"),
            ("consigned", "consign"),
            ("consigning", "consign"),
            ("consignment", "consign"),
            ("consistency", "consist"),
            ("consolation", "consol"),
            ("consolatory", "consolatori"),
            ("conspicuously", "conspicu"),
            ("knackeries", "knackeri"),
            ("knavish", "knavish"),
            ("knightly", "knight"),
            ("hopping", "hop"),
            ("hoping", "hope"),
            ("luxuriated", "luxuri"),
            ("ties", "tie"),
            ("cries", "cri"),
            ("gas", "gas"),
            ("gaps", "gap"),
            ("kiwis", "kiwi"),
            ("caresses", "caress"),
            ("proceeds", "proceed"),
            ("agreed", "agre"),
            ("feed", "feed"),
            ("by", "by"),
            ("say", "say"),
            ("happy", "happi"),
            ("sayings", "say"),
            ("yielding", "yield"),
            ("generalization", "general"),
            ("generically", "generic"),
            ("communism", "communism"),
            ("geology", "geolog"),
            ("quickly", "quick"),
            ("hopefulness", "hope"),
            ("rationalize", "ration"),
            ("relational", "relat"),
            ("formative", "format"),
            ("adoption", "adopt"),
            ("controlling", "control"),
            ("probate", "probat"),
            ("skies", "sky"),
            ("dying", "die"),
            ("news", "news"),
            ("x86s", "x86s"),
            ("\u{e9}coles", "\u{e9}coles"),
            ("is", "is"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }

    #[test]
    fn no_word_panics() {
        let letters = ["y", "s", "e", "ing", "ed", "l", "a", "i", "ion", "b"];
        for one in letters {
            for two in letters {
                for three in letters {
                    for four in letters {
                        let word = [one, two, three, four].concat();
                        let found = stem(&word);
                        assert!(!found.is_empty() && found.len() <= word.len() + 1, "{word}");
                    }
                }
            }
        }
    }
}
