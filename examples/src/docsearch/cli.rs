//! The command line: what is asked for, what is printed, and the exit code.
//!
//! 0 done, 1 failed, 2 asked for something that cannot be, 130 ended by the user.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::error::{Error, Result};
use super::library::{Library, QUEUE};
use super::pipeline::{Limits, Stop, Summary};
use super::progress::Progress;
use super::search::{Answer, Question};
use super::source::Source;
use super::text::{escaped, excerpt, number, rate, size, span};

/// Seconds that indexing may take, unless told otherwise.
const SECONDS: u64 = 60;
/// Exit code of a program that was interrupted.
const INTERRUPTED: u8 = 130;
/// Characters of a hit's text that are shown.
const EXCERPT: usize = 220;
/// What a first run asks, with filters.
const SAMPLES: [(&str, &str); 3] = [
    ("parse json into a struct", ""),
    ("spawn a thread and wait for its result", "kind = 'fn'"),
    (
        "iterate over the bytes of a string",
        "kind IN ('fn', 'struct', 'trait')",
    ),
];

/// Search over the documentation on this machine.
///
/// Without a command: indexes the crate sources that cargo has placed on this machine for a minute, asks a few questions, and prints a
/// summary. It can be stopped or killed at any moment; the next run goes on, and indexes only what changed.
#[derive(Debug, Parser)]
#[command(name = "docsearch", version, args_conflicts_with_subcommands = false)]
struct Arguments {
    /// Folder of the store [default: docsearch in the user's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Ends indexing after so many seconds; what is left waits for the next run [default: 60]
    #[arg(long, global = true, value_name = "N", conflicts_with = "all", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Indexes until all is done
    #[arg(long, global = true)]
    all: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Indexes .rs, .md and .txt files
    Index {
        /// Folder to walk [default: the crate sources that cargo has placed on this machine]
        dir: Option<PathBuf>,
    },
    /// Answers a question
    Query {
        /// What to look for
        text: String,
        /// Only hits that match, such as "crate = 'serde' AND kind = 'fn'"; fields: crate, version, kind, item, path, line
        #[arg(long)]
        filter: Option<String>,
        /// How many hits, 1 to 1000
        #[arg(long, default_value_t = 10)]
        top: usize,
        /// Who asks: each user has a limit of 20 questions in 10 seconds
        #[arg(long, default_value = "me")]
        user: String,
    },
    /// Shows what is in the store
    Stats,
    /// Lists the files that could not be indexed, and why
    Dead,
    /// Tries the files again that could not be indexed
    Retry,
}

