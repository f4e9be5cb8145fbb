//! The records of the queue, byte by byte; `docs/format.md` has the tables.
//!
//! Invariant: what decodes encodes to the same bytes; no bytes make the decoder panic or allocate more than they are.

use bytes::Bytes;
use upkv::storage::Timestamp;
use upkv::storage::codec::{
    Malformed, Reader, put_bytes, put_u8, put_u16, put_u32, put_u64, put_varint,
};

use crate::backoff::Backoff;
use crate::message::{
    BODY_BYTES_MAX, DEDUPLICATION_BYTES_MAX, MessageId, NAME_BYTES_MAX, PRIORITIES,
};
use crate::options::QueueOptions;

pub(crate) const PUBLISH: u8 = 1;
pub(crate) const MOVE: u8 = 2;
const DELIVER: u8 = 3;
const ACK: u8 = 4;
const RETRY: u8 = 5;
const RELEASE: u8 = 6;
const EXTEND: u8 = 7;
const BURY: u8 = 8;
const REDRIVE: u8 = 9;
const REMOVE: u8 = 10;
const LANE: u8 = 11;

/// Longest reason that is kept with a dead letter, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// A message as it is kept in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) lane: u32,
    pub(crate) id: MessageId,
    pub(crate) published: Timestamp,
    pub(crate) not_before: Timestamp,
    pub(crate) retries: Option<u32>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) priority: u8,
    /// Deduplication id, and until when it is remembered.
    pub(crate) deduplication: Option<(Vec<u8>, Timestamp)>,
    pub(crate) content: Body,
}

/// One change of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Publish(Box<Publish>),
    /// The same bytes as a `Publish`, at a new place.
    Move(Box<Publish>),
    /// Leased until a moment.
    Deliver {
        until: Timestamp,
        numbers: Vec<u64>,
    },
    Ack {
        numbers: Vec<u64>,
    },
    /// A delivery failed; the next one is due at a moment.
    Retry {
        number: u64,
        at: Timestamp,
    },
    /// Given back, the delivery is not counted.
    Release {
        number: u64,
    },
    Extend {
        number: u64,
        until: Timestamp,
    },
    /// To the dead letters.
    Bury {
        number: u64,
        at: Timestamp,
        reason: Box<str>,
    },
    /// From the dead letters back to the ready ones.
    Redrive {
        numbers: Vec<u64>,
    },
    /// Cancelled, purged, or deleted from the dead letters.
    Remove {
        numbers: Vec<u64>,
    },
    /// A queue appears or is configured.
    Lane {
        id: u32,
        name: Box<str>,
        paused: bool,
        options: QueueOptions,
    },
}

impl Fact {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Publish(_) => PUBLISH,
            Self::Move(_) => MOVE,
            Self::Deliver { .. } => DELIVER,
            Self::Ack { .. } => ACK,
            Self::Retry { .. } => RETRY,
            Self::Release { .. } => RELEASE,
            Self::Extend { .. } => EXTEND,
            Self::Bury { .. } => BURY,
            Self::Redrive { .. } => REDRIVE,
            Self::Remove { .. } => REMOVE,
            Self::Lane { .. } => LANE,
        }
    }

    /// The record without a message's body, which follows it.
    pub(crate) fn encode(&self) -> (Vec<u8>, Bytes) {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Publish(message) | Self::Move(message) => {
                message.encode(&mut out);
                return (out, message.content.body.clone());
            }
            Self::Deliver { until, numbers } => {
                put_u64(&mut out, until.as_millis());
                put_numbers(&mut out, numbers);
            }
            Self::Ack { numbers } | Self::Redrive { numbers } | Self::Remove { numbers } => {
                put_numbers(&mut out, numbers);
            }
            Self::Retry { number, at } | Self::Extend { number, until: at } => {
                put_u64(&mut out, *number);
                put_u64(&mut out, at.as_millis());
            }
            Self::Release { number } => put_u64(&mut out, *number),
            Self::Bury { number, at, reason } => {
                put_u64(&mut out, *number);
                put_u64(&mut out, at.as_millis());
                put_bytes(&mut out, reason.as_bytes());
            }
            Self::Lane {
                id,
                name,
                paused,
                options,
            } => {
                put_u32(&mut out, *id);
                put_bytes(&mut out, name.as_bytes());
                put_u8(&mut out, u8::from(*paused));
                put_options(&mut out, options);
            }
        }
        (out, Bytes::new())
    }

    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(body);
        let fact = match kind {
            PUBLISH => return Ok(Self::Publish(Box::new(Publish::decode(&mut input)?))),
            MOVE => return Ok(Self::Move(Box::new(Publish::decode(&mut input)?))),
            DELIVER => Self::Deliver {
                until: time(&mut input)?,
                numbers: numbers(&mut input)?,
            },
            ACK => Self::Ack {
                numbers: numbers(&mut input)?,
            },
            RETRY => Self::Retry {
                number: input.u64()?,
                at: time(&mut input)?,
            },
            RELEASE => Self::Release {
                number: input.u64()?,
            },
            EXTEND => Self::Extend {
                number: input.u64()?,
                until: time(&mut input)?,
            },
            BURY => Self::Bury {
                number: input.u64()?,
                at: time(&mut input)?,
                reason: text(&mut input, REASON_BYTES_MAX)?,
            },
            REDRIVE => Self::Redrive {
                numbers: numbers(&mut input)?,
            },
            REMOVE => Self::Remove {
                numbers: numbers(&mut input)?,
            },
            LANE => Self::Lane {
                id: input.u32()?,
                name: text(&mut input, NAME_BYTES_MAX)?,
                paused: flag(&mut input)?,
                options: options(&mut input)?,
            },
            _ => return Err(Malformed("kind of queue record")),
        };
        input.finish()?;
        Ok(fact)
    }
}

