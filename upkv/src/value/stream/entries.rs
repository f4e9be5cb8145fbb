//! The entries of a stream, in order of their ids, packed into blocks.
//!
//! A block holds up to 100 entries or 4 KiB (more only for one long entry) and says the field names of its
//! first entry once; entries with the same names leave them out. Layout: number of names, names, entries.
//! An entry: varint length of what follows; ms since the block's base; seq, less the base's if ms is the
//! same; number of fields, or 0 for the block's names; then values, or names and values.
//!
//! Invariant: ids ascend, a block's are not below its base and below the next block's base, no block is empty.

use std::collections::VecDeque;

use super::StreamId;
use crate::value::packed::{self, Walk};

/// Entries that a block takes, those deleted since included.
pub(crate) const BLOCK_ITEMS_MAX: u32 = 100;
/// Bytes up to which a block takes another entry.
const BLOCK_BYTES_MAX: usize = 4096;

/// Entries next to each other.
#[derive(Clone, Debug)]
pub(super) struct Block {
    base: StreamId,
    /// Entries in it.
    items: u32,
    /// Entries that were ever put into it.
    slots: u32,
    /// Where the first entry starts.
    head: usize,
    bytes: Vec<u8>,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'s> {
    pub(crate) id: StreamId,
    pub(crate) fields: Fields<'s>,
}

/// Names and values of an entry, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'s> {
    /// The block's names where the entry has no own ones.
    names: Option<Walk<'s>>,
    rest: Walk<'s>,
    left: usize,
}

