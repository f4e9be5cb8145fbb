//! What the figures were measured on: processor, kernel, disk, compiler and versions.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const LOCK_FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

const PEERS: [&str; 9] = [
    "dashmap", "papaya", "redb", "fjall", "usearch", "hnsw_rs", "effectum", "duroxide", "governor",
];

/// The facts beside every set of figures.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Day, as `2026-01-31` in UTC.
    pub date: String,
    /// Model name of the processor.
    pub cpu: String,
    /// Threads that can run at once.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
    /// File system and device of the directory that was measured in.
    pub disk: String,
    /// Compiler.
    pub rustc: String,
    /// Commit of the sources.
    pub commit: String,
    /// Load over the last minute when measuring began.
    pub load: String,
}

impl Machine {
    /// The facts, with the disk that holds `dir`.
    pub fn of(dir: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let fact = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = fact(&read("/proc/meminfo"), "MemTotal");
        let memory_kib = memory.and_then(|m| m.split(' ').next()?.parse::<u64>().ok());
        Self {
            date: today(),
            cpu: fact(&cpuinfo, "model name").unwrap_or_else(|| "unknown cpu".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk: disk(&read("/proc/mounts"), dir),
            rustc: output("rustc", &["-V"]),
            commit: output(
                "git",
                &[
                    "-C",
                    env!("CARGO_MANIFEST_DIR"),
                    "rev-parse",
                    "--short",
                    "HEAD",
                ],
            ),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or("?")
                .to_owned(),
        }
    }

    /// One line a fact, `name: value`.
    pub fn facts(&self) -> Vec<String> {
        let version = |name: &&str| Some(format!("{name} {}", version(LOCK_FILE, name)?));
        let peers: Vec<String> = PEERS.iter().filter_map(version).collect();
        vec![
            format!("date: {}", self.date),
            format!("cpu: {}, {} cores", self.cpu, self.cores),
            format!("memory: {} MiB", self.memory_mib),
            format!("kernel: {}", self.kernel),
            format!("disk: {}", self.disk),
            format!("rustc: {}", self.rustc),
            format!("commit: {}", self.commit),
            format!("up: {}", env!("CARGO_PKG_VERSION")),
            format!("peers: {}", peers.join(", ")),
            format!("load when started: {}", self.load),
        ]
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str, args: &[&str]) -> String {
    Command::new(program)
        .args(args)
        .output()
        .ok()
        .filter(|done| done.status.success())
        .map_or_else(
            || "unknown".to_owned(),
            |done| String::from_utf8_lossy(&done.stdout).trim().to_owned(),
        )
}

/// File system, device and options of the mount that holds `dir`.
fn disk(mounts: &str, dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (device, at) = (words.next()?, words.next()?);
            let (kind, options) = (words.next()?, words.next()?);
            dir.starts_with(at)
                .then(|| (at.len(), format!("{kind} on {device} ({options})")))
        })
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".to_owned(), |(_, text)| text)
}

fn version(lock_file: &str, name: &str) -> Option<String> {
    let (_, rest) = lock_file.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = since.map_or(0, |since| since.as_secs() / 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The date that is `days` after 1970-01-01, counted in eras of 400 years that begin in March.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = 400 * era + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_088), (2024, 12, 31));
        assert_eq!(civil(20_089), (2025, 1, 1));
    }

    #[test]
    fn the_longest_mount_point_holds_a_directory() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw,nosuid 0 0\n";
        let at = |dir: &str| disk(mounts, Path::new(dir));
        assert_eq!(at("/no-such-folder/x"), "ext4 on /dev/a (rw)");
        assert_eq!(at("/tmp"), "tmpfs on tmpfs (rw,nosuid)");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n";
        assert_eq!(version(lock, "a").as_deref(), Some("1.2.3"));
        assert_eq!(version(lock, "b"), None);
        assert!(version(LOCK_FILE, "bytes").is_some());
    }
}
