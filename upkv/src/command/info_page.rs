//! What each section of INFO says.
//!
//! A field of Redis that means nothing in a database within a process is left out, unless clients read it and there is a true
//! answer.

use std::fmt::Write;

use super::info::{Sums, human};
use crate::keyspace::work::Work;
use crate::server::channels::Of;
use crate::server::{VERSION, config};

/// What a section says, line by line.
#[derive(Default)]
struct Page(Vec<(String, String)>);

impl Page {
    fn put(&mut self, key: &str, value: &dyn std::fmt::Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    /// The number, and once more for people.
    fn put_bytes(&mut self, key: &str, bytes: u64) {
        self.put(key, &bytes);
        self.put(&format!("{key}_human"), &human(bytes));
    }
}

/// The lines of one section.
pub(super) fn section(work: &Work<'_>, sums: &Sums, name: &str) -> Vec<(String, String)> {
    let mut page = Page::default();
    match name {
        "server" => server(&mut page, work),
        "clients" => clients(&mut page, work, sums),
        "memory" => memory(&mut page, work, sums),
        "persistence" => persistence(&mut page, work),
        "stats" => stats(&mut page, work, sums),
        "replication" => replication(&mut page, work),
        "cpu" => cpu(&mut page),
        "errorstats" => errorstats(&mut page, work),
        "commandstats" => commandstats(&mut page, work),
        "latencystats" => latencystats(&mut page, work),
        "cluster" => page.put("cluster_enabled", &0),
        "keyspace" => keyspace(&mut page, sums),
        "store" => store(&mut page, work, sums),
        _ => {}
    }
    page.0
}

fn server(page: &mut Page, work: &Work<'_>) {
    let (engine, server) = (work.engine, &work.engine.server);
    let now = work.now;
    let uptime = engine
        .mount
        .clock()
        .monotonic()
        .saturating_sub(server.started())
        .as_secs();
    page.put("redis_version", &VERSION);
    page.put("upkv_version", &env!("CARGO_PKG_VERSION"));
    page.put("redis_mode", &"standalone");
    page.put("os", &std::env::consts::OS);
    page.put("arch_bits", &usize::BITS);
    page.put("process_id", &std::process::id());
    page.put("process_supervised", &"no");
    page.put("run_id", &server.run_id(|| engine.mount.random()));
    page.put("tcp_port", &0);
    page.put("server_time_usec", &now.saturating_mul(1_000));
    page.put("uptime_in_seconds", &uptime);
    page.put("uptime_in_days", &(uptime / 86_400));
    for (_, rate) in config::find(engine, &[b"hz"]) {
        page.put("hz", &rate);
        page.put("configured_hz", &rate);
    }
    // The clock of Redis: seconds in 24 bits.
    page.put("lru_clock", &((now / 1_000) & 0xff_ffff));
    page.put("executable", &"");
    page.put("config_file", &"");
}

fn clients(page: &mut Page, work: &Work<'_>, sums: &Sums) {
    let server = &work.engine.server;
    let (mut input, mut output, mut listening, mut watching, mut watched) = (0, 0, 0, 0, 0);
    for client in server.clients.all() {
        let facts = client.facts();
        input = input.max(facts.input_bytes);
        output = output.max(facts.output_bytes);
        listening += usize::from(facts.subscriptions() > 0);
        watching += usize::from(facts.watched > 0);
        watched += facts.watched;
    }
    page.put("connected_clients", &server.clients.len());
    page.put("cluster_connections", &0);
    page.put("maxclients", &server.config.max_clients());
    page.put("client_recent_max_input_buffer", &input);
    page.put("client_recent_max_output_buffer", &output);
    page.put("blocked_clients", &server.blocked.count());
    page.put("tracking_clients", &server.tracking.clients());
    page.put("pubsub_clients", &listening);
    page.put("watching_clients", &watching);
    page.put("clients_in_timeout_table", &server.blocked.timers());
    page.put("total_watched_keys", &watched);
    page.put("total_blocking_keys", &sums.waited_for);
}

/// Memory of the whole process, of which the database is a part; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmRSS:")
}