#[expect(clippy::copy_iterator, reason = "an entry is walked more than once")]
impl<'s> Iterator for Fields<'s> {
    type Item = (&'s [u8], &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => names.bytes(),
            None => self.rest.bytes(),
        };
        Some((name?, self.rest.bytes()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// Reads a varint of 64 bits.
pub(super) fn varint(walk: &mut Walk<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = walk.u8()?;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a varint of 64 bits.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

impl Block {
    /// An empty block with the names of a first entry, whose names and values are given in turn.
    fn new(base: StreamId, fields: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        packed::put_len(&mut bytes, fields.len() / 2);
        for name in fields.iter().step_by(2) {
            packed::put(&mut bytes, name);
        }
        Self {
            base,
            items: 0,
            slots: 0,
            head: bytes.len(),
            bytes,
        }
    }

    /// The names, and how many.
    fn names(&self) -> (Walk<'_>, usize) {
        let mut walk = Walk::new(&self.bytes);
        let count = walk.len().expect("a block starts with its names");
        (walk, count)
    }

    fn push(&mut self, id: StreamId, fields: &[&[u8]]) {
        let (mut names, count) = self.names();
        let same = count == fields.len() / 2
            && fields
                .iter()
                .step_by(2)
                .all(|name| names.bytes() == Some(*name));
        let mut body = Vec::with_capacity(20);
        put_varint(&mut body, id.ms - self.base.ms);
        let seq = if id.ms == self.base.ms {
            id.seq - self.base.seq
        } else {
            id.seq
        };
        put_varint(&mut body, seq);
        packed::put_len(&mut body, if same { 0 } else { fields.len() / 2 });
        let stored = |at: &usize| !same || at % 2 == 1;
        let parts = (0..fields.len()).filter(stored).map(|at| fields[at]);
        let size: usize = parts.clone().map(|part| packed::put_size(part.len())).sum();
        packed::put_len(&mut self.bytes, body.len() + size);
        self.bytes.extend_from_slice(&body);
        parts.for_each(|part| packed::put(&mut self.bytes, part));
        self.items += 1;
        self.slots += 1;
    }

    /// The entry at an offset, and where the next one starts; `None` at the end or where the bytes make no sense.
    fn at(&self, offset: usize) -> Option<(Entry<'_>, usize)> {
        let mut walk = Walk::new(self.bytes.get(offset..)?);
        let mut body = Walk::new(walk.bytes()?);
        let next = self.bytes.len() - walk.rest().len();
        let ms = self.base.ms.checked_add(varint(&mut body)?)?;
        let seq = varint(&mut body)?;
        let seq = if ms == self.base.ms {
            self.base.seq.checked_add(seq)?
        } else {
            seq
        };
        let own = body.len()?;
        let (names, left) = if own == 0 {
            let (names, count) = self.names();
            (Some(names), count)
        } else {
            (None, own)
        };
        let entry = Entry {
            id: StreamId::new(ms, seq),
            fields: Fields {
                names,
                rest: body,
                left,
            },
        };
        Some((entry, next))
    }

    fn iter(&self) -> InBlock<'_> {
        InBlock {
            block: self,
            offset: self.head,
        }
    }

    /// Appends base, slots and bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.base.ms);
        put_varint(out, self.base.seq);
        packed::put_len(out, self.slots as usize);
        packed::put(out, &self.bytes);
    }

    /// Reads a block with ids above `after`; `None` when it is malformed.
    fn decode(walk: &mut Walk<'_>, after: Option<StreamId>) -> Option<(Self, StreamId)> {
        let base = StreamId::new(varint(walk)?, varint(walk)?);
        let slots = u32::try_from(walk.len()?).ok()?;
        let bytes = walk.bytes()?;
        let mut names = Walk::new(bytes);
        let count = names.len()?;
        if count == 0 || count > bytes.len() {
            return None;
        }
        for _ in 0..count {
            names.bytes()?;
        }
        let mut block = Self {
            base,
            items: 0,
            slots,
            head: bytes.len() - names.rest().len(),
            bytes: bytes.to_vec(),
        };
        if after.is_some_and(|after| after >= base) {
            return None;
        }
        let mut last = None;
        let mut offset = block.head;
        let mut items = 0;
        while offset < block.bytes.len() {
            let (entry, next) = block.at(offset)?;
            if last.is_some_and(|last| entry.id <= last) {
                return None;
            }
            last = Some(entry.id);
            let mut fields = entry.fields;
            if fields.by_ref().count() != entry.fields.left || !fields.rest.is_done() {
                return None;
            }
            (offset, items) = (next, items + 1);
        }
        block.items = items;
        (items > 0 && items <= slots && slots <= BLOCK_ITEMS_MAX).then_some((block, last?))
    }
}

/// A walk over one block.
#[derive(Clone, Debug)]
struct InBlock<'s> {
    block: &'s Block,
    offset: usize,
}

impl<'s> Iterator for InBlock<'s> {
    type Item = Entry<'s>;

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, next) = self.block.at(self.offset)?;
        self.offset = next;
        Some(entry)
    }
}

/// What takes a removal of entries back.
#[derive(Debug)]
pub(super) enum Removed {
    /// One entry from inside a block: the block's position, the offset and the bytes.
    Part {
        block: usize,
        offset: usize,
        bytes: Box<[u8]>,
    },
    /// The only entry of a block.
    Whole { block: usize, gone: Box<Block> },
    /// All entries up to an id: whole blocks, and the start of the one that is first now.
    Front {
        gone: Vec<Block>,
        start: Box<[u8]>,
        items: u32,
    },
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    blocks: VecDeque<Block>,
    len: usize,
    /// Bytes of all blocks.
    heap: usize,
}

impl Entries {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn memory(&self) -> usize {
        self.heap + self.blocks.capacity() * size_of::<Block>()
    }

