//! COMMAND DOCS: what the table says, for people.

use super::{name, subcommands, top};
use crate::command::args::Args;
use crate::command::reply::Reply;
use crate::command::row::Command;
use crate::command::table;
use crate::error::Result;
use crate::keyspace::work::Work;

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn docs(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let pair = |command: &'static Command| (name(command.name), explain(command));
    if args.len() == 2 {
        return Ok(Reply::Map(top().map(pair).collect()));
    }
    let found = args[2..].iter().filter_map(|name| table::row(name));
    Ok(Reply::Map(found.map(pair).collect()))
}

fn explain(command: &'static Command) -> Reply {
    let mut facts = vec![
        (name("summary"), name(command.summary)),
        (name("since"), name(command.since)),
        (name("group"), name(command.group)),
        (name("complexity"), name(command.complexity)),
    ];
    let parts: Vec<_> = subcommands(command)
        .map(|sub| (name(sub.name), explain(sub)))
        .collect();
    if !parts.is_empty() {
        facts.push((name("subcommands"), Reply::Map(parts)));
    }
    Reply::Map(facts)
}
