//! The fold of all journals as one stream of bytes, and back.
//!
//! Layout: version u8, next run u64, count u64, then per run a length-prefixed block; `docs/format.md` has the table.
//!
//! Invariant: a restored state equals the one that was written, but for what is in memory only; no bytes make the reader panic or
//! allocate more than they are.

use upkv::Timestamp;
use upkv::storage::codec::{Malformed, Reader, put_bytes, put_u8, put_u32, put_u64, put_varint};
use upkv::storage::{Address, CheckpointReader, CheckpointWriter, Error, Mount, Result};

use super::fold::{Run, State, Status};
use super::record::{flag, put_reason, reason};
use crate::replay::path::DEPTH_MAX;

const VERSION: u8 = 1;

pub(crate) fn write(state: &State, out: &mut CheckpointWriter<'_>) -> Result<()> {
    let mut bytes = Vec::with_capacity(256);
    put_u8(&mut bytes, VERSION);
    put_u64(&mut bytes, state.next_run);
    put_u64(&mut bytes, state.runs.len() as u64);
    out.write(&bytes)?;
    for (uid, run) in &state.runs {
        bytes.clear();
        encode(*uid, run, &mut bytes);
        let len = u32::try_from(bytes.len()).expect("the fold of a journal is far below 4 GiB");
        out.write(&len.to_le_bytes())?;
        out.write(&bytes)?;
    }
    Ok(())
}

pub(crate) fn read(
    state: &mut State,
    mount: &Mount,
    input: &mut CheckpointReader<'_>,
) -> Result<()> {
    if input.remaining() == 0 {
        return Ok(());
    }
    let head = input.take(17)?;
    let mut reader = Reader::new(&head);
    if reader.u8()? != VERSION {
        return Err(Error::corrupt(
            "checkpoint",
            0,
            "unknown version of the workflow state",
        ));
    }
    state.next_run = reader.u64()?;
    let count = reader.u64()?;
    for _ in 0..count {
        let mut len = [0; 4];
        input.read_exact(&mut len)?;
        let block = input.take(u32::from_le_bytes(len) as usize)?;
        let mut reader = Reader::new(&block);
        let (uid, run) = decode(&mut reader)?;
        reader.finish()?;
        run.journal.iter().for_each(|at| mount.retain(*at));
        if state.ids.get(&run.id).is_none_or(|other| *other < uid) {
            state.ids.insert(std::sync::Arc::clone(&run.id), uid);
        }
        state.runs.insert(uid, run);
    }
    if input.remaining() > 0 {
        return Err(Error::corrupt(
            "checkpoint",
            0,
            "bytes after the workflow state",
        ));
    }
    let mut ended: Vec<_> = state
        .runs
        .iter()
        .filter(|(_, run)| !run.is_active())
        .collect();
    ended.sort_by_key(|(uid, run)| (run.ended, **uid));
    state.ended = ended.into_iter().map(|(uid, _)| *uid).collect();
    Ok(())
}

pub(crate) fn encode(uid: u64, run: &Run, out: &mut Vec<u8>) {
    put_u64(out, uid);
    put_bytes(out, run.id.as_bytes());
    put_bytes(out, run.workflow.as_bytes());
    put_u32(out, run.version);
    put_u64(out, run.started.as_millis());
    put_u8(
        out,
        match run.status {
            Status::Active => 0,
            Status::Completed => 1,
            Status::Failed => 2,
            Status::Cancelled => 3,
        },
    );
    put_u64(out, run.ended.as_millis());
    put_u8(out, u8::from(run.blocked.is_some()));
    if let Some(blocked) = &run.blocked {
        put_reason(out, blocked);
    }
    for time in [run.cancel_requested, run.body_retry] {
        put_u8(out, u8::from(time.is_some()));
        if let Some(at) = time {
            put_u64(out, at.as_millis());
        }
    }
    put_u8(out, u8::from(run.parked));
    put_u32(out, run.panics);
    put_varint(out, run.journal.len() as u64);
    for at in &run.journal {
        put_u32(out, at.segment);
        put_u32(out, at.offset);
        put_u32(out, at.len);
    }
    put_varint(out, run.mail.len() as u64);
    for (event, index) in &run.mail {
        put_bytes(out, event.as_bytes());
        put_u32(out, *index);
    }
    put_varint(out, run.deadlines.len() as u64);
    for (position, at) in &run.deadlines {
        put_varint(out, position.len() as u64);
        for ordinal in position {
            put_varint(out, u64::from(*ordinal));
        }
        put_u64(out, at.as_millis());
    }
}

