//! The commands that took long.
//!
//! Invariant: at most as many entries as the parameter allows, each of bounded size.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::storage::Timestamp;

/// Arguments kept of one command; the last says how many more there were.
const ARGS_MAX: usize = 32;
/// Bytes kept of one argument.
const ARG_BYTES_MAX: usize = 128;

/// A command that took long.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) id: u64,
    pub(crate) at: Timestamp,
    pub(crate) micros: u64,
    pub(crate) args: Vec<Box<[u8]>>,
    pub(crate) address: String,
    pub(crate) name: String,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// The newest first.
    entries: VecDeque<Slow>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    state: Mutex<State>,
}

fn cut(arg: &[u8]) -> Box<[u8]> {
    match arg.get(..ARG_BYTES_MAX) {
        Some(start) if arg.len() > ARG_BYTES_MAX => {
            let rest = format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX);
            [start, rest.as_bytes()].concat().into()
        }
        _ => arg.into(),
    }
}

/// The arguments as they are kept.
pub(crate) fn shortened(args: &[&[u8]]) -> Vec<Box<[u8]>> {
    if args.len() <= ARGS_MAX {
        return args.iter().map(|arg| cut(arg)).collect();
    }
    let mut kept: Vec<Box<[u8]>> = args[..ARGS_MAX - 1].iter().map(|arg| cut(arg)).collect();
    let rest = format!("... ({} more arguments)", args.len() - (ARGS_MAX - 1));
    kept.push(rest.into_bytes().into());
    kept
}

impl SlowLog {
    /// Adds a command, whose number is set here.
    pub(crate) fn add(&self, mut slow: Slow, max: usize) {
        let mut state = self.state.lock();
        slow.id = state.next;
        state.next += 1;
        state.entries.push_front(slow);
        state.entries.truncate(max);
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    /// The newest entries, the newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Slow> {
        self.state
            .lock()
            .entries
            .iter()
            .take(count)
            .cloned()
            .collect()
    }

    pub(crate) fn reset(&self) {
        self.state.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_arguments_are_cut() {
        let kept_log = SlowLog::default();
        let long = vec![b'x'; 200];
        for _ in 0..5 {
            let args = shortened(&[b"SET", b"k", &long]);
            let slow = Slow {
                id: 0,
                at: Timestamp::from_millis(1),
                micros: 2,
                args,
                address: String::new(),
                name: String::new(),
            };
            kept_log.add(slow, 3);
        }
        let kept = kept_log.newest(usize::MAX);
        assert_eq!(
            kept.iter().map(|slow| slow.id).collect::<Vec<_>>(),
            [4, 3, 2]
        );
        assert!(kept[0].args[2].ends_with(b"... (72 more bytes)"));
        assert_eq!(shortened(&vec![&b"a"[..]; 40]).len(), ARGS_MAX);
        assert_eq!(
            &*shortened(&vec![&b"a"[..]; 40])[31],
            b"... (9 more arguments)"
        );
        kept_log.reset();
        assert_eq!(kept_log.len(), 0);
    }
}
