//! Parameters that `CONFIG` shows and sets.
//!
//! What a parameter is and who obeys it is a row of [`table`]. Invariant: a value is checked as a whole before anything
//! changes, so setting one never fails; and what is told is what holds, also if the host set it by other means.

mod table;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use self::table::{Live, PARAMETERS, Parameter};
use self::value::{OutputLimit, Setting};
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::engine::Engine;
use crate::storage::Durability;
use crate::storage::sync::{AtomicBool, AtomicI64, AtomicU8, Mutex, Ordering, RwLock};

/// See the module documentation. Numbers are kept apart from texts, for those who read them often.
#[derive(Debug)]
pub(crate) struct Config {
    /// Parameters that were set and are not kept elsewhere.
    texts: RwLock<BTreeMap<&'static str, String>>,
    slowlog_log_slower_than: AtomicI64,
    slowlog_max_len: AtomicI64,
    latency_monitor_threshold: AtomicI64,
    busy_reply_threshold: AtomicI64,
    acllog_max_len: AtomicI64,
    max_clients: AtomicI64,
    proto_max_bulk_len: AtomicI64,
    client_query_buffer_limit: AtomicI64,
    output_limits: Mutex<[OutputLimit; 3]>,
    appendfsync: AtomicU8,
    /// Users that are made from now on may use all channels.
    new_users_hear_all: AtomicBool,
}

/// What `appendfsync` takes; the host's choice holds until it is set.
const FSYNC: &[&str] = &["everysec", "always", "no"];
/// No word of [`FSYNC`].
const FSYNC_UNSET: u8 = u8::MAX;

impl Default for Config {
    fn default() -> Self {
        Self {
            texts: RwLock::default(),
            slowlog_log_slower_than: AtomicI64::new(10_000),
            slowlog_max_len: AtomicI64::new(128),
            latency_monitor_threshold: AtomicI64::new(0),
            busy_reply_threshold: AtomicI64::new(5_000),
            acllog_max_len: AtomicI64::new(128),
            max_clients: AtomicI64::new(10_000),
            proto_max_bulk_len: AtomicI64::new(512 << 20),
            client_query_buffer_limit: AtomicI64::new(1 << 30),
            output_limits: Mutex::new(value::OUTPUT_LIMITS),
            appendfsync: AtomicU8::new(FSYNC_UNSET),
            new_users_hear_all: AtomicBool::new(false),
        }
    }
}

impl Config {
    /// Refusals that are kept.
    /// How long a script runs before others are told so; `None` for ever.
    #[cfg(feature = "lua")]
    pub(crate) fn busy_reply_threshold(&self) -> Option<std::time::Duration> {
        let millis = u64::try_from(self.busy_reply_threshold.load(Ordering::Relaxed)).ok()?;
        (millis > 0).then(|| std::time::Duration::from_millis(millis))
    }

