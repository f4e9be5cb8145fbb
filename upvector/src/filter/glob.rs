//! Patterns of `GLOB`: `*` any run, `?` one character, `[abc]`, `[a-z]`, `[^...]`; the whole string, by Unicode scalar value.
//!
//! As in `SQLite`, a `]` right after `[` or `[^` is a member of the class, and a class of one character takes away its meaning: `[*]`.
//!
//! A pattern is run as the automaton that is in all its states at once: bit `i` says that the first `i` elements have matched, a
//! character shifts the bits past the elements it fits, and a star keeps its bit. That costs one pass over the string and a word of 64
//! states at a time, whatever the pattern, where backtracking could cost the product of both lengths or worse.
//!
//! Invariant: `classes` covers all characters, so that every character has a row of the elements it fits.

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    /// Elements other than stars.
    length: usize,
    /// Words in a set of states, of which there are `length + 1`.
    words: usize,
    /// The states with a star before their element.
    stars: Box<[u64]>,
    /// First characters of the ranges in which all characters fit the same elements; the first is 0.
    classes: Box<[u32]>,
    /// For each class the elements that its characters fit, as `words` words.
    rows: Box<[u64]>,
    /// The class of each ASCII character.
    ascii: Box<[u8; 128]>,
}

/// One character of the string is fitted by it.
#[derive(Debug)]
struct Element {
    /// Sorted neither way; a range that runs backwards is empty.
    ranges: Vec<(u32, u32)>,
    negated: bool,
}

impl Glob {
    /// Compiles a pattern.
    pub(super) fn new(pattern: &str) -> Result<Self, &'static str> {
        let (elements, star_at) = read(pattern)?;
        let words = elements.len() / 64 + 1;
        let mut stars = vec![0; words];
        for state in star_at {
            set(&mut stars, state);
        }
        let mut classes = vec![0];
        for (from, to) in elements.iter().flat_map(|element| &element.ranges) {
            classes.extend([*from, to + 1]);
        }
        classes.sort_unstable();
        classes.dedup();
        let mut rows = vec![0; classes.len() * words];
        for (state, element) in elements.iter().enumerate() {
            element.mark(state, &classes, &mut rows, words);
        }
        let mut ascii = [0; 128];
        for (character, class) in (0..).zip(&mut ascii) {
            *class = u8::try_from(class_of(&classes, character))
                .expect("at most 128 classes start among 128 characters");
        }
        Ok(Self {
            length: elements.len(),
            words,
            stars: stars.into(),
            classes: classes.into(),
            rows: rows.into(),
            ascii: Box::new(ascii),
        })
    }

    /// Whether the whole of a string fits.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self.words {
            1 => self.matches_in_word(text),
            _ => self.matches_in_words(text),
        }
    }

    fn matches_in_word(&self, text: &str) -> bool {
        let stars = self.stars[0];
        let last = 1 << self.length;
        let mut states = 1;
        for character in text.chars() {
            // A star at the end takes the rest; a lost string stays lost.
            if states & stars & last != 0 || states == 0 {
                break;
            }
            states = (states & self.row(character)[0]) << 1 | states & stars;
        }
        states & last != 0
    }

    /// The same in sets of more than 64 states.
    fn matches_in_words(&self, text: &str) -> bool {
        let mut states = vec![0; self.words];
        states[0] = 1_u64;
        for character in text.chars() {
            let mut carry = 0;
            let mut any = 0;
            let masks = self.row(character).iter().zip(&self.stars);
            for (word, (row, stars)) in states.iter_mut().zip(masks) {
                let fitted = *word & row;
                *word = fitted << 1 | carry | *word & stars;
                carry = fitted >> 63;
                any |= *word;
            }
            if any == 0 {
                return false;
            }
        }
        states[self.length / 64] >> (self.length % 64) & 1 == 1
    }

    fn row(&self, character: char) -> &[u64] {
        let class = match self.ascii.get(character as usize) {
            Some(&class) => usize::from(class),
            None => class_of(&self.classes, character as u32),
        };
        &self.rows[class * self.words..][..self.words]
    }
}

/// The class that a character is in: the last that starts at or before it.
fn class_of(classes: &[u32], character: u32) -> usize {
    classes.partition_point(|first| *first <= character) - 1
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

impl Element {
    fn one(character: char) -> Self {
        Self {
            ranges: vec![(character as u32, character as u32)],
            negated: false,
        }
    }

    fn any() -> Self {
        Self {
            ranges: Vec::new(),
            negated: true,
        }
    }

    /// Sets the bit of this element in the row of each class it fits.
    fn mark(&self, state: usize, classes: &[u32], rows: &mut [u64], words: usize) {
        let mut flip = |classes: std::ops::Range<usize>, fits: bool| {
            for class in classes {
                let word = &mut rows[class * words + state / 64];
                let bit = 1 << (state % 64);
                *word = if fits { *word | bit } else { *word & !bit };
            }
        };
        if self.negated {
            flip(0..classes.len(), true);
        }
        for (from, to) in &self.ranges {
            // Ranges begin and end where classes do.
            let (first, last) = (class_of(classes, *from), class_of(classes, *to));
            flip(first..last + 1, !self.negated);
        }
    }
}

/// The elements of a pattern and the states that have a star.
fn read(pattern: &str) -> Result<(Vec<Element>, Vec<usize>), &'static str> {
    let mut elements = Vec::new();
    let mut stars = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => stars.push(elements.len()),
            '?' => elements.push(Element::any()),
            '[' => elements.push(read_class(&mut characters)?),
            other => elements.push(Element::one(other)),
        }
    }
    Ok((elements, stars))
}

/// What follows a `[`, up to and with its `]`.
fn read_class(characters: &mut std::str::Chars<'_>) -> Result<Element, &'static str> {
    const OPEN: &str = "a class of the pattern is not closed";
    let mut next = || characters.next().ok_or(OPEN);
    let mut element = Element {
        ranges: Vec::new(),
        negated: false,
    };
    let mut member = next()?;
    if member == '^' {
        element.negated = true;
        member = next()?;
    }
    loop {
        let from = member as u32;
        member = next()?;
        if member == '-' {
            match next()? {
                // A minus at the end stands for itself.
                ']' => {
                    let minus = '-' as u32;
                    element.ranges.extend([(from, from), (minus, minus)]);
                    return Ok(element);
                }
                to => {
                    if from <= to as u32 {
                        element.ranges.push((from, to as u32));
                    }
                    member = next()?;
                }
            }
        } else {
            element.ranges.push((from, from));
        }
        if member == ']' {
            return Ok(element);
        }
    }
}