    /// Appends an entry above all others; `fields` are names and values in turn.
    pub(super) fn push(&mut self, id: StreamId, fields: &[&[u8]]) {
        debug_assert!(fields.len() >= 2 && fields.len().is_multiple_of(2), "pairs");
        let size: usize = fields.iter().map(|part| part.len()).sum();
        let fits = |block: &Block| {
            block.slots < BLOCK_ITEMS_MAX
                && block.bytes.len().saturating_add(size) < BLOCK_BYTES_MAX
        };
        if !self.blocks.back().is_some_and(fits) {
            if let Some(full) = self.blocks.back_mut() {
                self.heap -= full.bytes.capacity();
                full.bytes.shrink_to_fit();
                self.heap += full.bytes.capacity();
            }
            let block = Block::new(id, fields);
            self.heap += block.bytes.capacity();
            self.blocks.push_back(block);
        }
        let block = self.blocks.back_mut().expect("there is a block now");
        self.heap -= block.bytes.capacity();
        block.push(id, fields);
        self.heap += block.bytes.capacity();
        self.len += 1;
    }

    /// Takes back the last [`Entries::push`].
    pub(super) fn pop(&mut self) {
        let Some(block) = self.blocks.back_mut() else {
            return;
        };
        self.len -= 1;
        if block.items == 1 {
            self.heap -= block.bytes.capacity();
            self.blocks.pop_back();
            return;
        }
        let mut offset = block.head;
        for _ in 1..block.items {
            offset = block.at(offset).expect("as many entries as counted").1;
        }
        block.bytes.truncate(offset);
        block.items -= 1;
        block.slots -= 1;
    }

    /// Position of the block that holds an id if any does.
    fn block_of(&self, id: StreamId) -> Option<usize> {
        self.blocks
            .partition_point(|block| block.base <= id)
            .checked_sub(1)
    }

    /// The entry with an id.
    ///
    /// # Complexity
    ///
    /// O(log blocks) and a walk over one block.
    pub(crate) fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let block = &self.blocks[self.block_of(id)?];
        block
            .iter()
            .take_while(|entry| entry.id <= id)
            .find(|entry| entry.id == id)
    }

    pub(crate) fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn first(&self) -> Option<Entry<'_>> {
        self.blocks.front()?.iter().next()
    }

    pub(crate) fn last(&self) -> Option<Entry<'_>> {
        self.blocks.back()?.iter().last()
    }

    /// Number and last id of the entries of a block.
    pub(crate) fn block_end(&self, at: usize) -> Option<(usize, StreamId)> {
        let block = self.blocks.get(at)?;
        Some((block.items as usize, block.iter().last()?.id))
    }

    /// Entries from `start` to `end`, both included.
    pub(crate) fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        let block = self.block_of(start).unwrap_or(0);
        Range {
            entries: self,
            inside: self.blocks.get(block).map(Block::iter),
            block,
            start,
            end,
        }
    }

    /// As [`Entries::range`], from the end.
    pub(crate) fn reverse_range(&self, start: StreamId, end: StreamId) -> ReverseRange<'_> {
        ReverseRange {
            entries: self,
            inside: Vec::new(),
            next: self.block_of(end).map_or(0, |block| block + 1),
            start,
            end,
        }
    }

    /// Removes one entry.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<Removed> {
        let at = self.block_of(id)?;
        let block = &mut self.blocks[at];
        let mut offset = block.head;
        let next = loop {
            let (entry, next) = block.at(offset)?;
            if entry.id == id {
                break next;
            }
            if entry.id > id {
                return None;
            }
            offset = next;
        };
        self.len -= 1;
        if block.items == 1 {
            self.heap -= block.bytes.capacity();
            let gone = self.blocks.remove(at).expect("a block that is there");
            return Some(Removed::Whole {
                block: at,
                gone: Box::new(gone),
            });
        }
        block.items -= 1;
        let bytes = block.bytes.drain(offset..next).collect();
        Some(Removed::Part {
            block: at,
            offset,
            bytes,
        })
    }

    /// Removes all entries up to an id.
    pub(super) fn remove_through(&mut self, id: StreamId) -> Removed {
        let mut gone = Vec::new();
        while let Some((_, last)) = self.block_end(0)
            && last <= id
        {
            let block = self.blocks.pop_front().expect("the block just seen");
            self.len -= block.items as usize;
            self.heap -= block.bytes.capacity();
            gone.push(block);
        }
        let (mut start, mut items) = (Box::default(), 0);
        if let Some(block) = self.blocks.front_mut() {
            let mut offset = block.head;
            while let Some((entry, next)) = block.at(offset)
                && entry.id <= id
            {
                (offset, items) = (next, items + 1);
            }
            start = block.bytes.drain(block.head..offset).collect();
            block.items -= items;
            self.len -= items as usize;
        }
        Removed::Front { gone, start, items }
    }

    /// Puts back what was removed last.
    pub(super) fn restore(&mut self, removed: &Removed) {
        match removed {
            Removed::Part {
                block,
                offset,
                bytes,
            } => {
                let block = &mut self.blocks[*block];
                self.heap -= block.bytes.capacity();
                block.bytes.splice(*offset..*offset, bytes.iter().copied());
                self.heap += block.bytes.capacity();
                block.items += 1;
                self.len += 1;
            }
            Removed::Whole { block, gone } => {
                let gone = (**gone).clone();
                self.heap += gone.bytes.capacity();
                self.len += gone.items as usize;
                self.blocks.insert(*block, gone);
            }
            Removed::Front { gone, start, items } => {
                if let Some(block) = self.blocks.front_mut() {
                    self.heap -= block.bytes.capacity();
                    let head = block.head;
                    block.bytes.splice(head..head, start.iter().copied());
                    self.heap += block.bytes.capacity();
                    block.items += *items;
                    self.len += *items as usize;
                }
                for block in gone.iter().rev().cloned() {
                    self.heap += block.bytes.capacity();
                    self.len += block.items as usize;
                    self.blocks.push_front(block);
                }
            }
        }
    }

    /// Appends the number of blocks and the blocks.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        packed::put_len(out, self.blocks.len());
        self.blocks.iter().for_each(|block| block.encode(out));
    }

    /// Reads what [`Entries::encode`] wrote, and the last id; `None` when it is malformed.
    pub(super) fn decode(walk: &mut Walk<'_>) -> Option<(Self, StreamId)> {
        let mut entries = Self::default();
        let mut last = None;
        for _ in 0..walk.len()? {
            let (block, end) = Block::decode(walk, last)?;
            last = Some(end);
            entries.len += block.items as usize;
            entries.heap += block.bytes.capacity();
            entries.blocks.push_back(block);
        }
        Some((entries, last.unwrap_or_default()))
    }
}