pub(crate) fn decode(input: &mut Reader<'_>) -> Result<(u64, Run), Malformed> {
    let uid = input.u64()?;
    let (id, workflow) = (input.text()?, input.text()?);
    let version = input.u32()?;
    let mut run = Run::new(id, workflow, version, time(input)?);
    run.status = match input.u8()? {
        0 => Status::Active,
        1 => Status::Completed,
        2 => Status::Failed,
        3 => Status::Cancelled,
        _ => return Err(Malformed("status of a run")),
    };
    run.ended = time(input)?;
    run.blocked = flag(input)?.then(|| reason(input)).transpose()?;
    run.cancel_requested = flag(input)?.then(|| time(input)).transpose()?;
    run.body_retry = flag(input)?.then(|| time(input)).transpose()?;
    run.parked = flag(input)?;
    run.panics = input.u32()?;
    for _ in 0..count(input, 12)? {
        let (segment, offset, len) = (input.u32()?, input.u32()?, input.u32()?);
        run.journal.push(Address {
            segment,
            offset,
            len,
        });
    }
    for _ in 0..count(input, 8)? {
        run.mail.push_back((input.text()?.into(), input.u32()?));
    }
    for _ in 0..count(input, 9)? {
        let parts = count(input, 1)?;
        if parts > 2 * DEPTH_MAX + 1 {
            return Err(Malformed("position of at most 32 joins"));
        }
        let ordinal = |_| {
            input
                .varint()
                .and_then(|n| u32::try_from(n).map_err(|_| Malformed("ordinal")))
        };
        let position = (0..parts).map(ordinal).collect::<Result<_, _>>()?;
        run.deadlines.push((position, time(input)?));
    }
    Ok((uid, run))
}

fn time(input: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    input.u64().map(Timestamp::from_millis)
}

/// A count of things of at least `least` bytes each, which must all be there.
fn count(input: &mut Reader<'_>, least: usize) -> Result<usize, Malformed> {
    let count = input.varint()?;
    let fits = usize::try_from(count)
        .ok()
        .filter(|n| *n <= input.remaining() / least);
    fits.ok_or(Malformed("count"))
}

#[cfg(test)]
mod tests {
    use upkv::storage::Random;

    use super::*;
    use crate::journal::record::Reason;

    fn sample() -> Run {
        let mut run = Run::new("o-1", "order", 2, Timestamp::from_millis(5));
        run.blocked = Some(Reason::ForeignAwait { after: None });
        run.cancel_requested = Some(Timestamp::from_millis(6));
        run.journal = vec![
            Address {
                segment: 1,
                offset: 64,
                len: 20
            };
            2
        ];
        run.mail.push_back(("go".into(), 1));
        run.deadlines.push((vec![1, 0, 3], Timestamp::MAX));
        run
    }

    #[test]
    fn a_run_survives_encoding() {
        let mut bytes = Vec::new();
        encode(9, &sample(), &mut bytes);
        let mut reader = Reader::new(&bytes);
        let (uid, run) = decode(&mut reader).unwrap();
        reader.finish().unwrap();
        let mut again = Vec::new();
        encode(uid, &run, &mut again);
        assert_eq!(again, bytes);
        assert_eq!(format!("{run:?}"), format!("{:?}", sample()));
    }

    #[test]
    fn mutated_runs_never_panic() {
        let random = Random::seeded(3);
        let mut whole = Vec::new();
        encode(9, &sample(), &mut whole);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                bytes[at] = random.next_u64().to_le_bytes()[0];
            }
            bytes.truncate(bytes.len() - usize::try_from(random.below(8)).unwrap());
            let mut reader = Reader::new(&bytes);
            if let Ok((uid, run)) = decode(&mut reader) {
                let mut again = Vec::new();
                encode(uid, &run, &mut again);
                assert_eq!(again, bytes[..bytes.len() - reader.remaining()]);
            }
        }
    }
}
