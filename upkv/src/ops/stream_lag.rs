//! What can be told of how far a consumer group is behind its stream.

use crate::value::stream::{Group, Stream, StreamId};

/// Whether an entry at or after an id was deleted by id.
pub(super) fn has_gaps_from(stream: &Stream, id: StreamId) -> bool {
    let gap = stream.counters().max_deleted;
    stream.len() > 0 && gap != StreamId::MIN && id <= gap
}

/// How many entries were ever added up to an id, if that can be told.
pub(crate) fn entries_up_to(stream: &Stream, id: StreamId) -> Option<u64> {
    let counters = stream.counters();
    let len = stream.len() as u64;
    if counters.added == 0 {
        return Some(0);
    }
    if (len == 0 && id < counters.last) || id == counters.last {
        return Some(counters.added);
    }
    if id > counters.last {
        return None;
    }
    let first = stream.first_id();
    if counters.max_deleted != StreamId::MIN && counters.max_deleted >= first {
        return None;
    }
    let before = counters.added.saturating_sub(len);
    match id.cmp(&first) {
        std::cmp::Ordering::Less => Some(before),
        std::cmp::Ordering::Equal => Some(before + 1),
        std::cmp::Ordering::Greater => None,
    }
}

/// How many entries a group has still to read, if that can be told.
pub(crate) fn lag(stream: &Stream, group: &Group) -> Option<u64> {
    let added = stream.counters().added;
    let len = stream.len() as u64;
    if added == 0 || len == 0 {
        return Some(0);
    }
    let first = stream.first_id();
    if group.last < first && stream.counters().max_deleted < first {
        return Some(len);
    }
    let read = match group.read {
        Some(read) if !has_gaps_from(stream, group.last) => Some(read),
        _ => entries_up_to(stream, group.last),
    };
    read.map(|read| added.saturating_sub(read))
}