/// Does what the arguments say, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _unheard = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let stdout = io::stdout();
    match run(&arguments, &mut stdout.lock()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("docsearch: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<u8> {
    // What cannot be is refused before a store is made for it.
    let source = match &arguments.command {
        Some(Command::Index { dir: Some(dir) }) => Some(Source::folder(dir)?),
        Some(Command::Index { dir: None }) | None => Some(Source::crates()?),
        _ => None,
    };
    let library = Library::open(&store_dir(arguments)?)?;
    let code = match &arguments.command {
        None => everything(&library, arguments, source.as_ref(), out)?,
        Some(Command::Index { .. }) => index(&library, arguments, source.as_ref(), out)?,
        Some(Command::Query {
            text,
            filter,
            top,
            user,
        }) => {
            let mut question = Question::new(text).top(*top).user(user);
            if let Some(filter) = filter {
                question = question.filter(filter);
            }
            let answer = library.ask(&question)?;
            written(print_answer(&answer, out))?;
            0
        }
        Some(Command::Stats) => {
            let stats = library.stats()?;
            written(stats.print(out))?;
            0
        }
        Some(Command::Dead) => {
            dead(&library, out)?;
            0
        }
        Some(Command::Retry) => {
            let again = library.retry()?;
            written(writeln!(out, "{} files are tried again", number(again)))?;
            if again > 0 {
                index(&library, arguments, None, out)?
            } else {
                0
            }
        }
    };
    library.close()?;
    Ok(code)
}

/// A reader that went away, such as `head`, is no failure.
fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Io {
            path: PathBuf::from("standard output"),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn store_dir(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(dir) = &arguments.store {
        if dir.as_os_str().is_empty() {
            return Err(Error::usage("--store is empty"));
        }
        return Ok(dir.clone());
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.filter(|dir| dir.is_absolute()).or_else(|| {
        let home = std::env::home_dir()?;
        Some(home.join(".local").join("share"))
    });
    let data =
        data.ok_or_else(|| Error::usage("there is no home folder; name one with --store"))?;
    Ok(data.join("up").join("docsearch"))
}

/// Indexes and prints what was done.
fn index(
    library: &Library,
    arguments: &Arguments,
    source: Option<&Source>,
    out: &mut dyn Write,
) -> Result<u8> {
    let stop = Stop::default();
    let asked = stop.clone();
    // Refused if a handler is set already; then that one does.
    let _set = ctrlc::set_handler(move || {
        if asked.request() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("stopping; once more ends at once, which does no harm either");
    });
    let seconds = arguments.seconds.unwrap_or(SECONDS);
    let limits = Limits {
        span: (!arguments.all).then(|| Duration::from_secs(seconds)),
    };
    let summary = {
        let mut progress = Progress::stderr();
        library.update(source, limits, &stop, &mut progress)?
    };
    written(print_summary(&summary, library, out))?;
    Ok(if summary.stopped { INTERRUPTED } else { 0 })
}

fn everything(
    library: &Library,
    arguments: &Arguments,
    source: Option<&Source>,
    out: &mut dyn Write,
) -> Result<u8> {
    let code = index(library, arguments, source, out)?;
    if code != 0 {
        return Ok(code);
    }
    for (text, filter) in SAMPLES {
        let mut question = Question::new(text).top(3);
        let mut shown = format!("docsearch query \"{text}\"");
        if !filter.is_empty() {
            question = question.filter(filter);
            shown = format!("{shown} --filter \"{filter}\"");
        }
        written(writeln!(out, "\n> {shown}"))?;
        match library.ask(&question) {
            Ok(answer) => written(print_answer(&answer, out))?,
            Err(error @ Error::Limited { .. }) => written(writeln!(out, "{error}"))?,
            Err(error) => return Err(error),
        }
    }
    let stats = library.stats()?;
    written(writeln!(out))?;
    written(stats.print(out))?;
    Ok(0)
}

fn print_summary(summary: &Summary, library: &Library, out: &mut dyn Write) -> io::Result<()> {
    let [read, chunk, embed, commit] = summary.stages.map(span);
    writeln!(
        out,
        "scanned       {} files in {}: {} unchanged, {} new or changed, {} gone, {} left out, {} dead before",
        number(summary.found),
        span(summary.scan),
        number(summary.unchanged),
        number(summary.queued),
        number(summary.leaving),
        number(summary.left_out),
        number(summary.known_dead),
    )?;
    writeln!(
        out,
        "indexed       {} files, {} chunks, {} in {}: {} chunks/s",
        number(summary.indexed),
        number(summary.chunks),
        size(summary.bytes),
        span(summary.elapsed),
        number(rate(summary.chunks, summary.elapsed)),
    )?;
    writeln!(
        out,
        "also          {} had the same content, {} taken out, {} to the dead letters",
        number(summary.touched),
        number(summary.removed),
        number(summary.dead),
    )?;
    writeln!(
        out,
        "thread time   read {read}, chunk {chunk}, embed {embed}, commit {commit}"
    )?;
    for complaint in &summary.complaints {
        writeln!(out, "  {complaint}")?;
    }
    if summary.waiting > 0 {
        writeln!(
            out,
            "waiting       {} files; run again to go on, with --all to the end",
            number(summary.waiting)
        )?;
    }
    let dead = library.queue().stats(QUEUE).dead;
    if dead > 0 {
        writeln!(
            out,
            "dead letters  {}; see docsearch dead, try again with docsearch retry",
            number(dead)
        )?;
    }
    Ok(())
}

fn print_answer(answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    for (number, hit) in (1..).zip(&answer.hits) {
        let from = match (hit.crate_name.as_str(), hit.version.as_str()) {
            ("", _) => String::new(),
            (name, "") => format!(" in {}", escaped(name)),
            (name, version) => format!(" in {} {}", escaped(name), escaped(version)),
        };
        let (kind, item) = (escaped(&hit.kind), escaped(&hit.item));
        writeln!(out, "{number:>3}. {kind} {item}{from}  ({:.4})", hit.score)?;
        writeln!(out, "     {}:{}", escaped(&hit.path), hit.line)?;
        writeln!(out, "     {}", excerpt(&hit.text, EXCERPT))?;
    }
    let how = if answer.cached {
        ", from the cache"
    } else {
        ""
    };
    let hits = answer.hits.len();
    writeln!(out, "{hits} hits in {}{how}", span(answer.took))
}

fn dead(library: &Library, out: &mut dyn Write) -> Result<()> {
    let mut listed = 0;
    for letter in library.dead() {
        let (path, why) = letter?;
        written(writeln!(out, "{}: {}", escaped(&path), escaped(&why)))?;
        listed += 1;
    }
    written(writeln!(out, "{} dead letters", number(listed)))
}
