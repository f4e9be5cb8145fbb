//! What commands are shown as where others can see them: secrets are replaced.

use super::args::{self, Args};
use super::row::Command;

const REDACTED: &[u8] = b"(redacted)";
/// Parameters whose values are secrets.
const PARAMETERS: [&str; 5] = [
    "requirepass",
    "masterauth",
    "masteruser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];

/// The arguments with every secret replaced, as Redis has it in SLOWLOG and MONITOR.
pub(super) fn shown<'a>(command: &Command, args: &Args<'a>) -> Vec<&'a [u8]> {
    let mut shown = args.to_vec();
    let mut hide = |from: usize, count: usize| {
        let hidden = shown.iter_mut().skip(from).take(count);
        hidden.for_each(|arg| *arg = REDACTED);
    };
    match command.name {
        "auth" => hide(1, usize::MAX),
        "hello" => {
            let login = args.iter().position(|arg| args::is(arg, "AUTH"));
            if let Some(at) = login {
                hide(at + 1, 2);
            }
        }
        "acl|setuser" | "acl|gentoken" | "acl|resttoken" => hide(2, usize::MAX),
        "config|set" => {
            for at in (2..args.len()).step_by(2) {
                if PARAMETERS.iter().any(|secret| args::is(args[at], secret)) {
                    hide(at + 1, 1);
                }
            }
        }
        _ => {}
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_and_nothing_else() {
        for (line, expected) in [
            ("AUTH secret", "AUTH (redacted)"),
            ("auth user secret", "auth (redacted) (redacted)"),
            (
                "HELLO 3 auth u p SETNAME n",
                "HELLO 3 auth (redacted) (redacted) SETNAME n",
            ),
            ("HELLO 3 SETNAME n", "HELLO 3 SETNAME n"),
            (
                "ACL SETUSER bob on >pw",
                "ACL SETUSER (redacted) (redacted) (redacted)",
            ),
            ("ACL DELUSER bob", "ACL DELUSER bob"),
            (
                "CONFIG SET maxmemory 0 RequirePass x hz 10",
                "CONFIG SET maxmemory 0 RequirePass (redacted) hz 10",
            ),
            ("SET requirepass x", "SET requirepass x"),
        ] {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let command = Command::find(&args).expect(line);
            let expected: Vec<&[u8]> = expected.split(' ').map(str::as_bytes).collect();
            assert_eq!(shown(command, &args), expected, "{line}");
        }
    }
}
