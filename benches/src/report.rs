//! Rows with their verdicts, and the file they are kept in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::machine::Machine;
use crate::measure::{Results, Samples};

/// Which of two figures of a row is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Times and sizes.
    Lower,
    /// Rates.
    Higher,
}

/// What a row must show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Nothing: the row informs.
    None,
    /// Our median is at most this, in the row's unit.
    AtMost(f64),
    /// Our median is at least this, in the row's unit.
    AtLeast(f64),
    /// Our median is at most this many times the best peer's.
    RatioAtMost(f64),
    /// Our median is at least this many times the best peer's.
    RatioAtLeast(f64),
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("-"),
            Self::AtMost(x) => write!(f, "<= {}", figure(*x)),
            Self::AtLeast(x) => write!(f, ">= {}", figure(*x)),
            Self::RatioAtMost(x) => write!(f, "<= {}x", figure(*x)),
            Self::RatioAtLeast(x) => write!(f, ">= {}x", figure(*x)),
        }
    }
}

/// Whether a row reached its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Ok,
    /// It did not.
    Short,
    /// There is no goal, or no peer to hold it against.
    Open,
}

impl Verdict {
    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Short => "short",
            Self::Open => "-",
        }
    }
}

/// One line of the scoreboard.
#[derive(Clone, Debug)]
pub struct Row {
    /// Family, as named on the command line.
    pub family: &'static str,
    /// Workload, sizes, threads and durability level.
    pub name: String,
    /// Unit of every figure in the row.
    pub unit: &'static str,
    /// Direction.
    pub better: Better,
    /// What must be shown.
    pub goal: Goal,
    /// What was measured; `Err` says why nothing was.
    pub outcome: Result<Results, String>,
}

impl Row {
    /// The best of the peers by median.
    pub fn best_peer(&self) -> Option<(&str, f64)> {
        let peers = self.outcome.as_ref().ok()?.peers.iter();
        let medians = peers.map(|(name, runs)| (name.as_str(), runs.median()));
        match self.better {
            Better::Lower => medians.min_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Higher => medians.max_by(|a, b| a.1.total_cmp(&b.1)),
        }
    }

    /// Our median.
    pub fn ours(&self) -> Option<f64> {
        Some(self.outcome.as_ref().ok()?.ours.median())
    }

    /// The run that one in a hundred is worse than.
    pub fn tail(&self, runs: &Samples) -> f64 {
        runs.quantile(match self.better {
            Better::Lower => 0.99,
            Better::Higher => 0.01,
        })
    }

    /// Our median in terms of the best peer's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ours()? / self.best_peer()?.1)
    }

    /// Whether the goal is reached. A row that could not be measured, or lacks the peer of its goal, is open.
    pub fn verdict(&self) -> Verdict {
        let reached = match self.goal {
            Goal::None => None,
            Goal::AtMost(x) => self.ours().map(|ours| ours <= x),
            Goal::AtLeast(x) => self.ours().map(|ours| ours >= x),
            Goal::RatioAtMost(x) => self.ratio().map(|ratio| ratio <= x),
            Goal::RatioAtLeast(x) => self.ratio().map(|ratio| ratio >= x),
        };
        match reached {
            None => Verdict::Open,
            Some(true) => Verdict::Ok,
            Some(false) => Verdict::Short,
        }
    }

    /// The line: family, row, ours with unit, best peer with name, ratio, goal, verdict, with tabs between.
    pub fn line(&self) -> String {
        let ours = match &self.outcome {
            Ok(results) => format!("{} {}", figure(results.ours.median()), self.unit),
            Err(reason) => format!("skipped: {}", reason.replace(['\t', '\n'], " ")),
        };
        let peer = self.best_peer().map_or_else(
            || "-".to_owned(),
            |(name, median)| format!("{} {} {name}", figure(median), self.unit),
        );
        let ratio = self
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x"));
        format!(
            "{}\t{}\t{ours}\t{peer}\t{ratio}\t{}\t{}",
            self.family,
            self.name,
            self.goal,
            self.verdict().as_str()
        )
    }
}

/// A number with three significant digits, and thousands in groups.
pub fn figure(x: f64) -> String {
    let size = x.abs();
    if !x.is_finite() {
        return "?".to_owned();
    }
    if size < 1000.0 {
        let digits = match size {
            s if s >= 100.0 => 0,
            s if s >= 10.0 => 1,
            s if s >= 0.1 => 2,
            _ => 4,
        };
        return format!("{x:.digits$}");
    }
    let whole = format!("{size:.0}");
    let mut out = String::from(if x < 0.0 { "-" } else { "" });
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

const COLUMNS: &str = "family,row,contender,unit,runs,median,p99,noise,goal,verdict";

/// Rows kept between runs: one file per day and processor, in which measuring a family again replaces its rows.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
}

