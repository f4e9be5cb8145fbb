//! One run of a script or function inside a work.

use std::cell::RefCell;
use std::sync::Arc;

use mlua::{Table, Value};

use super::cache::Cached;
use super::call::Calls;
use super::convert::{Replies, line};
use super::flags::{self, ALLOW_OOM, COMPATIBLE, KEY_LOCKING, NO_WRITES};
use super::meter::{Meter, Running, Stop};
use super::state::{State, cause, is_out_of_memory};
use super::tally::Tally;
use crate::command::Reply;
use crate::error::{Error, Result};
use crate::keyspace::libraries::Library;
use crate::keyspace::work::Work;
use crate::sha1::sha1;

thread_local! {
    /// Taken out while it runs.
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program<'p> {
    Script(&'p Cached),
    Function {
        library: &'p Library,
        name: &'p [u8],
        flags: u8,
    },
}

/// One call: a program and what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'j> {
    pub(crate) program: Program<'j>,
    pub(crate) keys: &'j [&'j [u8]],
    pub(crate) argv: &'j [&'j [u8]],
    /// Called by a command that does not write.
    pub(crate) read_only: bool,
    /// The command that asked for it.
    pub(crate) command: &'j [&'j [u8]],
}

impl Job<'_> {
    fn flags(&self) -> u8 {
        match self.program {
            Program::Script(script) => script.flags,
            Program::Function { flags, .. } => flags,
        }
    }

    fn name(&self) -> String {
        match self.program {
            Program::Script(script) => script.name.clone(),
            Program::Function { name, .. } => String::from_utf8_lossy(name).into_owned(),
        }
    }

    /// Refuses what must not even start.
    fn check(&self, work: &Work<'_>) -> Result<()> {
        let flags = self.flags();
        if flags & COMPATIBLE != 0 {
            return Ok(());
        }
        // Upstash finds out when a function writes.
        let may_try =
            work.engine.rules.is_upstash() && matches!(self.program, Program::Function { .. });
        if self.read_only && flags & NO_WRITES == 0 && !may_try {
            return Err(Error::refused(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        if flags & (ALLOW_OOM | NO_WRITES) == 0 && work.engine.check_growth_inside().is_err() {
            return Err(Error::refused(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            ));
        }
        Ok(())
    }
}

/// Runs a program inside a work. An error that it raises is a reply: what it wrote before stays.
pub(crate) fn run(work: &mut Work<'_>, job: &Job<'_>) -> Result<Reply> {
    job.check(work)?;
    if job.flags() & KEY_LOCKING != 0 {
        work.prefetch_strings(job.keys)?;
    }
    with_state(|state| {
        let scripts = &work.engine.scripts;
        let clock = work.engine.mount.clock();
        let is_function = matches!(job.program, Program::Function { .. });
        let name = job.name();
        let shards = (job.flags() & KEY_LOCKING != 0).then(|| work.held_shards().collect());
        let since = clock.monotonic();
        let running = Running::new(is_function, name.as_bytes(), job.command, since, shards);
        state.meter.start(scripts.limits, clock, &running);
        let entered = scripts.enter(running);
        let db = work.db();
        let mut tally = Tally::default();
        let outcome = attempt(state, work, job, &mut tally);
        work.select(db);
        drop(entered);
        let outcome = settle(&state.meter, work, &name, outcome);
        if work.client != 0 {
            let counters = &work.engine.server.stats;
            tally.end(counters, clock.monotonic(), &outcome);
        }
        outcome
    })
}

/// Gives a state to `body`; it is kept for the next run if it is fit for it.
pub(super) fn with_state<R>(body: impl FnOnce(&mut State) -> Result<R>) -> Result<R> {
    let failed = |error: mlua::Error| {
        Error::refused_with(format!("ERR Lua: {}", line(error.to_string().as_bytes())))
    };
    let state = STATE.with(|state| state.borrow_mut().take());
    let mut state = match state {
        Some(state) => state,
        None => State::new().map_err(failed)?,
    };
    let outcome = body(&mut state);
    if state.is_lean() {
        STATE.with(|kept| *kept.borrow_mut() = Some(state));
    }
    outcome
}

/// What came of a run, whatever ended it.
enum Outcome {
    Reply(Reply),
    /// It does not compile.
    Malformed(String),
    /// The machinery failed, mostly because the run was stopped.
    Failed(mlua::Error),
}

fn attempt(state: &mut State, work: &mut Work<'_>, job: &Job<'_>, tally: &mut Tally) -> Outcome {
    let limit = work.engine.scripts.limits.memory_bytes;
    if let Err(error) = state.lua.set_memory_limit(limit.saturating_add(1 << 20)) {
        return Outcome::Failed(error);
    }
    let chunk = match job.program {
        Program::Script(script) => {
            state.chunk(script.digest, "@user_script", flags::code_of(&script.body))
        }
        Program::Function { library, .. } => library_chunk(state, &library.code),
    };
    let chunk = match chunk {
        Ok(chunk) => chunk,
        Err(message) => return Outcome::Malformed(message),
    };
    let meter = Arc::clone(&state.meter);
    let mut calls = Calls {
        work,
        job,
        meter: &meter,
        flags: job.flags(),
        tally,
    };
    let replied = state.lua.scope(|scope| {
        let invoke =
            scope.create_function_mut(|lua, (only_check, count, args): (bool, usize, Table)| {
                calls.invoke(lua, only_check, count, &args)
            })?;
        let list = |items: &[&[u8]]| {
            let table = state.lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, state.lua.create_string(item)?)?;
            }
            Ok::<Table, mlua::Error>(table)
        };
        let (keys, argv) = (list(job.keys)?, list(job.argv)?);
        let (ok, value): (bool, Value) = match job.program {
            Program::Script(_) => state.run.call((chunk, invoke, keys, argv))?,
            Program::Function { name, .. } => {
                state.registered.clear();
                let name = state.lua.create_string(name)?;
                state.run_library.call((chunk, name, invoke, keys, argv))?
            }
        };
        if ok {
            Replies::new(&meter).reply(&value, 0)
        } else {
            raised(&meter, &value, &job.name())
        }
    });
    match replied {
        Ok(reply) => Outcome::Reply(reply),
        Err(error) => Outcome::Failed(error),
    }
}

