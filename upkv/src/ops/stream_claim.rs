//! Pending entries that change hands: XCLAIM and XAUTOCLAIM.

use super::stream::StreamEntry;
use super::stream_group::{meet, no_key_or_group};
use crate::error::Result;
use crate::keyspace::work::Work;
use crate::value::stream::{Effect, Group, Stream, StreamId};

/// Most pending entries an XAUTOCLAIM looks at for each one it may return.
const LOOKS_PER_CLAIM: usize = 10;

/// How entries change hands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claim {
    /// Only what was not delivered for that long, in ms.
    pub(crate) min_idle: u64,
    /// The time of delivery to note, in ms; otherwise now.
    pub(crate) delivered: Option<u64>,
    /// The number of deliveries to note; otherwise one more.
    pub(crate) count: Option<u64>,
    /// Entries become pending even if they were not.
    pub(crate) force: bool,
    /// Only ids are wanted, so that this is no delivery.
    pub(crate) only_ids: bool,
    /// The group has read at least up to there.
    pub(crate) last: StreamId,
}

/// What claiming came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claimed {
    pub(crate) entries: Vec<StreamEntry>,
    /// Entries that were pending but are no longer in the stream; they are pending no more.
    pub(crate) gone: Vec<StreamId>,
    /// Where to go on.
    pub(crate) next: StreamId,
}

/// What [`Claim`] makes of one id.
enum Fate {
    /// It is claimed, for the so manieth delivery.
    Taken(u64),
    Gone,
    Left,
}

impl Claim {
    fn fate(&self, stream: &Stream, group: &Group, id: StreamId, now: u64) -> Fate {
        let pending = group.pending.get(&id);
        if !stream.entries().contains(id) {
            return pending.map_or(Fate::Left, |_| Fate::Gone);
        }
        let before = match pending {
            Some(pending) if now.saturating_sub(pending.delivered) < self.min_idle => {
                return Fate::Left;
            }
            Some(pending) => pending.count,
            None if self.force => 1,
            None => return Fate::Left,
        };
        let more = u64::from(!self.only_ids);
        Fate::Taken(self.count.unwrap_or(before.saturating_add(more)))
    }

    /// Carries out what was decided.
    fn finish(
        &self,
        work: &mut Work<'_>,
        (key, group, consumer): (&[u8], &[u8], &[u8]),
        taken: Vec<(StreamId, u64)>,
        gone: Vec<StreamId>,
    ) -> Result<()> {
        let now = work.now;
        let Some(mut edit) = work.edit_of::<Stream>(key, false)? else {
            return Ok(());
        };
        let at = edit.group(group).map(|group| (group.last, group.read));
        if let Some((last, read)) = at
            && self.last > last
        {
            let last = self.last;
            edit.apply(&Effect::Group { group, last, read });
        }
        if !gone.is_empty() {
            edit.apply(&Effect::Ack { group, ids: gone });
        }
        if !taken.is_empty() {
            edit.assign(group, consumer, self.delivered.unwrap_or(now), taken);
            edit.activate(group, consumer, now);
        }
        Ok(())
    }
}

/// Gives pending entries to a consumer.
pub(crate) fn claim(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    ids: &[StreamId],
    how: Claim,
) -> Result<Vec<StreamEntry>> {
    let now = work.now;
    let refused = || no_key_or_group(key, group);
    let mut claimed = Vec::new();
    // One id after the other: one that comes twice was just delivered.
    meet_in_group(work, key, group, consumer)?;
    for id in ids {
        let stream = work.read::<Stream>(key)?.ok_or_else(refused)?;
        let found = stream.group(group).ok_or_else(refused)?;
        let (mut taken, mut gone) = (Vec::new(), Vec::new());
        match how.fate(stream, found, *id, now) {
            Fate::Taken(count) => {
                taken.push((*id, count));
                claimed.extend(stream.entries().get(*id).map(StreamEntry::copy));
            }
            Fate::Gone => gone.push(*id),
            Fate::Left => continue,
        }
        how.finish(work, (key, group, consumer), taken, gone)?;
    }
    if how.last != StreamId::MIN {
        how.finish(work, (key, group, consumer), Vec::new(), Vec::new())?;
    }
    Ok(claimed)
}

/// As [`meet`], where the group must exist.
fn meet_in_group(work: &mut Work<'_>, key: &[u8], group: &[u8], consumer: &[u8]) -> Result<()> {
    let stream = work.read::<Stream>(key)?;
    if stream.and_then(|stream| stream.group(group)).is_none() {
        return Err(no_key_or_group(key, group));
    }
    meet(work, key, group, consumer)
}

/// Gives up to `count` pending entries from an id on to a consumer.
pub(crate) fn auto_claim(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    start: StreamId,
    count: usize,
    how: Claim,
) -> Result<Claimed> {
    let now = work.now;
    let refused = || no_key_or_group(key, group);
    meet_in_group(work, key, group, consumer)?;
    let stream = work.read::<Stream>(key)?.ok_or_else(refused)?;
    let found = stream.group(group).ok_or_else(refused)?;
    let mut claimed = Claimed::default();
    let mut taken = Vec::new();
    let mut looks = count.saturating_mul(LOOKS_PER_CLAIM);
    let mut pending = found.pending.range(start..);
    while looks > 0 && taken.len() + claimed.gone.len() < count {
        let Some((id, _)) = pending.next() else {
            break;
        };
        looks -= 1;
        match how.fate(stream, found, *id, now) {
            Fate::Taken(count) => {
                taken.push((*id, count));
                let entry = stream.entries().get(*id);
                claimed.entries.extend(entry.map(StreamEntry::copy));
            }
            Fate::Gone => claimed.gone.push(*id),
            Fate::Left => {}
        }
    }
    claimed.next = pending.next().map_or(StreamId::MIN, |(id, _)| *id);
    if !taken.is_empty() || !claimed.gone.is_empty() {
        how.finish(work, (key, group, consumer), taken, claimed.gone.clone())?;
    }
    Ok(claimed)
}