impl Record {
    /// The record of this machine and day in `dir`.
    pub fn of(dir: &Path, machine: &Machine) -> Self {
        let name = format!("{}-{}.csv", machine.date, slug(&machine.cpu));
        Self {
            path: dir.join(name),
        }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `rows` in place of all kept rows of their families.
    pub fn keep(&self, machine: &Machine, rows: &[Row]) -> Result<()> {
        let old = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e.into()),
        };
        let mut text = String::new();
        for fact in machine.facts() {
            writeln!(text, "# {fact}")?;
        }
        writeln!(text, "{COLUMNS}")?;
        let measured = |line: &str| {
            rows.iter()
                .any(|row| line.starts_with(&format!("{},", row.family)))
        };
        let kept = old
            .lines()
            .filter(|line| !line.starts_with('#') && *line != COLUMNS && !measured(line));
        for line in kept {
            writeln!(text, "{line}")?;
        }
        for row in rows {
            write_row(&mut text, row)?;
        }
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        Ok(std::fs::write(&self.path, text)?)
    }
}

fn write_row(out: &mut String, row: &Row) -> Result<()> {
    let Ok(results) = &row.outcome else {
        return Ok(());
    };
    let name = format!("\"{}\"", row.name.replace('"', "'"));
    let mut one = |contender: &str, runs: &Samples, tail: &str| {
        writeln!(
            out,
            "{},{name},{contender},{},{},{:.6},{:.6},{tail}",
            row.family,
            row.unit,
            runs.len(),
            runs.median(),
            row.tail(runs),
        )
    };
    let tail = format!(
        "{:.4},{},{}",
        results.noise,
        row.goal,
        row.verdict().as_str()
    );
    one("up", &results.ours, &tail)?;
    for (peer, runs) in &results.peers {
        one(&peer.replace(',', ";"), runs, ",,")?;
    }
    Ok(())
}

fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, peers: &[(&str, f64)], better: Better, goal: Goal) -> Row {
        Row {
            family: "kv",
            name: "GET".to_owned(),
            unit: "ns",
            better,
            goal,
            outcome: Ok(Results {
                ours: Samples::new(vec![ours]),
                noise: 0.01,
                peers: peers
                    .iter()
                    .map(|(name, x)| ((*name).to_owned(), Samples::new(vec![*x])))
                    .collect(),
            }),
        }
    }

    #[test]
    fn a_line_names_the_best_peer_and_judges_by_it() {
        let peers = [("a", 40.0), ("b", 20.0)];
        let fast = row(10.0, &peers, Better::Lower, Goal::RatioAtMost(0.5));
        assert_eq!(
            fast.line(),
            "kv\tGET\t10.0 ns\t20.0 ns b\t0.50x\t<= 0.50x\tok"
        );
        let high = row(10.0, &peers, Better::Higher, Goal::RatioAtLeast(1.0));
        assert_eq!(
            high.line(),
            "kv\tGET\t10.0 ns\t40.0 ns a\t0.25x\t>= 1.00x\tshort"
        );
    }

    #[test]
    fn a_goal_without_its_peer_and_a_skipped_row_stay_open() {
        let alone = row(10.0, &[], Better::Lower, Goal::RatioAtMost(0.5));
        assert_eq!(alone.line(), "kv\tGET\t10.0 ns\t-\t-\t<= 0.50x\t-");
        let skipped = Row {
            outcome: Err("no data".to_owned()),
            ..row(0.0, &[], Better::Lower, Goal::AtMost(1.0))
        };
        assert_eq!(
            skipped.line(),
            "kv\tGET\tskipped: no data\t-\t-\t<= 1.00\t-"
        );
        assert_eq!(
            row(2.0, &[], Better::Lower, Goal::AtMost(1.0)).verdict(),
            Verdict::Short
        );
    }

    #[test]
    fn figures_have_three_digits_or_groups() {
        let shown: Vec<String> = [0.0123, 0.5, 1.234, 12.34, 123.4, 1234.5, 1_234_567.0]
            .map(figure)
            .into();
        assert_eq!(
            shown,
            [
                "0.0123",
                "0.50",
                "1.23",
                "12.3",
                "123",
                "1,234",
                "1,234,567"
            ]
        );
        assert_eq!(figure(f64::NAN), "?");
    }

    #[test]
    fn measuring_a_family_again_replaces_its_rows_only() {
        let dir = std::env::temp_dir().join(format!("up-record-{}", std::process::id()));
        let machine = Machine::of(&std::env::temp_dir());
        let record = Record::of(&dir, &machine);
        let store = Row {
            family: "store",
            ..row(1.0, &[], Better::Lower, Goal::None)
        };
        record
            .keep(
                &machine,
                &[store, row(2.0, &[("x", 3.0)], Better::Lower, Goal::None)],
            )
            .unwrap();
        record
            .keep(&machine, &[row(5.0, &[], Better::Lower, Goal::None)])
            .unwrap();
        let text = std::fs::read_to_string(record.path()).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(
            rows[1].starts_with("store,\"GET\",up,ns,1,1.000000"),
            "{text}"
        );
        assert!(rows[2].starts_with("kv,\"GET\",up,ns,1,5.000000"), "{text}");
    }
}