/// A number of KiB in a file of the system, in bytes.
fn kib(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn memory(page: &mut Page, work: &Work<'_>, sums: &Sums) {
    let (engine, server) = (work.engine, &work.engine.server);
    let peak = server.stats.note_memory(sums.used);
    let max = u64::try_from(engine.evictor.max().unwrap_or(0)).unwrap_or(0);
    let rss = resident_bytes();
    page.put_bytes("used_memory", sums.used);
    if let Some(rss) = rss {
        page.put_bytes("used_memory_rss", rss);
    }
    page.put_bytes("used_memory_peak", peak);
    let percent = |part, whole| format!("{:.2}%", ratio(part, whole) * 100.0);
    let data = sums.used.saturating_sub(sums.overhead);
    page.put("used_memory_peak_perc", &percent(sums.used, peak));
    page.put("used_memory_overhead", &sums.overhead);
    page.put("used_memory_dataset", &data);
    page.put("used_memory_dataset_perc", &percent(data, sums.used));
    if let Some(total) = kib("/proc/meminfo", "MemTotal:") {
        page.put_bytes("total_system_memory", total);
    }
    scripts(page, work);
    page.put_bytes("maxmemory", max);
    page.put("maxmemory_policy", &engine.evictor.policy().name());
    if let Some(rss) = rss {
        let fragments = rss.saturating_sub(sums.used);
        page.put(
            "mem_fragmentation_ratio",
            &format!("{:.2}", ratio(rss, sums.used)),
        );
        page.put("mem_fragmentation_bytes", &fragments);
    }
    let buffered = |client: &crate::server::clients::Client| {
        let facts = client.facts();
        facts.input_bytes + facts.output_bytes
    };
    let clients = server.clients.all();
    let buffered: usize = clients.iter().map(|client| buffered(client)).sum();
    page.put("mem_clients_normal", &buffered);
    page.put("mem_allocator", &"system");
    page.put("active_defrag_running", &0);
    // What is removed is freed at once.
    page.put("lazyfree_pending_objects", &0);
    page.put("lazyfreed_objects", &0);
}

/// Scripts and functions that are kept; their states are those of threads and belong to no database.
#[cfg(feature = "lua")]
fn scripts(page: &mut Page, work: &Work<'_>) {
    let (scripts, bytes) = work.engine.scripts.cache().size();
    let libraries = work.engine.libraries.current();
    let libraries = libraries.by_name.values();
    let code: usize = libraries.clone().map(|library| library.code.len()).sum();
    let functions = libraries
        .clone()
        .filter_map(|library| library.functions.get());
    let functions: usize = functions.map(Vec::len).sum();
    page.put_bytes("used_memory_lua", (bytes + code) as u64);
    page.put("used_memory_scripts_eval", &bytes);
    page.put("number_of_cached_scripts", &scripts);
    page.put("number_of_functions", &functions);
    page.put("number_of_libraries", &libraries.len());
    page.put("used_memory_functions", &code);
    page.put_bytes("used_memory_scripts", (bytes + code) as u64);
}

#[cfg(not(feature = "lua"))]
fn scripts(_page: &mut Page, _work: &Work<'_>) {}

fn persistence(page: &mut Page, work: &Work<'_>) {
    let (engine, server) = (work.engine, &work.engine.server);
    let saved = engine.mount.durable_seq() >= engine.mount.last_seq();
    page.put("loading", &0);
    page.put("async_loading", &0);
    page.put(
        "rdb_changes_since_last_save",
        &u8::from(!saved && !engine.mount.is_memory()),
    );
    page.put("rdb_bgsave_in_progress", &0);
    page.put("rdb_last_save_time", &server.last_save());
    page.put("rdb_last_bgsave_status", &"ok");
    page.put("aof_enabled", &u8::from(!engine.mount.is_memory()));
    page.put("aof_rewrite_in_progress", &0);
    page.put("aof_rewrite_scheduled", &0);
    page.put("aof_last_bgrewrite_status", &"ok");
    page.put("aof_last_write_status", &"ok");
    if !engine.mount.is_memory() {
        page.put("aof_current_size", &engine.mount.live_bytes());
    }
}

fn stats(page: &mut Page, work: &Work<'_>, sums: &Sums) {
    let server = &work.engine.server;
    let counters = &server.stats;
    let counted = &sums.counted;
    let now = work.engine.mount.clock().monotonic();
    page.put("total_connections_received", &server.clients.accepted());
    page.put("total_commands_processed", &counters.total());
    page.put(
        "instantaneous_ops_per_sec",
        &counters.commands_rate.get(now),
    );
    page.put("total_net_input_bytes", &counters.received.total());
    page.put("total_net_output_bytes", &counters.sent.total());
    let per_second = |bytes: u64| format!("{:.2}", ratio(bytes, 1_024));
    page.put(
        "instantaneous_input_kbps",
        &per_second(counters.received.rate.get(now)),
    );
    page.put(
        "instantaneous_output_kbps",
        &per_second(counters.sent.rate.get(now)),
    );
    page.put("rejected_connections", &counters.refused_connections());
    page.put("expired_keys", &counted.expired);
    page.put("expired_subkeys", &counted.expired_fields);
    page.put("evicted_keys", &counted.evicted);
    page.put("keyspace_hits", &counted.hits);
    page.put("keyspace_misses", &counted.misses);
    page.put(
        "pubsub_channels",
        &server.channels.names_in_use(Of::Channel),
    );
    page.put(
        "pubsub_patterns",
        &server.channels.names_in_use(Of::Pattern),
    );
    page.put(
        "pubsubshard_channels",
        &server.channels.names_in_use(Of::Shard),
    );
    page.put("tracking_total_keys", &server.tracking.keys());
    page.put("tracking_total_prefixes", &server.tracking.prefixes());
    page.put("total_error_replies", &counters.error_replies());
    for (reason, count) in server.acl.log.refused() {
        let what = if reason == "command" { "cmd" } else { reason };
        page.put(&format!("acl_access_denied_{what}"), &count);
    }
}

fn replication(page: &mut Page, work: &Work<'_>) {
    let (engine, server) = (work.engine, &work.engine.server);
    page.put("role", &"master");
    page.put("connected_slaves", &0);
    page.put("master_failover_state", &"no-failover");
    page.put("master_replid", &server.run_id(|| engine.mount.random()));
    page.put("master_replid2", &"0".repeat(40));
    page.put("master_repl_offset", &0);
    page.put("second_repl_offset", &-1);
    page.put("repl_backlog_active", &0);
}

/// Time that the process computed, where the system tells: in itself and for the system.
fn cpu(page: &mut Page) {
    /// Ticks in a second, as Linux shows them to programs on every machine.
    const TICKS: u64 = 100;
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else {
        return;
    };
    // The name of the program, in parentheses, may contain anything.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let names = [
        ("used_cpu_sys", 12),
        ("used_cpu_user", 11),
        ("used_cpu_sys_children", 14),
        ("used_cpu_user_children", 13),
    ];
    for (name, at) in names {
        if let Some(ticks) = fields.get(at).and_then(|field| field.parse::<u64>().ok()) {
            page.put(name, &format!("{:.6}", ratio(ticks, TICKS)));
        }
    }
}

fn errorstats(page: &mut Page, work: &Work<'_>) {
    let server = &work.engine.server;
    for (code, count) in server.stats.errors() {
        page.put(&format!("errorstat_{code}"), &format!("count={count}"));
    }
}

fn commandstats(page: &mut Page, work: &Work<'_>) {
    let server = &work.engine.server;
    for (name, counted) in server.stats.commands() {
        let mut text = format!("calls={},usec={}", counted.calls, counted.micros);
        let mean = counted.micros.saturating_mul(100) / counted.calls.max(1);
        let written = write!(
            text,
            ",usec_per_call={}.{:02},rejected_calls={},failed_calls={}",
            mean / 100,
            mean % 100,
            counted.rejected,
            counted.failed
        );
        debug_assert!(written.is_ok(), "a string takes all");
        page.put(&format!("cmdstat_{name}"), &text);
    }
}

fn latencystats(page: &mut Page, work: &Work<'_>) {
    let server = &work.engine.server;
    for row in super::sorted_rows() {
        if let Some(buckets) = server.stats.histogram(row) {
            let shown: Vec<String> = [50.0, 99.0, 99.9]
                .iter()
                .map(|part| format!("p{part}={}.000", percentile(&buckets, *part)))
                .collect();
            page.put(
                &format!("latency_percentiles_usec_{}", row.name),
                &shown.join(","),
            );
        }
    }
}

fn keyspace(page: &mut Page, sums: &Sums) {
    for counts in &sums.databases {
        let text = format!(
            "keys={},expires={},avg_ttl={}",
            counts.keys, counts.expires, counts.ttl_millis
        );
        page.put(&format!("db{}", counts.db), &text);
    }
}

fn store(page: &mut Page, work: &Work<'_>, sums: &Sums) {
    let engine = work.engine;
    let counted = &sums.counted;
    page.put("live_log_bytes", &engine.mount.live_bytes());
    page.put("demoted_values", &counted.demoted);
    page.put("promoted_values", &counted.promoted);
    page.put(
        "cold_reads",
        &engine.cold_reads.load(std::sync::atomic::Ordering::Relaxed),
    );
}

/// Microseconds within which a part of the calls ended, in percent.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls, compared with a share of them"
)]
fn percentile(buckets: &[u64], part: f64) -> u64 {
    let wanted = buckets.iter().sum::<u64>() as f64 * part / 100.0;
    let mut sum = 0;
    let reaches = |count: &u64| {
        sum += count;
        sum as f64 >= wanted
    };
    1 << buckets.iter().position(reaches).unwrap_or(0)
}
