//! Measures every figure the suite is held to, beside its peers, and says which fall short.
//!
//! One tab-separated line a row on standard output: family, row, ours with unit, best peer with name, ratio, goal, and `ok`, `short`
//! or `-`; then the floors and the machine. Progress goes to standard error. A full run is kept under `benches/record/`.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::Result;
use benches::allocator::Counting;
use benches::floor;
use benches::machine::Machine;
use benches::measure::Effort;
use benches::report::{Record, Row, Verdict, figure};
use benches::suite::{Bench, FAMILIES, Family};

#[global_allocator]
static HEAP: Counting = Counting;

const USAGE: &str =
    "usage: scoreboard [store|kv|redis|vector|queue|flow|ratelimit|all]... [--quick] [--dir DIR]

  --quick    smaller sizes and shorter runs; nothing is kept
  --dir DIR  measure in DIR; default target/scoreboard in the workspace

Exit code 1 if a row is short, 2 if measuring failed.";

struct Options {
    families: Vec<&'static Family>,
    quick: bool,
    dir: PathBuf,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        families: Vec::new(),
        quick: false,
        dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/scoreboard"),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--dir" => options.dir = args.next().ok_or("--dir needs a directory")?.into(),
            "--help" | "-h" => return Ok(None),
            "all" => options.families = FAMILIES.iter().collect(),
            name => {
                let family = FAMILIES.iter().find(|family| family.0 == name);
                options
                    .families
                    .push(family.ok_or(format!("unknown argument {name:?}"))?);
            }
        }
    }
    if options.families.is_empty() {
        options.families = FAMILIES.iter().collect();
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let dir = options.dir.join(std::process::id().to_string());
    let measured = std::fs::create_dir_all(&dir)
        .map_err(Into::into)
        .and_then(|()| measure(&options, &dir));
    if let Err(e) = std::fs::remove_dir_all(&dir) {
        eprintln!("{} is left behind: {e}", dir.display());
    }
    match measured {
        Ok(short) => ExitCode::from(u8::from(short)),
        Err(e) => {
            eprintln!("measuring failed: {e}");
            ExitCode::from(2)
        }
    }
}

/// Whether a row is short.
fn measure(options: &Options, dir: &Path) -> Result<bool> {
    let machine = Machine::of(dir);
    let effort = Effort::new(options.quick);
    if cfg!(not(feature = "peers")) {
        eprintln!("built without peers: rows show our figures only");
    }
    let mut bench = Bench::new(dir, effort, print_row);
    for family in &options.families {
        bench.run(family)?;
    }
    eprintln!("floors");
    for floor in floor::measure(dir, effort)? {
        println!(
            "floor\t{}\t{} ns\tp99 {} ns",
            floor.name,
            figure(floor.nanos.median()),
            figure(floor.nanos.quantile(0.99)),
        );
    }
    for fact in machine.facts() {
        println!("machine\t{}", fact.replacen(": ", "\t", 1));
    }
    println!(
        "machine\truns\t{} of each contender in turn, ours twice",
        effort.rounds
    );
    if !options.quick {
        let record = Record::of(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("record"),
            &machine,
        );
        record.keep(&machine, bench.rows())?;
        eprintln!("kept in {}", record.path().display());
    }
    Ok(bench
        .rows()
        .iter()
        .any(|row| row.verdict() == Verdict::Short))
}

fn print_row(row: &Row) {
    println!("{}", row.line());
    if let Ok(results) = &row.outcome {
        let others: Vec<String> = results
            .peers
            .iter()
            .map(|(name, runs)| {
                format!(
                    "{name} {} (p99 {})",
                    figure(runs.median()),
                    figure(row.tail(runs))
                )
            })
            .collect();
        eprintln!(
            "  ours p99 {}, noise {:.1} %{}{}",
            figure(row.tail(&results.ours)),
            results.noise * 100.0,
            if others.is_empty() { "" } else { "; " },
            others.join(", "),
        );
    }
}
