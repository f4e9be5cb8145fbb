//! The small form of a sorted set: members in order, laid end to end in one buffer.
//!
//! | part of an entry | bytes |
//! |---|---|
//! | score: an integer from 0 to 247 | that number, u8 |
//! | score: another integer of 16 or 32 bits | 248 or 249, i16 or i32 |
//! | any other score | 250, f64 |
//! | member | varint length, bytes |
//!
//! Everything is found by walking, which is short: see [`crate::value::forms`].

use std::ops::Range;

use smallvec::SmallVec;

use super::Item;
use crate::value::packed::{self, Walk};

/// Tags below this are scores themselves.
const SCORES: u8 = 248;
const INT_16: u8 = 248;
const INT_32: u8 = 249;
const FLOAT: u8 = 250;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Small {
    bytes: Vec<u8>,
    count: usize,
}

/// An integer score that has fewer bytes than a float; -0 is 0 before it comes here.
fn as_int(score: f64) -> Option<i32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whatever is not the same number afterwards is refused"
    )]
    let int = score as i32;
    (f64::from(int).to_bits() == score.to_bits()).then_some(int)
}

type EntryBytes = SmallVec<[u8; 80]>;

fn entry(item: Item<'_>) -> EntryBytes {
    let mut out = EntryBytes::new();
    let int = as_int(item.score);
    if let Some(tag) = int.and_then(|int| u8::try_from(int).ok().filter(|tag| *tag < SCORES)) {
        out.push(tag);
    } else if let Some(short) = int.and_then(|int| i16::try_from(int).ok()) {
        out.push(INT_16);
        out.extend_from_slice(&short.to_le_bytes());
    } else if let Some(int) = int {
        out.push(INT_32);
        out.extend_from_slice(&int.to_le_bytes());
    } else {
        out.push(FLOAT);
        out.extend_from_slice(&item.score.to_bits().to_le_bytes());
    }
    packed::put_len(&mut out, item.member.len());
    out.extend_from_slice(item.member);
    out
}

fn read<'b>(walk: &mut Walk<'b>) -> Option<Item<'b>> {
    let score = match walk.u8()? {
        tag if tag < SCORES => f64::from(tag),
        INT_16 => f64::from(i16::from_le_bytes([walk.u8()?, walk.u8()?])),
        INT_32 => f64::from(walk.u32()?.cast_signed()),
        _ => f64::from_bits(walk.u64()?),
    };
    let member = walk.bytes()?;
    Some(Item { score, member })
}

impl Small {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that it keeps in memory beside itself.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let mut walk = Walk::new(&self.bytes);
        std::iter::from_fn(move || read(&mut walk))
    }

    /// The members with their places in the buffer.
    fn places(&self) -> impl Iterator<Item = (Range<usize>, Item<'_>)> {
        let mut walk = Walk::new(&self.bytes);
        let all = self.bytes.len();
        std::iter::from_fn(move || {
            let start = all - walk.rest().len();
            let item = read(&mut walk)?;
            Some((start..all - walk.rest().len(), item))
        })
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let found = self.iter().find(|item| item.member == member);
        found.map(|item| item.score)
    }

    /// Puts a member where it belongs; the score before.
    pub(super) fn set(&mut self, item: Item<'_>) -> Option<f64> {
        let mut old: Option<(Range<usize>, f64)> = None;
        let mut at = self.bytes.len();
        for (place, other) in self.places() {
            if other.member == item.member {
                old = Some((place, other.score));
            } else if at == self.bytes.len() && other > item {
                at = place.start;
            }
        }
        let new = entry(item);
        if let Some((place, score)) = old {
            if score.to_bits() == item.score.to_bits() {
                return Some(score);
            }
            if at >= place.end {
                at -= place.len();
            }
            self.bytes.drain(place);
            packed::insert(&mut self.bytes, at, &new);
            return Some(score);
        }
        packed::insert(&mut self.bytes, at, &new);
        self.count += 1;
        None
    }

    /// Removes a member; its score.
    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let found = self.places().find(|(_, item)| item.member == member);
        let (place, score) = found.map(|(place, item)| (place, item.score))?;
        self.bytes.drain(place);
        self.count -= 1;
        Some(score)
    }

    /// How many members come before the first that `before` is not true for.
    pub(super) fn partition_point(&self, mut before: impl FnMut(Item<'_>) -> bool) -> usize {
        self.iter().take_while(|item| before(*item)).count()
    }
}
