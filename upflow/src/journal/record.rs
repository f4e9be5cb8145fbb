//! Record bodies of the journal, byte by byte. `docs/format.md` has the table.
//!
//! Invariant: no bytes make [`Entry::decode`] panic or allocate more than they are, and every value has one encoding.

use bytes::Bytes;
use upkv::Timestamp;
use upkv::storage::codec::{Malformed, Reader, put_bytes, put_u8, put_u32, put_u64};

use crate::outcome::{StepError, StepErrorKind};
use crate::replay::path::{OpId, OpKind, Path};

/// One record of a run's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of the run in its engine.
    pub(crate) run: u64,
    /// Position in the run's journal, from 0.
    pub(crate) index: u32,
    /// When it was written.
    pub(crate) time: Timestamp,
    pub(crate) fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Start {
        id: Box<str>,
        workflow: Box<str>,
        version: u32,
        seed: u64,
        input: Bytes,
    },
    StepDone {
        op: OpId,
        result: Bytes,
    },
    /// `retry_at` is when the next attempt is due; without it the step has failed.
    StepFailed {
        op: OpId,
        attempt: u32,
        retry_at: Option<Timestamp>,
        error: StepError,
    },
    /// A wait began. `until` is `Timestamp::MAX` if only an event can end it; `parked` says that the run now waits and does nothing else.
    TimerSet {
        op: OpId,
        until: Timestamp,
        parked: bool,
    },
    TimerFired {
        op: OpId,
    },
    MailIn {
        event: Box<str>,
        data: Bytes,
    },
    /// `mail` is the index of the `MailIn`.
    Recv {
        op: OpId,
        mail: u32,
    },
    /// `delivered` is false if there was no such run, or it had ended.
    Sent {
        op: OpId,
        delivered: bool,
    },
    Completed {
        result: Bytes,
    },
    Failed {
        error: StepError,
    },
    CancelRequested,
    Cancelled,
    Blocked {
        reason: Reason,
    },
    Resumed,
    BodyPanicked {
        attempt: u32,
        retry_at: Timestamp,
        error: StepError,
    },
    Tombstone,
}

/// Why a run is parked until someone resumes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The body asked for something else than what is recorded. Nothing was done after this was noticed.
    NonDeterministic {
        /// What the journal holds at this place.
        recorded: Option<OpId>,
        /// What the body asked for instead.
        requested: Option<OpId>,
    },
    /// The body waits for something that is not an operation of its context, such as a runtime's timer or a socket.
    ForeignAwait {
        /// The last operation it asked for.
        after: Option<OpId>,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn text(op: Option<&OpId>) -> String {
            op.map_or_else(|| "nothing".to_owned(), ToString::to_string)
        }
        match self {
            Self::NonDeterministic {
                recorded,
                requested,
            } => write!(
                f,
                "the body differs from its journal: recorded is {}, requested {}",
                text(recorded.as_ref()),
                text(requested.as_ref())
            ),
            Self::ForeignAwait { after } => write!(
                f,
                "the body waits for something that is not part of the workflow, after {}",
                text(after.as_ref())
            ),
        }
    }
}

impl Fact {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Start { .. } => 1,
            Self::StepDone { .. } => 2,
            Self::StepFailed { .. } => 3,
            Self::TimerSet { .. } => 4,
            Self::TimerFired { .. } => 5,
            Self::MailIn { .. } => 6,
            Self::Recv { .. } => 7,
            Self::Sent { .. } => 8,
            Self::Completed { .. } => 9,
            Self::Failed { .. } => 10,
            Self::CancelRequested => 11,
            Self::Cancelled => 12,
            Self::Blocked { .. } => 13,
            Self::Resumed => 14,
            Self::BodyPanicked { .. } => 15,
            Self::Tombstone => 16,
        }
    }
}

impl Entry {
    /// The body without its payload, and the payload.
    pub(crate) fn encode(&self) -> (Vec<u8>, Bytes) {
        let mut out = Vec::with_capacity(64);
        put_u8(&mut out, self.fact.kind());
        put_u64(&mut out, self.run);
        put_u32(&mut out, self.index);
        put_u64(&mut out, self.time.as_millis());
        let mut payload = Bytes::new();
        match &self.fact {
            Fact::Start {
                id,
                workflow,
                version,
                seed,
                input,
            } => {
                put_bytes(&mut out, id.as_bytes());
                put_bytes(&mut out, workflow.as_bytes());
                put_u32(&mut out, *version);
                put_u64(&mut out, *seed);
                payload = input.clone();
            }
            Fact::StepDone { op, result } => {
                put_op(&mut out, op);
                payload = result.clone();
            }
            Fact::StepFailed {
                op,
                attempt,
                retry_at,
                error,
            } => {
                put_op(&mut out, op);
                put_u32(&mut out, *attempt);
                put_optional(&mut out, *retry_at);
                put_error(&mut out, error);
            }
            Fact::TimerSet { op, until, parked } => {
                put_op(&mut out, op);
                put_u64(&mut out, until.as_millis());
                put_u8(&mut out, u8::from(*parked));
            }
            Fact::TimerFired { op } => put_op(&mut out, op),
            Fact::MailIn { event, data } => {
                put_bytes(&mut out, event.as_bytes());
                payload = data.clone();
            }
            Fact::Recv { op, mail } => {
                put_op(&mut out, op);
                put_u32(&mut out, *mail);
            }
            Fact::Sent { op, delivered } => {
                put_op(&mut out, op);
                put_u8(&mut out, u8::from(*delivered));
            }
            Fact::Completed { result } => payload = result.clone(),
            Fact::Failed { error } => put_error(&mut out, error),
            Fact::Blocked { reason } => put_reason(&mut out, reason),
            Fact::BodyPanicked {
                attempt,
                retry_at,
                error,
            } => {
                put_u32(&mut out, *attempt);
                put_u64(&mut out, retry_at.as_millis());
                put_error(&mut out, error);
            }
            Fact::CancelRequested | Fact::Cancelled | Fact::Resumed | Fact::Tombstone => {}
        }
        (out, payload)
    }

