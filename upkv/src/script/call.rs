//! `redis.call` and `redis.pcall`: a command inside the work of a script.

use mlua::{IntoLua, Lua, Table, Value};

use super::convert;
use super::flags::{ALLOW_OOM, KEY_LOCKING, NO_WRITES};
use super::meter::{Meter, Stop};
use super::number;
use super::run::Job;
use super::tally::Tally;
use crate::command::{self, Command, Reply, acl, row};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;

/// Commands that do not write, but which Redis counts among those that may.
const REPLICATED: [&str; 3] = ["pfcount", "publish", "spublish"];
const NOT_A_COMMAND: &str = "ERR Invalid command passed to redis.acl_check_cmd()";

/// What calls of one run share.
pub(super) struct Calls<'c, 'w, 'e> {
    pub(super) work: &'w mut Work<'e>,
    pub(super) job: &'c Job<'c>,
    pub(super) meter: &'c Meter,
    pub(super) flags: u8,
    pub(super) tally: &'c mut Tally,
}

impl Calls<'_, '_, '_> {
    /// Runs a command: true and its reply, or false and a table with the error. If it is only to be checked, the reply
    /// tells whether the caller has the right to it.
    pub(super) fn invoke(
        &mut self,
        lua: &Lua,
        only_check: bool,
        count: usize,
        args: &Table,
    ) -> mlua::Result<(bool, Value)> {
        if !self.meter.spend(50 + count as u64) {
            return Err(mlua::Error::runtime("stopped"));
        }
        let reply = match self.arguments(count, args)? {
            Ok(args) => {
                let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
                if only_check {
                    return match Command::named(&args) {
                        Ok(command) => {
                            let allowed = acl::allows_inside(self.work, command, &args);
                            Ok((true, Value::Boolean(allowed)))
                        }
                        Err(_) => Ok((false, error_table(lua, NOT_A_COMMAND)?)),
                    };
                }
                self.counted(&args)
            }
            Err(text) => return Ok((false, error_table(lua, text)?)),
        };
        match reply {
            Ok(Reply::Error(text)) => Ok((false, told_table(lua, &text)?)),
            Ok(reply) => {
                let proto = self.meter.proto.load(std::sync::atomic::Ordering::Relaxed);
                Ok((true, convert::to_lua(lua, self.meter, proto, &reply)?))
            }
            Err(error @ (Error::Restart | Error::Storage(_) | Error::Aborted(_))) => {
                self.meter.stop(Stop::Work(error));
                Err(mlua::Error::runtime("stopped"))
            }
            Err(error) => Ok((false, told_table(lua, &error.reply_line())?)),
        }
    }

    /// The arguments of a command. They are copied: a state holds few values for the host at once.
    fn arguments(
        &self,
        count: usize,
        args: &Table,
    ) -> mlua::Result<Result<Vec<Vec<u8>>, &'static str>> {
        if count == 0 {
            return Ok(Err(
                "ERR Please specify at least one argument for this redis lib call",
            ));
        }
        let mut texts = Vec::new();
        let mut bytes = 0;
        for at in 1..=count {
            let text = match args.raw_get(at)? {
                Value::String(text) => text.as_bytes().to_vec(),
                Value::Integer(value) => value.to_string().into_bytes(),
                Value::Number(value) => number::argument(value).into_bytes(),
                _ => {
                    return Ok(Err(
                        "ERR Lua redis lib command arguments must be strings or integers",
                    ));
                }
            };
            bytes += text.len();
            if !self.meter.fits(bytes) {
                return Err(mlua::Error::runtime("stopped"));
            }
            texts.push(text);
        }
        Ok(Ok(texts))
    }

    /// Runs a command, and notes that; calls without a client are not counted, as its own are not.
    fn counted(&mut self, args: &[&[u8]]) -> Result<Reply> {
        let mut running = None;
        if self.work.client == 0 {
            return self.execute(args, &mut running);
        }
        let clock = self.work.engine.mount.clock();
        let started = clock.monotonic();
        let outcome = self.execute(args, &mut running);
        let now = clock.monotonic();
        let counters = &self.work.engine.server.stats;
        let took = now.saturating_sub(started);
        self.tally.add(counters, running, now, took, &outcome);
        outcome
    }

    /// Runs a command; `running` becomes it once nothing speaks against that.
    fn execute(&mut self, args: &[&[u8]], running: &mut Option<&'static Command>) -> Result<Reply> {
        let command = find(args)?;
        let is_select = command.name == "select";
        if command.has(row::NOSCRIPT | row::CONTROL)
            || (matches!(command.handler, row::Handler::Session(_)) && !is_select)
        {
            return Err(Error::refused(
                "ERR This Redis command is not allowed from script",
            ));
        }
        acl::check_inside(self.work, command, args)?;
        let read_only = self.job.read_only || self.flags & NO_WRITES != 0;
        if read_only && (command.has(row::WRITE) || REPLICATED.contains(&command.name)) {
            return Err(Error::refused(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if self.flags & KEY_LOCKING != 0 {
            self.check_declared(command, args)?;
        }
        if is_select {
            *running = Some(command);
            let db = command::database(args[1], self.work.engine.rules.databases())?;
            self.work.select(db);
            return Ok(Reply::OK);
        }
        let handler = command::data_handler(command)?;
        // What has written once is not stopped half-way.
        if self.flags & ALLOW_OOM == 0 && !self.meter.has_written() {
            self.work.engine.check_room_inside(command, args)?;
        }
        self.work.reads = command.has(row::READ);
        if command.has(row::WRITE) && !self.meter.note_write() {
            return Err(Error::Aborted("Script killed by user".into()));
        }
        *running = Some(command);
        command::perform(self.work, command, handler, args)
    }

    /// Refuses keys that a script did not declare though it says that it touches no others.
    fn check_declared(&self, command: &Command, args: &[&[u8]]) -> Result<()> {
        if command.has(row::ALL | row::EVERY) || command.name == "select" {
            return Err(Error::refused(
                "ERR This command is not allowed in Lua scripts when 'allow-key-locking' flag is set.",
            ));
        }
        let keys = command.keys(args);
        let foreign = keys.iter().find(|key| !self.job.keys.contains(key));
        match foreign {
            None => Ok(()),
            Some(key) => {
                let key = String::from_utf8_lossy(&key[..key.len().min(128)]);
                Err(Error::refused_with(format!(
                    "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: {key}"
                )))
            }
        }
    }
}

/// The command, with the texts that scripts get.
fn find(args: &[&[u8]]) -> Result<&'static Command> {
    Command::find(args).map_err(|error| {
        if error.to_string().starts_with("ERR wrong number") {
            Error::refused("ERR Wrong number of args calling Redis command from script")
        } else {
            Error::refused("ERR Unknown Redis command called from script")
        }
    })
}

/// The table that an error is in Lua.
fn error_table(lua: &Lua, text: &str) -> mlua::Result<Value> {
    let table: Table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("err", text)?;
    table.into_lua(lua)
}

/// The table that an error of a command is in Lua, with the mark by which Redis counts it once.
fn told_table(lua: &Lua, text: &str) -> mlua::Result<Value> {
    let table: Table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("err", text)?;
    table.raw_set("ignore_error_stats_update", true)?;
    table.into_lua(lua)
}