    pub(crate) fn acllog_max_len(&self) -> usize {
        usize::try_from(self.acllog_max_len.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Connections at the same time.
    pub(crate) fn max_clients(&self) -> usize {
        usize::try_from(self.max_clients.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Bytes of an argument of a request.
    pub(crate) fn proto_max_bulk_len(&self) -> i64 {
        self.proto_max_bulk_len.load(Ordering::Relaxed)
    }

    /// Bytes of a request that is not complete.
    pub(crate) fn client_query_buffer_limit(&self) -> usize {
        let bytes = self.client_query_buffer_limit.load(Ordering::Relaxed);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Whether users that are made from now on may use all channels.
    pub(crate) fn new_users_hear_all(&self) -> bool {
        self.new_users_hear_all.load(Ordering::Relaxed)
    }

    /// Bytes of replies that may wait for a connection that is made now; 0 is no limit.
    pub(crate) fn replies_bytes_max(&self) -> usize {
        let [hard, ..] = self.output_limits.lock()[value::NORMAL];
        usize::try_from(hard).unwrap_or(usize::MAX)
    }

    /// What writes survive once they return, if `appendfsync` was set.
    pub(crate) fn durability(&self) -> Option<Durability> {
        let word = FSYNC.get(usize::from(self.appendfsync.load(Ordering::Relaxed)))?;
        Some(match *word {
            "always" => Durability::Disk,
            "everysec" => Durability::Interval(Duration::from_secs(1)),
            _ => Durability::Os,
        })
    }

    fn text(&self, parameter: &Parameter) -> String {
        let texts = self.texts.read();
        let set = texts.get(parameter.name).map(String::as_str);
        set.unwrap_or(parameter.default).into()
    }
}

/// Parameters with their values that match any of some patterns, sorted by name.
pub(crate) fn find(engine: &Engine, patterns: &[&[u8]]) -> Vec<(String, String)> {
    let mut found = BTreeMap::new();
    for pattern in patterns {
        let lower = pattern.to_ascii_lowercase();
        for parameter in PARAMETERS {
            for name in parameter.names() {
                if !glob::matches(&lower, name.as_bytes()) {
                    continue;
                }
                // A name is told back as it was given.
                let shown = if name.len() == pattern.len() && glob::literal(pattern).is_some() {
                    String::from_utf8_lossy(pattern).into_owned()
                } else {
                    name.into()
                };
                found
                    .entry(name)
                    .or_insert_with(|| (shown, current(engine, parameter)));
            }
        }
    }
    found.into_values().collect()
}

fn current(engine: &Engine, parameter: &Parameter) -> String {
    let config = &engine.server.config;
    match parameter.live {
        Live::Stored => config.text(parameter),
        Live::Number(number) => number(config).load(Ordering::Relaxed).to_string(),
        Live::Engine { get, .. } => get(engine),
    }
}

/// Sets parameters, all or none.
pub(crate) fn set(engine: &Engine, pairs: &[[&[u8]; 2]]) -> Result<()> {
    let mut chosen: Vec<&Parameter> = Vec::with_capacity(pairs.len());
    for [name, _] in pairs {
        let Some(parameter) = PARAMETERS.iter().find(|one| one.is_called(name)) else {
            return Err(unknown(name));
        };
        if let Some(why) = parameter.fixed {
            return Err(refused(name, why));
        }
        let same = |one: &&Parameter, before: &[u8]| {
            one.name == parameter.name && before.eq_ignore_ascii_case(name)
        };
        if chosen
            .iter()
            .zip(pairs)
            .any(|(one, [before, _])| same(one, before))
        {
            return Err(refused(name, "duplicate parameter"));
        }
        chosen.push(parameter);
    }
    let mut settings: Vec<Setting> = Vec::with_capacity(pairs.len());
    for (parameter, [name, given]) in chosen.iter().zip(pairs) {
        let setting = parameter.kind.parse(given);
        settings.push(setting.map_err(|why| refused(name, &why))?);
    }
    let config = &engine.server.config;
    for (parameter, setting) in chosen.into_iter().zip(settings) {
        match parameter.live {
            Live::Stored => {
                config.texts.write().insert(parameter.name, setting.text);
            }
            Live::Number(number) => number(config).store(setting.number, Ordering::Relaxed),
            Live::Engine { set, .. } => set(engine, &setting),
        }
    }
    Ok(())
}

/// Refuses a parameter that there is not.
#[cold]
pub(crate) fn unknown(name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name);
    let text = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
    Error::refused_with(text)
}

#[cold]
fn refused(name: &[u8], why: &str) -> Error {
    let name = String::from_utf8_lossy(name);
    Error::refused_with(format!(
        "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
    ))
}

/// Whether a parameter needs the limit of memory to be looked at again once no lock is held.
pub(crate) fn concerns_memory(name: &[u8]) -> bool {
    [&b"maxmemory"[..], b"maxmemory-policy"]
        .iter()
        .any(|one| name.eq_ignore_ascii_case(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::storage::Store;

    #[test]
    fn what_is_told_of_every_parameter_can_be_set() {
        let db = db();
        let engine = &db.engine;
        for (name, value) in find(engine, &[b"*"]) {
            let parameter = PARAMETERS
                .iter()
                .find(|one| one.is_called(name.as_bytes()))
                .expect("listed");
            if parameter.fixed.is_none() {
                let pair = [name.as_bytes(), value.as_bytes()];
                set(engine, &[pair]).expect(&name);
            }
            let after = find(engine, &[name.as_bytes()]);
            assert_eq!(after, [(name, value)]);
        }
    }

    fn set_in(db: &Db, line: &str) {
        let mut session = db.session();
        session.command(line.split(' ')).expect(line);
    }

    fn db() -> Db {
        Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
    }

    #[test]
    fn a_limit_of_memory_holds_at_once() {
        let db = db();
        db.set("a", "1").expect("room");
        set_in(&db, "CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru");
        assert!(db.is_empty().expect("counted"));
        assert_eq!(db.max_memory_bytes(), Some(1));
        set_in(&db, "CONFIG SET maxmemory 0");
        assert_eq!(db.max_memory_bytes(), None);
        // What the host sets is told as well.
        db.set_eviction_samples(9);
        let told = find(&db.engine, &[b"maxmemory-samples"]);
        assert_eq!(told, [("maxmemory-samples".into(), "9".into())]);
    }

    #[test]
    fn appendfsync_is_what_commands_wait_for() {
        let db = db();
        assert_eq!(db.caller().level, None);
        set_in(&db, "CONFIG SET appendfsync always");
        assert_eq!(db.caller().level, Some(Durability::Disk));
        let chosen = db.with_durability(Durability::Memory);
        assert_eq!(chosen.caller().level, Some(Durability::Memory));
        set_in(&db, "CONFIG SET appendfsync no");
        assert_eq!(db.caller().level, Some(Durability::Os));
    }

    #[test]
    fn counting_starts_from_zero() {
        let db = db();
        db.get("missing").expect("no error");
        assert_eq!(db.stats().misses, 1);
        set_in(&db, "CONFIG RESETSTAT");
        let stats = db.stats();
        assert_eq!((stats.misses, stats.clients_accepted), (0, 0));
    }

    #[test]
    fn numbers_that_others_read_are_set() {
        let db = db();
        set_in(
            &db,
            "CONFIG SET slowlog-log-slower-than -1 slowlog-max-len 7 latency-monitor-threshold 8 lua-time-limit 9",
        );
        let config = &db.engine.server.config;
        assert_eq!(config.slowlog_log_slower_than.load(Ordering::Relaxed), -1);
        assert_eq!(config.slowlog_max_len.load(Ordering::Relaxed), 7);
        assert_eq!(config.latency_monitor_threshold.load(Ordering::Relaxed), 8);
        assert_eq!(config.busy_reply_threshold.load(Ordering::Relaxed), 9);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PARAMETERS.iter().flat_map(Parameter::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
