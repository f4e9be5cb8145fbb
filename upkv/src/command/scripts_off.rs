//! What the commands of scripts answer in a build without them.

use super::args::Args;
use super::reply::Reply;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;

macro_rules! off {
    ($($name:ident)*) => {
        $(pub(super) fn $name(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
            Err(Error::refused("ERR scripts are not part of this build: it needs the cargo feature 'lua'"))
        })*
    };
}

off! {
    eval evalsha evalsha_ro eval_ro fcall fcall_ro function_delete function_dump function_flush function_help
    function_kill function_list function_load function_restore function_stats script_debug script_exists script_flush
    script_help script_kill script_load
}
