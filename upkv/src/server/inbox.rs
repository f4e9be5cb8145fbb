//! What waits to be delivered to one client: messages, invalidations, lines of the monitor.
//!
//! Invariant: whoever puts something in never waits, and an inbox never holds more than its limit: a client that
//! does not keep up is cut off, and what it had not taken is dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::command::Reply;
use crate::storage::Signal;
use crate::storage::sync::{AtomicUsize, Mutex, Ordering};
use crate::value::owned::Value;

/// Bytes that one message costs beside its content.
const PUSH_BYTES: usize = 64;

/// A message of a channel.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let news = db.subscribe(["news"]);
/// db.publish("news", "hello")?;
/// let message = news.try_next()?.expect("published above");
/// assert_eq!((&*message.channel, &*message.payload), (&b"news"[..], &b"hello"[..]));
/// assert_eq!(message.pattern, None);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The channel it was published to.
    pub channel: Value,
    /// The pattern that let it through, if it came by one.
    pub pattern: Option<Value>,
    /// What was published.
    pub payload: Value,
    /// Whether it was published with `SPUBLISH`.
    pub sharded: bool,
}

/// One thing to deliver.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    Message(Message),
    /// Keys whose values a client should forget; `None` is all of them.
    Invalidate {
        keys: Option<Vec<Value>>,
        /// Whether another client read them.
        redirected: bool,
    },
    /// The client that invalidations are redirected to is gone.
    RedirectBroken(u64),
    /// A line of the monitor.
    Line(String),
}

impl Push {
    fn bytes(&self) -> usize {
        let keys = |keys: &Option<Vec<Value>>| {
            let keys = keys.iter().flatten();
            keys.map(|key| key.len() + size_of::<Value>())
                .sum::<usize>()
        };
        PUSH_BYTES
            + match self {
                Self::Message(message) => {
                    let pattern = message.pattern.as_ref().map_or(0, |pattern| pattern.len());
                    message.channel.len() + pattern + message.payload.len()
                }
                Self::Invalidate { keys: found, .. } => keys(found),
                Self::RedirectBroken(_) => 0,
                Self::Line(line) => line.len(),
            }
    }

    /// As it is sent; `None` if a client of this kind cannot be told.
    pub(crate) fn into_reply(self, proto: u8, subscribed: bool) -> Option<Reply> {
        let word = |word: &str| Reply::bulk_copy(word.as_bytes());
        let keys = |keys: Option<Vec<Value>>| {
            keys.map_or(Reply::Null, |keys| {
                Reply::Array(keys.into_iter().map(Reply::Bulk).collect())
            })
        };
        Some(match self {
            Self::Message(message) => {
                let Message {
                    channel,
                    pattern,
                    payload,
                    sharded,
                } = message;
                let kind = match (&pattern, sharded) {
                    (Some(_), _) => "pmessage",
                    (None, true) => "smessage",
                    (None, false) => "message",
                };
                let mut items = vec![word(kind)];
                items.extend(pattern.map(Reply::Bulk));
                items.extend([Reply::Bulk(channel), Reply::Bulk(payload)]);
                Reply::Push(items)
            }
            Self::Invalidate { keys: found, .. } if proto > 2 => {
                Reply::Push(vec![word("invalidate"), keys(found)])
            }
            Self::Invalidate {
                keys: found,
                redirected: true,
            } if subscribed => Reply::Push(vec![
                word("message"),
                word("__redis__:invalidate"),
                found.map_or(Reply::NullArray, |found| keys(Some(found))),
            ]),
            Self::RedirectBroken(id) if proto > 2 => Reply::Push(vec![
                word("tracking-redir-broken"),
                Reply::Int(i64::try_from(id).unwrap_or(i64::MAX)),
            ]),
            Self::Invalidate { .. } | Self::RedirectBroken(_) => return None,
            Self::Line(line) => Reply::Text(line),
        })
    }
}

/// Futures to wake once no lock is held; dropping it wakes them.
#[derive(Debug, Default)]
pub(crate) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(crate) fn add(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) id: u64,
    limit_bytes: Arc<AtomicUsize>,
    state: Mutex<State>,
    pub(crate) signal: Arc<Signal>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Push>,
    bytes: usize,
    waker: Option<Waker>,
    closed: bool,
}

impl Inbox {
    pub(crate) fn new(id: u64, limit_bytes: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            id,
            limit_bytes,
            state: Mutex::new(State::default()),
            signal: Signal::new(),
        })
    }

    /// Puts something in; whether the client is still there to take it.
    pub(crate) fn push(&self, push: Push, wakes: &mut Wakes) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.bytes += push.bytes();
        // Relaxed: the limit stands alone.
        let limit = self.limit_bytes.load(Ordering::Relaxed);
        if limit > 0 && state.bytes > limit {
            state.closed = true;
            state.queue = VecDeque::new();
        } else {
            state.queue.push_back(push);
        }
        wakes.add(state.waker.take());
        drop(state);
        self.signal.notify();
        true
    }

    /// Takes the oldest thing out.
    pub(crate) fn take(&self) -> Option<Push> {
        let mut state = self.state.lock();
        let push = state.queue.pop_front()?;
        state.bytes -= push.bytes();
        Some(push)
    }

    /// As [`Inbox::take`]; ready with `None` once the inbox is closed and empty, else wakes the task later.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Push>> {
        let mut state = self.state.lock();
        if let Some(push) = state.queue.pop_front() {
            state.bytes -= push.bytes();
            return Poll::Ready(Some(push));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Remembers whom to wake when there is something new, or when the inbox is closed.
    pub(crate) fn wake_later(&self, waker: &Waker) {
        self.state.lock().waker = Some(waker.clone());
    }

    /// Wakes whoever waits for this inbox.
    pub(crate) fn wake(&self) {
        let waker = self.state.lock().waker.take();
        self.signal.notify();
        drop(Wakes(waker.into_iter().collect()));
    }

    /// Cuts the client off; what it had not taken is dropped.
    pub(crate) fn close(&self, wakes: &mut Wakes) {
        let mut state = self.state.lock();
        state.closed = true;
        state.queue = VecDeque::new();
        state.bytes = 0;
        wakes.add(state.waker.take());
        drop(state);
        self.signal.notify();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Number of things that wait, and their bytes.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Push {
        Push::Line(text.into())
    }

    #[test]
    fn a_slow_client_is_cut_off() {
        let limit = Arc::new(AtomicUsize::new(3 * PUSH_BYTES));
        let inbox = Inbox::new(1, Arc::clone(&limit));
        let mut wakes = Wakes::default();
        assert!(inbox.push(line("a"), &mut wakes));
        assert!(inbox.push(line("b"), &mut wakes));
        assert_eq!(inbox.load(), (2, 2 * PUSH_BYTES + 2));
        assert!(
            inbox.push(line("c"), &mut wakes),
            "it was there when this came"
        );
        assert!(inbox.is_closed());
        assert!(inbox.take().is_none());
        assert!(!inbox.push(line("d"), &mut wakes));
    }

    #[test]
    fn without_a_limit_everything_is_kept_in_order() {
        let inbox = Inbox::new(1, Arc::new(AtomicUsize::new(0)));
        for n in 0..100 {
            inbox.push(line(&n.to_string()), &mut Wakes::default());
        }
        for n in 0..100 {
            assert!(matches!(inbox.take(), Some(Push::Line(text)) if text == n.to_string()));
        }
        assert_eq!(inbox.load(), (0, 0));
    }
}
