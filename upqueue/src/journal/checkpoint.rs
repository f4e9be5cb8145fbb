//! The state of all queues as one stream of bytes, and back; `docs/format.md` has the table.
//!
//! Invariant: a restored state equals the one that was written, but for what is in memory only; no bytes make the reader panic or
//! allocate more than they are.

use upkv::storage::codec::{Malformed, Reader, put_bytes, put_u8, put_u32, put_u64, put_varint};
use upkv::storage::{Address, CheckpointReader, CheckpointWriter, Error, Mount, Result, Timestamp};

use super::record::{
    REASON_BYTES_MAX, backoff, flag, options, put_backoff, put_options, text, time,
};
use crate::message::{DEDUPLICATION_BYTES_MAX, MessageId, NAME_BYTES_MAX, PRIORITIES};
use crate::state::lane::Lane;
use crate::state::{Entry, Grave, Stage, State};

const VERSION: u8 = 1;
/// Blocks are handed over at about this size.
const BLOCK_BYTES: usize = 64 << 10;

/// Kinds of block.
const LANES: u8 = 1;
const MESSAGES: u8 = 2;
const DEDUPLICATION: u8 = 3;
const END: u8 = 4;

fn block(out: &mut CheckpointWriter<'_>, kind: u8, bytes: &mut Vec<u8>) -> Result<()> {
    let len = u32::try_from(bytes.len()).expect("blocks are small");
    out.write(&[kind])?;
    out.write(&len.to_le_bytes())?;
    out.write(bytes)?;
    bytes.clear();
    Ok(())
}

pub(crate) fn write(state: &State, out: &mut CheckpointWriter<'_>) -> Result<()> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES + 4096);
    out.write(&[VERSION])?;
    out.write(&state.next_number.to_le_bytes())?;
    for lane in &state.lanes {
        put_bytes(&mut bytes, lane.name.as_bytes());
        put_u8(&mut bytes, u8::from(lane.paused));
        put_options(&mut bytes, &lane.options);
        if bytes.len() >= BLOCK_BYTES {
            block(out, LANES, &mut bytes)?;
        }
    }
    block(out, LANES, &mut bytes)?;
    for number in in_order(state) {
        put_entry(&mut bytes, number, &state.entries[&number]);
        if bytes.len() >= BLOCK_BYTES {
            block(out, MESSAGES, &mut bytes)?;
        }
    }
    block(out, MESSAGES, &mut bytes)?;
    for (key, seen) in state.deduplication.iter() {
        put_bytes(&mut bytes, key);
        put_u64(&mut bytes, seen.first.number);
        put_u64(&mut bytes, seen.first.epoch);
        put_u64(&mut bytes, seen.until.as_millis());
        if bytes.len() >= BLOCK_BYTES {
            block(out, DEDUPLICATION, &mut bytes)?;
        }
    }
    block(out, DEDUPLICATION, &mut bytes)?;
    block(out, END, &mut bytes)
}

/// Ready messages in the order of their lines, so that they are served in it again; then all others by number.
fn in_order(state: &State) -> Vec<u64> {
    let mut numbers: Vec<u64> = state.lanes.iter().flat_map(Lane::line).collect();
    let entries = state.entries.iter();
    let others = entries.filter(|(_, entry)| !entry.stage.is_ready());
    let mut others: Vec<u64> = others.map(|(number, _)| *number).collect();
    others.sort_unstable();
    numbers.append(&mut others);
    numbers
}

fn put_entry(out: &mut Vec<u8>, number: u64, entry: &Entry) {
    put_u64(out, number);
    put_u64(out, entry.epoch);
    put_u32(out, entry.at.segment);
    put_u32(out, entry.at.offset);
    put_u32(out, entry.at.len);
    put_u32(out, entry.lane);
    put_u8(out, entry.priority);
    put_varint(out, u64::from(entry.deliveries));
    put_u8(
        out,
        u8::from(entry.retries.is_some()) | u8::from(entry.backoff.is_some()) << 1,
    );
    if let Some(retries) = entry.retries {
        put_u32(out, retries);
    }
    if let Some(backoff) = &entry.backoff {
        put_backoff(out, backoff);
    }
    match &entry.stage {
        Stage::Ready(_) => put_u8(out, 0),
        Stage::Resting(at) => {
            put_u8(out, 1);
            put_u64(out, at.as_millis());
        }
        Stage::Leased(until, _) => {
            put_u8(out, 2);
            put_u64(out, until.as_millis());
        }
        Stage::Dead(grave) => {
            put_u8(out, 3);
            put_u64(out, grave.at.as_millis());
            put_bytes(out, grave.reason.as_bytes());
        }
    }
}