    /// Reads a record back; payloads are views into `body`.
    pub(crate) fn decode(body: &Bytes) -> Result<Self, Malformed> {
        let mut input = Reader::new(body);
        let kind = input.u8()?;
        let run = input.u64()?;
        let index = input.u32()?;
        let time = Timestamp::from_millis(input.u64()?);
        let fact = decode_fact(kind, body, &mut input)?;
        input.finish()?;
        Ok(Self {
            run,
            index,
            time,
            fact,
        })
    }
}

fn decode_fact(kind: u8, body: &Bytes, input: &mut Reader<'_>) -> Result<Fact, Malformed> {
    let payload = |input: &mut Reader<'_>| body.slice_ref(input.rest());
    Ok(match kind {
        1 => Fact::Start {
            id: input.text()?.into(),
            workflow: input.text()?.into(),
            version: input.u32()?,
            seed: input.u64()?,
            input: payload(input),
        },
        2 => Fact::StepDone {
            op: op(input)?,
            result: payload(input),
        },
        3 => Fact::StepFailed {
            op: op(input)?,
            attempt: input.u32()?,
            retry_at: optional(input)?,
            error: error(input)?,
        },
        4 => Fact::TimerSet {
            op: op(input)?,
            until: Timestamp::from_millis(input.u64()?),
            parked: flag(input)?,
        },
        5 => Fact::TimerFired { op: op(input)? },
        6 => Fact::MailIn {
            event: input.text()?.into(),
            data: payload(input),
        },
        7 => Fact::Recv {
            op: op(input)?,
            mail: input.u32()?,
        },
        8 => Fact::Sent {
            op: op(input)?,
            delivered: flag(input)?,
        },
        9 => Fact::Completed {
            result: payload(input),
        },
        10 => Fact::Failed {
            error: error(input)?,
        },
        11 => Fact::CancelRequested,
        12 => Fact::Cancelled,
        13 => Fact::Blocked {
            reason: reason(input)?,
        },
        14 => Fact::Resumed,
        15 => Fact::BodyPanicked {
            attempt: input.u32()?,
            retry_at: Timestamp::from_millis(input.u64()?),
            error: error(input)?,
        },
        16 => Fact::Tombstone,
        _ => return Err(Malformed("kind of journal record")),
    })
}

pub(crate) fn put_op(out: &mut Vec<u8>, op: &OpId) {
    op.path.encode(out);
    put_u8(out, op.kind.code());
    put_bytes(out, op.name.as_bytes());
}

pub(crate) fn op(input: &mut Reader<'_>) -> Result<OpId, Malformed> {
    let path = Path::decode(input)?;
    let kind = OpKind::from_code(input.u8()?)?;
    Ok(OpId {
        path,
        kind,
        name: input.text()?.into(),
    })
}

fn put_error(out: &mut Vec<u8>, error: &StepError) {
    let (code, detail) = error.kind().code();
    put_u8(out, code);
    put_u64(out, detail);
    put_bytes(out, error.message().as_bytes());
}

fn error(input: &mut Reader<'_>) -> Result<StepError, Malformed> {
    let kind = StepErrorKind::from_code(input.u8()?, input.u64()?);
    let kind = kind.ok_or(Malformed("kind of error"))?;
    let text = input.text()?;
    if text.len() > crate::outcome::MESSAGE_BYTES_MAX {
        return Err(Malformed("error text of at most 16 KiB"));
    }
    Ok(StepError::new(kind, text))
}

pub(crate) fn put_reason(out: &mut Vec<u8>, reason: &Reason) {
    let (code, ops) = match reason {
        Reason::NonDeterministic {
            recorded,
            requested,
        } => (1, vec![recorded, requested]),
        Reason::ForeignAwait { after } => (2, vec![after]),
    };
    put_u8(out, code);
    for op in ops {
        put_u8(out, u8::from(op.is_some()));
        if let Some(op) = op {
            put_op(out, op);
        }
    }
}

pub(crate) fn reason(input: &mut Reader<'_>) -> Result<Reason, Malformed> {
    let code = input.u8()?;
    let mut maybe = || flag(input)?.then(|| op(input)).transpose();
    match code {
        1 => Ok(Reason::NonDeterministic {
            recorded: maybe()?,
            requested: maybe()?,
        }),
        2 => Ok(Reason::ForeignAwait { after: maybe()? }),
        _ => Err(Malformed("reason of a block")),
    }
}

fn put_optional(out: &mut Vec<u8>, at: Option<Timestamp>) {
    put_u8(out, u8::from(at.is_some()));
    if let Some(at) = at {
        put_u64(out, at.as_millis());
    }
}

fn optional(input: &mut Reader<'_>) -> Result<Option<Timestamp>, Malformed> {
    flag(input)?
        .then(|| input.u64().map(Timestamp::from_millis))
        .transpose()
}

pub(crate) fn flag(input: &mut Reader<'_>) -> Result<bool, Malformed> {
    match input.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("flag of 0 or 1")),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
