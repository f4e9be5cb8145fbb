//! Every parameter: its names, what it holds at first, which values it takes, and who obeys it.
//!
//! Parameters of things that an embedded engine does not have, such as replicas, are remembered: clients and test suites
//! set them.

use super::value::{self, Kind, PUBSUB, Setting};
use super::{Config, FSYNC, FSYNC_UNSET, forms};
use crate::keyspace::engine::Engine;
use crate::options::Eviction;
use crate::storage::Durability;
use crate::storage::sync::{AtomicI64, Ordering};

/// One parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Another name, from older versions; empty without one.
    pub(super) alias: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) live: Live,
    /// Why it cannot be set, if it cannot.
    pub(super) fixed: Option<&'static str>,
}

/// Where a value is kept.
#[derive(Clone, Copy)]
pub(super) enum Live {
    /// With the texts; nobody obeys it.
    Stored,
    Number(fn(&Config) -> &AtomicI64),
    /// By those who obey it.
    Engine {
        get: fn(&Engine) -> String,
        set: fn(&Engine, &Setting),
    },
}

impl Parameter {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name, self.alias]
            .into_iter()
            .filter(|name| !name.is_empty())
    }

    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        self.names()
            .any(|one| one.as_bytes().eq_ignore_ascii_case(name))
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }

    const fn fixed(mut self) -> Self {
        self.fixed = Some("can't set immutable config");
        self
    }

    const fn protected(mut self) -> Self {
        self.fixed = Some("can't set protected config");
        self
    }

    const fn number(mut self, number: fn(&Config) -> &AtomicI64) -> Self {
        self.live = Live::Number(number);
        self
    }

    pub(super) const fn engine(
        mut self,
        get: fn(&Engine) -> String,
        set: fn(&Engine, &Setting),
    ) -> Self {
        self.live = Live::Engine { get, set };
        self
    }
}

const fn parameter(name: &'static str, kind: Kind, default: &'static str) -> Parameter {
    Parameter {
        name,
        alias: "",
        kind,
        default,
        live: Live::Stored,
        fixed: None,
    }
}

const fn switch(name: &'static str, default: &'static str) -> Parameter {
    parameter(name, Kind::Switch, default)
}

const fn text(name: &'static str, default: &'static str) -> Parameter {
    parameter(name, Kind::Text, default)
}

/// A 32-bit integer of at least `min`.
const fn int(name: &'static str, min: i64, default: &'static str) -> Parameter {
    parameter(name, Kind::Int(min, i32::MAX as i64), default)
}

/// A 64-bit integer of at least `min`.
const fn long(name: &'static str, min: i64, default: &'static str) -> Parameter {
    parameter(name, Kind::Int(min, i64::MAX), default)
}

/// A size of at least `min` bytes.
const fn memory(name: &'static str, min: u64, default: &'static str) -> Parameter {
    parameter(name, Kind::Memory(min, i64::MAX as u64), default)
}

const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
    "optimistic-volatile",
];