fn entry(input: &mut Reader<'_>) -> Result<(u64, Entry), Malformed> {
    let number = input.u64()?;
    let epoch = input.u64()?;
    let at = Address {
        segment: input.u32()?,
        offset: input.u32()?,
        len: input.u32()?,
    };
    let (lane, priority) = (input.u32()?, input.u8()?);
    if priority >= PRIORITIES || number == u64::MAX {
        return Err(Malformed("message in a checkpoint"));
    }
    let deliveries = input.varint()?;
    let deliveries = u32::try_from(deliveries).map_err(|_| Malformed("count of deliveries"))?;
    let flags = input.u8()?;
    if flags > 3 {
        return Err(Malformed("flags of a message"));
    }
    let retries = (flags & 1 != 0).then(|| input.u32()).transpose()?;
    let backoff = (flags & 2 != 0).then(|| backoff(input)).transpose()?;
    let stage = match input.u8()? {
        0 => Stage::READY,
        1 => Stage::Resting(time(input)?),
        2 => Stage::Leased(time(input)?, 0),
        3 => Stage::Dead(Box::new(Grave {
            at: time(input)?,
            reason: text(input, REASON_BYTES_MAX)?,
        })),
        _ => return Err(Malformed("stage of a message")),
    };
    let entry = Entry {
        at,
        lane,
        epoch,
        deliveries,
        retries,
        priority,
        backoff: backoff.map(Box::new),
        stage,
        lasting: true,
    };
    Ok((number, entry))
}

pub(crate) fn read(
    state: &mut State,
    mount: &Mount,
    input: &mut CheckpointReader<'_>,
) -> Result<()> {
    if input.remaining() == 0 {
        return Ok(());
    }
    let head = input.take(9)?;
    let mut reader = Reader::new(&head);
    if reader.u8()? != VERSION {
        let what = "unknown version of the queue state";
        return Err(Error::corrupt("checkpoint", 0, what));
    }
    state.next_number = reader.u64()?;
    loop {
        let head = input.take(5)?;
        let mut reader = Reader::new(&head);
        let (kind, len) = (reader.u8()?, reader.u32()?);
        let bytes = input.take(len as usize)?;
        if kind == END {
            break;
        }
        decode_block(state, kind, &bytes)?;
    }
    if input.remaining() > 0 {
        let what = "bytes after the queue state";
        return Err(Error::corrupt("checkpoint", 0, what));
    }
    // Counting is the same in any order.
    state
        .entries
        .values()
        .for_each(|entry| mount.retain(entry.at));
    Ok(())
}

/// Takes in one block. Also what the fuzz target and the mutation test drive.
pub(crate) fn decode_block(state: &mut State, kind: u8, bytes: &[u8]) -> Result<(), Malformed> {
    let mut input = Reader::new(bytes);
    while input.remaining() > 0 {
        match kind {
            LANES => {
                let name = text(&mut input, NAME_BYTES_MAX)?;
                let mut lane = Lane::new(&name);
                lane.paused = flag(&mut input)?;
                lane.options = options(&mut input)?;
                let id = u32::try_from(state.lanes.len()).map_err(|_| Malformed("queues"))?;
                if state.names.insert(name, id).is_some() {
                    return Err(Malformed("a queue twice"));
                }
                state.lanes.push(lane);
            }
            MESSAGES => {
                let (number, mut entry) = entry(&mut input)?;
                if entry.lane as usize >= state.lanes.len() || state.entries.contains_key(&number) {
                    return Err(Malformed("a message twice, or in no queue"));
                }
                state.next_number = state.next_number.max(number + 1);
                state.enter(number, &mut entry, false);
                state.entries.insert(number, entry);
            }
            DEDUPLICATION => {
                let key = input.bytes()?;
                if !(1..=DEDUPLICATION_BYTES_MAX).contains(&key.len()) {
                    return Err(Malformed("deduplication id of 1 to 256 bytes"));
                }
                let first = MessageId {
                    number: input.u64()?,
                    epoch: input.u64()?,
                };
                let until: Timestamp = time(&mut input)?;
                state.deduplication.insert(key, first, until);
            }
            _ => return Err(Malformed("kind of block")),
        }
    }
    Ok(())
}