/// The compiled form of a library.
pub(super) fn library_chunk(state: &mut State, code: &[u8]) -> Result<mlua::Function, String> {
    state.chunk(sha1(code), "@user_function", flags::code_of(code))
}

/// The error that a script raised, with where that was.
fn raised(meter: &Meter, reason: &Value, name: &str) -> mlua::Result<Reply> {
    let Value::Table(table) = reason else {
        if is_out_of_memory(reason) {
            meter.stop(Stop::Memory);
        }
        let text = line(reason.to_string()?.as_bytes());
        return Ok(Reply::Error(format!("ERR {text} script: {name}")));
    };
    let text: mlua::String = table.raw_get("err")?;
    if *text.as_bytes() == *b"not enough memory" {
        meter.stop(Stop::Memory);
    }
    let text = line(&text.as_bytes());
    let source: Option<String> = table.raw_get("source")?;
    Ok(Reply::Error(match source {
        Some(source) => {
            let at: i64 = table.raw_get("line")?;
            format!("{text} script: {name}, on {source}:{at}.")
        }
        None => format!("{text} script: {name}"),
    }))
}

fn settle(meter: &Meter, work: &mut Work<'_>, name: &str, outcome: Outcome) -> Result<Reply> {
    if let Outcome::Failed(error) = &outcome
        && matches!(cause(error), mlua::Error::MemoryError(_))
    {
        meter.stop(Stop::Memory);
    }
    if let Some(stop) = meter.finish() {
        let reason = match stop {
            Stop::Work(Error::Aborted(_)) | Stop::Killed => {
                "Script killed by user with SCRIPT KILL..."
            }
            Stop::Work(error) => return Err(error),
            Stop::Time => "Script stopped: the time limit was exceeded.",
            Stop::Instructions => "Script stopped: the instruction limit was exceeded.",
            Stop::Memory => "Script stopped: the memory limit was exceeded.",
        };
        let reason = format!("{reason} script: {name}");
        // Whoever goes on in spite of the error must not commit half of the script.
        work.doom(&reason);
        return Err(Error::Aborted(reason.into()));
    }
    match outcome {
        Outcome::Reply(reply) => Ok(reply),
        Outcome::Malformed(message) => Err(not_compiled(&message)),
        Outcome::Failed(error) => {
            let reason = line(error.to_string().as_bytes());
            work.doom(&reason);
            Err(Error::Aborted(reason.into()))
        }
    }
}

/// The error for a script that does not compile.
pub(super) fn not_compiled(message: &str) -> Error {
    let message = line(message.as_bytes());
    Error::refused_with(format!(
        "ERR Error compiling script (new function): {message}"
    ))
}

/// Compiles a script without running it.
pub(crate) fn check(script: &Cached, limit: usize) -> Result<()> {
    with_state(|state| {
        // Compiling needs no more than the run it is for.
        let bounded = state.lua.set_memory_limit(limit.saturating_add(1 << 20));
        bounded.map_err(|error| Error::refused_with(format!("ERR {error}")))?;
        let chunk = state.chunk(script.digest, "@user_script", flags::code_of(&script.body));
        chunk.map(drop).map_err(|message| not_compiled(&message))
    })
}