fn unsigned(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn yes_no(on: bool) -> String {
    if on { "yes" } else { "no" }.into()
}

fn max_memory(engine: &Engine) -> String {
    engine.evictor.max().unwrap_or(0).to_string()
}

fn set_max_memory(engine: &Engine, setting: &Setting) {
    let bytes = u64::try_from(setting.number).ok();
    engine.adopt_max_memory(bytes.filter(|bytes| *bytes > 0));
}

fn policy(engine: &Engine) -> String {
    engine.evictor.policy().name().into()
}

fn set_policy(engine: &Engine, setting: &Setting) {
    engine.adopt_policy(Eviction::from_name(&setting.text).unwrap_or_default());
}

fn samples(engine: &Engine) -> String {
    engine.evictor.samples().to_string()
}

fn set_samples(engine: &Engine, setting: &Setting) {
    engine.set_eviction_samples(unsigned(setting.number));
}

fn events(engine: &Engine) -> String {
    engine.server.events.text()
}

fn set_events(engine: &Engine, setting: &Setting) {
    let known = engine.server.events.set(setting.text.as_bytes());
    debug_assert!(known, "the letters were checked");
}

fn tracked_keys(engine: &Engine) -> String {
    engine.server.tracking.keys_max().to_string()
}

fn set_tracked_keys(engine: &Engine, setting: &Setting) {
    engine
        .server
        .tracking
        .set_keys_max(unsigned(setting.number));
}

fn output_limits(engine: &Engine) -> String {
    value::show_output_limits(&engine.server.config.output_limits.lock())
}

fn set_output_limits(engine: &Engine, setting: &Setting) {
    let mut limits = engine.server.config.output_limits.lock();
    for (class, limit) in value::output_limits(&setting.text).unwrap_or_default() {
        limits[class] = limit;
    }
    let [hard, ..] = limits[PUBSUB];
    drop(limits);
    let hard = usize::try_from(hard).unwrap_or(usize::MAX);
    engine.server.set_inbox_limit(hard);
}

fn fsync(engine: &Engine) -> String {
    let level = engine.server.config.durability();
    let word = match level.unwrap_or_else(|| engine.mount.durability()) {
        Durability::Disk => "always",
        Durability::Interval(_) => "everysec",
        _ => "no",
    };
    word.into()
}

fn set_fsync(engine: &Engine, setting: &Setting) {
    let at = FSYNC.iter().position(|word| *word == setting.text);
    let at = at.and_then(|at| u8::try_from(at).ok());
    let config = &engine.server.config;
    let at = at.unwrap_or(FSYNC_UNSET);
    config.appendfsync.store(at, Ordering::Relaxed);
}

fn password(engine: &Engine) -> String {
    engine.server.acl.default_password()
}

fn set_password(engine: &Engine, setting: &Setting) {
    engine.server.acl.set_default_password(&setting.text);
}

fn append_only(engine: &Engine) -> String {
    let texts = engine.server.config.texts.read();
    let set = texts.get("appendonly").cloned();
    set.unwrap_or_else(|| yes_no(!engine.mount.is_memory()))
}

fn set_append_only(engine: &Engine, setting: &Setting) {
    let mut texts = engine.server.config.texts.write();
    texts.insert("appendonly", setting.text.clone());
}

fn new_users_hear(engine: &Engine) -> String {
    let all = engine.server.config.new_users_hear_all();
    if all { "allchannels" } else { "resetchannels" }.into()
}

fn set_new_users_hear(engine: &Engine, setting: &Setting) {
    let all = &engine.server.config.new_users_hear_all;
    all.store(setting.text == "allchannels", Ordering::Relaxed);
}

pub(super) static PARAMETERS: &[Parameter] = &[
    parameter(
        "acl-pubsub-default",
        Kind::Word(&["allchannels", "resetchannels"]),
        "resetchannels",
    )
    .engine(new_users_hear, set_new_users_hear),
    text("aclfile", "").fixed(),
    long("acllog-max-len", 0, "128").number(|config| &config.acllog_max_len),
    parameter("active-expire-effort", Kind::Int(1, 10), "1"),
    switch("activedefrag", "no"),
    switch("activerehashing", "yes"),
    switch("aof-load-truncated", "yes"),
    switch("aof-rewrite-incremental-fsync", "yes"),
    switch("aof-timestamp-enabled", "no"),
    switch("aof-use-rdb-preamble", "yes"),
    text("appenddirname", "appendonlydir").fixed(),
    text("appendfilename", "appendonly.aof").fixed(),
    parameter("appendfsync", Kind::Word(FSYNC), "everysec").engine(fsync, set_fsync),
    switch("appendonly", "yes").engine(append_only, set_append_only),
    memory("auto-aof-rewrite-min-size", 0, "67108864"),
    int("auto-aof-rewrite-percentage", 0, "100"),
    text("bind", "").fixed(),
    long("busy-reply-threshold", 0, "5000")
        .alias("lua-time-limit")
        .number(|config| &config.busy_reply_threshold),
    parameter("client-output-buffer-limit", Kind::OutputLimits, "")
        .engine(output_limits, set_output_limits),
    memory("client-query-buffer-limit", 1 << 20, "1073741824")
        .number(|config| &config.client_query_buffer_limit),
    switch("cluster-enabled", "no").fixed(),
    int("cluster-node-timeout", 0, "15000"),
    switch("cluster-require-full-coverage", "yes"),
    switch("crash-log-enabled", "yes"),
    switch("crash-memcheck-enabled", "yes"),
    switch("daemonize", "no").fixed(),
    int("databases", 1, "16").fixed(),
    text("dbfilename", "dump.rdb").protected(),
    text("dir", "").protected(),
    switch("dynamic-hz", "yes"),
    parameter(
        "enable-debug-command",
        Kind::Word(&["no", "yes", "local"]),
        "yes",
    )
    .fixed(),
    parameter(
        "enable-module-command",
        Kind::Word(&["no", "yes", "local"]),
        "no",
    )
    .fixed(),
    parameter(
        "enable-protected-configs",
        Kind::Word(&["no", "yes", "local"]),
        "no",
    )
    .fixed(),
    long("hash-max-listpack-entries", 0, "512")
        .alias("hash-max-ziplist-entries")
        .engine(forms::hash_items::get, forms::hash_items::set),
    memory("hash-max-listpack-value", 0, "64")
        .alias("hash-max-ziplist-value")
        .engine(forms::hash_bytes::get, forms::hash_bytes::set),
    memory("hll-sparse-max-bytes", 0, "3000"),
    int("hz", 0, "10"),
    int("io-threads", 1, "1").fixed(),
    switch("io-threads-do-reads", "no").fixed(),
    switch("jemalloc-bg-thread", "yes"),
    long("latency-monitor-threshold", 0, "0").number(|config| &config.latency_monitor_threshold),
    switch("latency-tracking", "yes"),
    parameter(
        "latency-tracking-info-percentiles",
        Kind::Percentiles,
        "50 99 99.9",
    ),
    switch("lazyfree-lazy-eviction", "no"),
    switch("lazyfree-lazy-expire", "no"),
    switch("lazyfree-lazy-server-del", "no"),
    switch("lazyfree-lazy-user-del", "no"),
    switch("lazyfree-lazy-user-flush", "no"),
    int("lfu-decay-time", 0, "1").decay_time(),
    int("lfu-log-factor", 0, "10").log_factor(),
    int("list-compress-depth", 0, "0"),
    int("list-max-listpack-size", i32::MIN as i64, "-2")
        .alias("list-max-ziplist-size")
        .engine(forms::list_size::get, forms::list_size::set),
    text("logfile", "").fixed(),
    parameter(
        "loglevel",
        Kind::Word(&["debug", "verbose", "notice", "warning"]),
        "notice",
    ),
    text("masterauth", ""),
    text("masteruser", ""),
    parameter("maxclients", Kind::Int(1, u32::MAX as i64), "10000")
        .number(|config| &config.max_clients),
    parameter("maxmemory", Kind::Memory(0, u64::MAX), "0").engine(max_memory, set_max_memory),
    parameter("maxmemory-clients", Kind::MemoryOrPercent, "0"),
    parameter("maxmemory-eviction-tenacity", Kind::Int(0, 100), "10"),
    parameter("maxmemory-policy", Kind::Word(POLICIES), "noeviction").engine(policy, set_policy),
    int("maxmemory-samples", 1, "5").engine(samples, set_samples),
    int("min-replicas-max-lag", 0, "10").alias("min-slaves-max-lag"),
    int("min-replicas-to-write", 0, "0").alias("min-slaves-to-write"),
    switch("no-appendfsync-on-rewrite", "no"),
    parameter("notify-keyspace-events", Kind::Events, "").engine(events, set_events),
    parameter(
        "oom-score-adj",
        Kind::Word(&["no", "yes", "relative", "absolute"]),
        "no",
    ),
    parameter("oom-score-adj-values", Kind::Scores, "0 200 800"),
    text("pidfile", "").fixed(),
    int("port", 0, "0").fixed(),
    text("proc-title-template", "{title} {listen-addr} {server-mode}"),
    parameter(
        "propagation-error-behavior",
        Kind::Word(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
    ),
    switch("protected-mode", "yes"),
    memory("proto-max-bulk-len", 1 << 20, "536870912").number(|config| &config.proto_max_bulk_len),
    switch("rdb-del-sync-files", "no"),
    int("rdb-key-save-delay", i32::MIN as i64, "0"),
    switch("rdb-save-incremental-fsync", "yes"),
    switch("rdbchecksum", "yes").fixed(),
    switch("rdbcompression", "yes"),
    memory("repl-backlog-size", 1, "1048576"),
    long("repl-backlog-ttl", 0, "3600"),
    switch("repl-disable-tcp-nodelay", "no"),
    parameter(
        "repl-diskless-load",
        Kind::Word(&["disabled", "on-empty-db", "swapdb"]),
        "disabled",
    ),
    switch("repl-diskless-sync", "yes"),
    int("repl-diskless-sync-delay", 0, "5"),
    int("repl-ping-replica-period", 1, "10").alias("repl-ping-slave-period"),
    int("repl-timeout", 1, "60"),
    text("requirepass", "").engine(password, set_password),
    switch("replica-ignore-maxmemory", "yes").alias("slave-ignore-maxmemory"),
    switch("replica-lazy-flush", "no").alias("slave-lazy-flush"),
    int("replica-priority", 0, "100").alias("slave-priority"),
    switch("replica-read-only", "yes").alias("slave-read-only"),
    switch("replica-serve-stale-data", "yes").alias("slave-serve-stale-data"),
    text("replicaof", "").alias("slaveof").fixed(),
    parameter(
        "sanitize-dump-payload",
        Kind::Word(&["no", "yes", "clients"]),
        "no",
    ),
    parameter("save", Kind::Saves, ""),
    long("set-max-intset-entries", 0, "512").engine(forms::set_ints::get, forms::set_ints::set),
    long("set-max-listpack-entries", 0, "128").engine(forms::set_items::get, forms::set_items::set),
    memory("set-max-listpack-value", 0, "64").engine(forms::set_bytes::get, forms::set_bytes::set),
    int("shutdown-timeout", 0, "10"),
    long("slowlog-log-slower-than", -1, "10000").number(|config| &config.slowlog_log_slower_than),
    long("slowlog-max-len", 0, "128").number(|config| &config.slowlog_max_len),
    switch("stop-writes-on-bgsave-error", "yes"),
    memory("stream-node-max-bytes", 0, "4096"),
    long("stream-node-max-entries", 0, "100"),
    int("tcp-backlog", 0, "511").fixed(),
    int("tcp-keepalive", 0, "300").number(|config| &config.tcp_keepalive),
    int("timeout", 0, "0").number(|config| &config.timeout),
    long("tracking-table-max-keys", 0, "1000000").engine(tracked_keys, set_tracked_keys),
    text("unixsocket", "").fixed(),
    long("zset-max-listpack-entries", 0, "128")
        .alias("zset-max-ziplist-entries")
        .engine(forms::zset_items::get, forms::zset_items::set),
    memory("zset-max-listpack-value", 0, "64")
        .alias("zset-max-ziplist-value")
        .engine(forms::zset_bytes::get, forms::zset_bytes::set),
];
