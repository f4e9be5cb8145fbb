//! Questions: limited per user, answered from the cache where nothing has changed since, by hybrid search otherwise.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use upkv::SetOptions;
use upratelimit::{Algorithm, Decision, State, Timestamp};
use upvector::filter::Filter;
use upvector::{Fusion, Vector, Weighting};

use super::error::{Error, Result};
use super::hash::hash128;
use super::library::{Library, NAMESPACE, TOTALS, count};
use super::text::escaped;

/// How often a user may ask.
pub const PER_USER: Algorithm = Algorithm::sliding_window(20, WINDOW);
const WINDOW: Duration = Duration::from_secs(10);
/// How long an answer is kept.
const CACHED_FOR: Duration = Duration::from_mins(10);
/// Longest question.
const TEXT_BYTES_MAX: usize = 4096;
/// Longest name of a user.
const USER_BYTES_MAX: usize = 128;
/// Most hits of an answer.
const TOP_MAX: usize = 1000;

/// What somebody wants to know.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    filter: Option<String>,
    top: usize,
    user: String,
}

impl Question {
    /// Asks for the 10 best hits.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            filter: None,
            top: 10,
            user: "me".to_owned(),
        }
    }

    /// Only hits whose metadata match, such as `crate = 'serde' AND kind = 'fn'`.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// How many hits, 1 to 1000.
    #[must_use]
    pub fn top(mut self, hits: usize) -> Self {
        self.top = hits;
        self
    }

    /// Who asks; default `me`.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = name.into();
        self
    }

    fn check(&self) -> Result<()> {
        let bytes = self.text.len();
        if self.text.trim().is_empty() {
            return Err(Error::usage("the question is empty"));
        }
        if bytes > TEXT_BYTES_MAX {
            let text = format!("a question of {bytes} bytes is over the limit of {TEXT_BYTES_MAX}");
            return Err(Error::usage(text));
        }
        if !(1..=TOP_MAX).contains(&self.top) {
            let text = format!("--top {} is not in 1..={TOP_MAX}", self.top);
            return Err(Error::usage(text));
        }
        if self.user.is_empty() || self.user.len() > USER_BYTES_MAX {
            let text = format!("the name of a user has 1 to {USER_BYTES_MAX} bytes");
            return Err(Error::usage(text));
        }
        match &self.filter {
            Some(filter) => check_filter(filter),
            None => Ok(()),
        }
    }

    /// Key of the answer as long as the index is at `version`.
    fn key(&self, version: i64) -> String {
        let parts = (version, &self.text, &self.filter, self.top);
        format!("answer:{:032x}", hash128(format!("{parts:?}").as_bytes()))
    }
}

/// Refuses a filter with a picture of where it is wrong.
fn check_filter(filter: &str) -> Result<()> {
    let Err(error) = Filter::parse(filter) else {
        return Ok(());
    };
    let upvector::Error::Filter(error) = error else {
        return Err(Error::usage(format!("the filter is refused: {error}")));
    };
    let before = filter.get(..error.position).unwrap_or(filter);
    let column = before.chars().count() + 1;
    let indent = " ".repeat(escaped(before).chars().count());
    let (message, shown) = (escaped(&error.message), escaped(filter));
    let text = format!("the filter is wrong at column {column}: {message}\n  {shown}\n  {indent}^");
    Err(Error::Usage(text))
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// Best first.
    pub hits: Vec<Found>,
    /// Whether the same was asked before, and the index is still the same.
    pub cached: bool,
    /// Time it took.
    pub took: Duration,
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Found {
    /// How well it fits; compare it within one answer only.
    pub score: f32,
    /// Crate it is from, if it is from one.
    #[serde(rename = "crate")]
    pub crate_name: String,
    /// Version of the crate.
    pub version: String,
    /// What it describes.
    pub kind: String,
    /// Name of that.
    pub item: String,
    /// File.
    pub path: String,
    /// Line in it.
    pub line: u64,
    /// Text of the chunk.
    pub text: String,
}

impl Library {
    /// Answers a question.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if the question cannot be answered by anybody, [`Error::Limited`] if the user asks too often, and what the
    /// engines answer.
    pub fn ask(&self, question: &Question) -> Result<Answer> {
        let from = Instant::now();
        question.check()?;
        self.admit(&question.user)?;
        let version = count(self.db().hash(TOTALS).get("version")?);
        let key = question.key(version);
        if let Some(answer) = self.db().get(&key)? {
            return Ok(Answer {
                hits: serde_json::from_slice(&answer)?,
                cached: true,
                took: from.elapsed(),
            });
        }
        let hits = self.search(question)?;
        let options = SetOptions::new().expire_in(CACHED_FOR);
        self.db()
            .set_with(&key, serde_json::to_vec(&hits)?, options)?;
        Ok(Answer {
            hits,
            cached: false,
            took: from.elapsed(),
        })
    }

    fn search(&self, question: &Question) -> Result<Vec<Found>> {
        let chunks = self.index().namespace(NAMESPACE);
        let mut query = chunks
            .query(Vector::text(question.text.as_str()))
            .top_k(question.top)
            .weighting(Weighting::Idf)
            .fusion(Fusion::ReciprocalRank)
            .include_metadata()
            .include_data();
        if let Some(filter) = &question.filter {
            query = query.filter(filter.as_str());
        }
        let found = query.run()?.into_iter().map(|hit| {
            let metadata = hit.metadata.map(|metadata| metadata.to_value());
            let metadata = metadata.unwrap_or_default();
            let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
            Found {
                score: hit.score,
                crate_name: text("crate"),
                version: text("version"),
                kind: text("kind"),
                item: text("item"),
                path: text("path"),
                line: metadata["line"].as_u64().unwrap_or(0),
                text: hit.data.unwrap_or_default(),
            }
        });
        Ok(found.collect())
    }

    /// Counts a question against its user's limit. The times of the last ones are kept in the store, since every question on the command
    /// line is a process of its own; the state of the limit is what the algorithm makes of them.
    fn admit(&self, user: &str) -> Result<()> {
        let key = format!("asked:{user}");
        let now = self.store().clock().now().as_millis();
        let kept_from = now.saturating_sub(millis(PER_USER.memory()));
        let decision: Decision = self.db().try_transaction(|tx| {
            let stored = tx.get(&key)?;
            let (stamps, _) = stored.as_deref().unwrap_or_default().as_chunks::<8>();
            let mut asked: Vec<u64> = stamps
                .iter()
                .map(|stamp| u64::from_le_bytes(*stamp))
                .collect();
            asked.retain(|at| *at >= kept_from);
            let state = asked.iter().fold(State::FRESH, |state, at| {
                PER_USER.decide(state, Timestamp::from_millis(*at), 1).0
            });
            let (_, decision) = PER_USER.decide(state, Timestamp::from_millis(now), 1);
            if decision.allowed {
                asked.push(now);
                let stamps: Vec<u8> = asked.iter().flat_map(|at| at.to_le_bytes()).collect();
                tx.set_with(&key, stamps, SetOptions::new().expire_in(PER_USER.memory()))?;
            }
            Ok::<_, Error>(decision)
        })?;
        if decision.allowed {
            return Ok(());
        }
        Err(Error::Limited {
            user: user.to_owned(),
            limit: decision.limit,
            window: WINDOW,
            retry_after: decision.retry_after.unwrap_or(WINDOW),
        })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
