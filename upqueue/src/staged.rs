//! The queue's part of a transaction across engines.

use std::any::Any;
use std::sync::Arc;

use upkv::Store;
use upkv::storage::{self, Commit, Enlist, Frame, MountId, Staged};

use crate::error::{Error, Result};
use crate::inner::{Inner, push};
use crate::job::{Job, LeaseToken};
use crate::journal::record::Fact;
use crate::message::Message;
use crate::queue::{Prepared, Queue, is_ready};

/// What a transaction does to the queue; got by enlisting it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upkv::storage::{Durability, Transaction};
/// use upqueue::{Message, Queue};
/// let queue = Queue::memory()?;
/// queue.publish(Message::new("orders", "17"))?;
/// let job = queue.receive("orders", Duration::ZERO)?.expect("published above");
/// let mut tx = Transaction::new();
/// let staged = tx.enlist(queue.store(), &queue)?;
/// staged.ack(job);
/// staged.publish(Message::new("invoices", "17"))?;
/// tx.commit(queue.store(), Durability::Disk)?; // both or neither
/// assert_eq!((queue.stats("orders").leased, queue.stats("invoices").ready), (0, 1));
/// # Ok::<(), upqueue::Error>(())
/// ```
#[derive(Debug)]
pub struct StagedMessages {
    inner: Arc<Inner>,
    messages: Vec<Message>,
    acks: Vec<LeaseToken>,
    woken: bool,
}

impl StagedMessages {
    /// Publishes a message when the transaction commits. A duplicate is dropped then.
    ///
    /// # Errors
    ///
    /// As [`Queue::publish`]; a full queue refuses the commit.
    pub fn publish(&mut self, message: Message) -> storage::Result<()> {
        message.check()?;
        self.messages.push(message);
        Ok(())
    }

    /// Acknowledges a delivery when the transaction commits; a lease that is lost by then refuses the commit. If the transaction is
    /// dropped, the message comes back when its lease ends.
    pub fn ack(&mut self, job: Job) {
        self.acks.push(job.forget());
    }

    /// As [`ack`](Self::ack), by the delivery's token.
    pub fn ack_token(&mut self, token: LeaseToken) {
        self.acks.push(token);
    }

    /// The messages that the commit of these facts publishes.
    fn facts(&self, state: &mut crate::state::State) -> Result<Prepared> {
        let mut numbers: Vec<u64> = Vec::with_capacity(self.acks.len());
        for token in &self.acks {
            self.inner.leased(state, *token)?;
            if numbers.contains(&token.id.number) {
                return Err(Error::LeaseLost(token.id));
            }
            numbers.push(token.id.number);
        }
        let (mut facts, made) = self.inner.prepare(state, self.messages.clone())?;
        if !numbers.is_empty() {
            facts.push(Fact::Ack { numbers });
        }
        Ok((facts, made))
    }
}

impl Staged for StagedMessages {
    fn mount_id(&self) -> MountId {
        self.inner.mount.id()
    }

    fn commit(
        &mut self,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> storage::Result<Commit>,
    ) -> storage::Result<Commit> {
        let inner = Arc::clone(&self.inner);
        let mut state = inner.state.lock();
        let (facts, _) = self.facts(&mut state)?;
        let first = frame.len();
        for fact in &facts {
            push(frame, &inner.mount, fact);
        }
        let commit = rest(frame)?;
        inner.publish(&mut state, &facts, &commit, first);
        inner.arm(&state);
        self.woken = facts.iter().any(is_ready);
        Ok(commit)
    }

    fn committed(&mut self) {
        if self.woken {
            self.inner.arrived.notify();
        }
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Enlist for Queue {
    type Staged = StagedMessages;

    fn mount_id(&self) -> MountId {
        self.inner().mount.id()
    }

    fn belongs_to(&self, store: &Store) -> bool {
        self.store().is_same(store)
    }

    fn stage(&self) -> StagedMessages {
        StagedMessages {
            inner: Arc::clone(self.inner()),
            messages: Vec::new(),
            acks: Vec::new(),
            woken: false,
        }
    }
}