impl Publish {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.lane);
        put_u64(out, self.id.number);
        put_u64(out, self.id.epoch);
        put_u64(out, self.published.as_millis());
        put_u64(out, self.not_before.as_millis());
        put_u8(out, self.priority);
        put_u8(
            out,
            u8::from(self.retries.is_some())
                | u8::from(self.backoff.is_some()) << 1
                | u8::from(self.deduplication.is_some()) << 2,
        );
        if let Some(retries) = self.retries {
            put_u32(out, retries);
        }
        if let Some(backoff) = &self.backoff {
            put_backoff(out, backoff);
        }
        if let Some((key, until)) = &self.deduplication {
            put_bytes(out, key);
            put_u64(out, until.as_millis());
        }
        let count = u16::try_from(self.content.headers.len()).expect("checked when published");
        put_u16(out, count);
        for (name, value) in &self.content.headers {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }

    /// The body is what is left, so it needs no copy where the caller holds the bytes.
    pub(crate) fn decode_shared(record: &Bytes) -> Result<Self, Malformed> {
        let mut input = Reader::new(record);
        let mut message = Self::decode_head(&mut input)?;
        message.content.body = record.slice(record.len() - input.remaining()..);
        Ok(message)
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut message = Self::decode_head(input)?;
        message.content.body = Bytes::copy_from_slice(input.rest());
        Ok(message)
    }

    /// All but the body, which is left in `input`.
    pub(crate) fn decode_head(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let lane = input.u32()?;
        let id = MessageId {
            number: input.u64()?,
            epoch: input.u64()?,
        };
        // The next number must be one, too.
        if id.number == u64::MAX {
            return Err(Malformed("number of a message"));
        }
        let (published, not_before) = (time(input)?, time(input)?);
        let priority = input.u8()?;
        let flags = input.u8()?;
        if priority >= PRIORITIES || flags > 7 {
            return Err(Malformed("priority and flags of a message"));
        }
        let retries = (flags & 1 != 0).then(|| input.u32()).transpose()?;
        let backoff = (flags & 2 != 0).then(|| backoff(input)).transpose()?;
        let deduplication = if flags & 4 != 0 {
            let key = input.bytes()?;
            if !(1..=DEDUPLICATION_BYTES_MAX).contains(&key.len()) {
                return Err(Malformed("deduplication id of 1 to 256 bytes"));
            }
            Some((key.to_vec(), time(input)?))
        } else {
            None
        };
        let count = input.u16()?;
        // A header takes at least its two lengths.
        if usize::from(count) * 8 > input.remaining() {
            return Err(Malformed("headers"));
        }
        let mut headers = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            headers.push((input.text()?.to_owned(), input.text()?.to_owned()));
        }
        if input.remaining() > BODY_BYTES_MAX {
            return Err(Malformed("body of at most 16 MiB"));
        }
        Ok(Self {
            lane,
            id,
            published,
            not_before,
            retries,
            backoff,
            priority,
            deduplication,
            content: Body {
                headers,
                body: Bytes::new(),
            },
        })
    }
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    put_varint(out, numbers.len() as u64);
    for number in numbers {
        put_varint(out, *number);
    }
}

fn numbers(input: &mut Reader<'_>) -> Result<Vec<u64>, Malformed> {
    let count = input.varint()?;
    let count = usize::try_from(count).map_err(|_| Malformed("count of messages"))?;
    if count > input.remaining() {
        return Err(Malformed("count of messages"));
    }
    (0..count).map(|_| input.varint()).collect()
}

pub(crate) fn put_backoff(out: &mut Vec<u8>, backoff: &Backoff) {
    put_u8(out, u8::from(backoff.doubles));
    put_u64(out, backoff.base_ms);
    put_u64(out, backoff.cap_ms);
}

pub(crate) fn backoff(input: &mut Reader<'_>) -> Result<Backoff, Malformed> {
    Ok(Backoff {
        doubles: flag(input)?,
        base_ms: input.u64()?,
        cap_ms: input.u64()?,
    })
}

pub(crate) fn put_options(out: &mut Vec<u8>, options: &QueueOptions) {
    put_u64(out, crate::backoff::millis(options.lease));
    put_u32(out, options.max_deliveries);
    put_u64(out, options.capacity);
    put_backoff(out, &options.backoff);
}

pub(crate) fn options(input: &mut Reader<'_>) -> Result<QueueOptions, Malformed> {
    let options = QueueOptions {
        lease: std::time::Duration::from_millis(input.u64()?),
        max_deliveries: input.u32()?,
        capacity: input.u64()?,
        backoff: backoff(input)?,
    };
    options
        .check()
        .map_err(|_| Malformed("settings of a queue"))?;
    Ok(options)
}

pub(crate) fn flag(input: &mut Reader<'_>) -> Result<bool, Malformed> {
    match input.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("flag of 0 or 1")),
    }
}

pub(crate) fn time(input: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    input.u64().map(Timestamp::from_millis)
}

pub(crate) fn text(input: &mut Reader<'_>, max: usize) -> Result<Box<str>, Malformed> {
    let text = input.text()?;
    if text.len() > max {
        return Err(Malformed("text within its limit"));
    }
    Ok(text.into())
}