/// Entries in order; see [`Entries::range`].
#[derive(Clone, Debug)]
pub(crate) struct Range<'s> {
    entries: &'s Entries,
    inside: Option<InBlock<'s>>,
    block: usize,
    start: StreamId,
    end: StreamId,
}

impl<'s> Iterator for Range<'s> {
    type Item = Entry<'s>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(entry) = self.inside.as_mut()?.next() else {
                self.block += 1;
                self.inside = self.entries.blocks.get(self.block).map(Block::iter);
                continue;
            };
            if entry.id > self.end {
                self.inside = None;
            } else if entry.id >= self.start {
                return Some(entry);
            }
        }
    }
}

/// Entries from the end; see [`Entries::reverse_range`].
#[derive(Clone, Debug)]
pub(crate) struct ReverseRange<'s> {
    entries: &'s Entries,
    /// What is left of the block at hand, last entry last.
    inside: Vec<Entry<'s>>,
    /// Position of the block at hand: those before it come next.
    next: usize,
    start: StreamId,
    end: StreamId,
}

impl<'s> Iterator for ReverseRange<'s> {
    type Item = Entry<'s>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.inside.pop() {
                return Some(entry);
            }
            self.next = self.next.checked_sub(1)?;
            let block = &self.entries.blocks[self.next];
            if block.base < self.start {
                // Blocks before this one end below its base.
                self.next = 0;
            }
            let wanted = |entry: &Entry<'_>| entry.id >= self.start && entry.id <= self.end;
            self.inside.extend(block.iter().filter(wanted));
        }
    }
}
