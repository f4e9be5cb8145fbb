//! Changes of a part of a string, which a log holds as the part alone.

use upkv::storage::testing::Run;

use super::{Content, Model, below, payload};

/// One command on a part of a string.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    SetRange(usize, Vec<u8>),
    SetBit(usize, bool),
    /// `SET u8` at a bit, wherever that lies in its byte.
    Field(usize, u8),
}

impl Op {
    pub(crate) fn random(run: &Run<'_>) -> Self {
        // Mostly inside of what is there, sometimes beyond.
        let at = below(run, if below(run, 6) == 0 { 600 } else { 70 });
        match below(run, 3) {
            0 => Self::SetRange(at, payload(run)),
            1 => Self::SetBit(at * 8 + below(run, 8), below(run, 2) == 0),
            _ => Self::Field(
                at * 8 + below(run, 8),
                u8::try_from(below(run, 256)).expect("a byte"),
            ),
        }
    }

    pub(crate) fn args(&self, key: Vec<u8>) -> Vec<Vec<u8>> {
        let words = match self {
            Self::SetRange(at, value) => {
                return vec![
                    b"SETRANGE".into(),
                    key,
                    at.to_string().into(),
                    value.clone(),
                ];
            }
            Self::SetBit(at, bit) => format!("SETBIT key {at} {}", u8::from(*bit)),
            Self::Field(at, value) => format!("BITFIELD key SET u8 {at} {value}"),
        };
        let word = |word: &str| match word {
            "key" => key.clone(),
            word => word.into(),
        };
        words.split(' ').map(word).collect()
    }

    /// Does the same to the model; `false` if the command is refused.
    pub(crate) fn apply(&self, key: Vec<u8>, model: &mut Model) -> bool {
        if matches!(self, Self::SetRange(_, value) if value.is_empty()) {
            return model
                .get(&key)
                .is_none_or(|entry| matches!(entry.0, Content::Text(_)));
        }
        let empty = || (Content::Text(Vec::new()), 0);
        let (Content::Text(text), _) = model.entry(key).or_insert_with(empty) else {
            return false;
        };
        match self {
            Self::SetRange(at, value) => {
                grow(text, at + value.len());
                text[*at..at + value.len()].copy_from_slice(value);
            }
            Self::SetBit(at, bit) => set_bit(text, *at, *bit),
            Self::Field(at, value) => {
                for bit in 0..8 {
                    set_bit(text, at + bit, value >> (7 - bit) & 1 == 1);
                }
            }
        }
        true
    }
}

fn grow(text: &mut Vec<u8>, len: usize) {
    text.resize(text.len().max(len), 0);
}

fn set_bit(text: &mut Vec<u8>, at: usize, bit: bool) {
    grow(text, at / 8 + 1);
    let mask = 0x80 >> (at % 8);
    if bit {
        text[at / 8] |= mask;
    } else {
        text[at / 8] &= !mask;
    }
}
