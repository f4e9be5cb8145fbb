//! The first line of a script or library: the engine, and what the rest may do.

use crate::error::{Error, Result};

/// Reads only.
pub(crate) const NO_WRITES: u8 = 1;
/// May run when memory is used up.
pub(crate) const ALLOW_OOM: u8 = 1 << 1;
pub(crate) const ALLOW_STALE: u8 = 1 << 2;
pub(crate) const NO_CLUSTER: u8 = 1 << 3;
pub(crate) const CROSS_SLOT: u8 = 1 << 4;
/// Touches only the keys it declares, so only those are locked.
pub(crate) const KEY_LOCKING: u8 = 1 << 5;
/// No first line: the rules of old scripts.
pub(crate) const COMPATIBLE: u8 = 1 << 7;

/// The names of flags, in the order in which they are told.
pub(crate) const NAMES: [(&str, u8); 6] = [
    ("no-writes", NO_WRITES),
    ("allow-oom", ALLOW_OOM),
    ("allow-stale", ALLOW_STALE),
    ("no-cluster", NO_CLUSTER),
    ("allow-cross-slot-keys", CROSS_SLOT),
    ("allow-key-locking", KEY_LOCKING),
];

/// The flag with a name.
pub(crate) fn flag(name: &[u8]) -> Option<u8> {
    let found = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
    found.map(|(_, flag)| *flag)
}

/// The flags of a script.
pub(crate) fn of_script(body: &[u8]) -> Result<u8> {
    if !body.starts_with(b"#!") {
        return Ok(COMPATIBLE);
    }
    let end = body.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Error::refused("ERR Invalid script shebang"))?;
    let mut words = words(&body[..end]);
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return Err(refused("Unexpected engine in script shebang: ", engine));
    }
    let mut flags = 0;
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(refused("Unknown lua shebang option: ", word));
        };
        for name in list
            .split(|byte| *byte == b',')
            .filter(|_| !list.is_empty())
        {
            flags |=
                flag(name).ok_or_else(|| refused("Unexpected flag in script shebang: ", name))?;
        }
    }
    Ok(flags)
}

/// The name that a library gives itself.
pub(crate) fn library_name(code: &[u8]) -> Result<&[u8]> {
    if !code.starts_with(b"#!") {
        return Err(Error::refused("ERR Missing library metadata"));
    }
    let end = code.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Error::refused("ERR Invalid library metadata"))?;
    let mut words = words(&code[..end]);
    let engine = &words.next().unwrap_or_default()[2..];
    let mut name = None;
    for word in words {
        let is_name = word
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"name="));
        if !is_name {
            return Err(refused("Invalid metadata value given: ", word));
        }
        if name.replace(&word[5..]).is_some() {
            return Err(Error::refused(
                "ERR Invalid metadata value, name argument was given multiple times",
            ));
        }
    }
    let name = name.ok_or_else(|| Error::refused("ERR Library name was not given"))?;
    check_name(name)?;
    if !engine.eq_ignore_ascii_case(b"lua") {
        let engine = String::from_utf8_lossy(&engine[..engine.len().min(128)]);
        return Err(Error::refused_with(format!(
            "ERR Engine '{engine}' not found"
        )));
    }
    Ok(name)
}

/// Refuses what cannot be the name of a library or function.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.is_empty() || !name.iter().all(fits) {
        return Err(Error::refused(
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    Ok(())
}

/// The code without its first line, whose break stays so that lines keep their numbers.
pub(crate) fn code_of(body: &[u8]) -> &[u8] {
    if !body.starts_with(b"#!") {
        return body;
    }
    let end = body.iter().position(|byte| *byte == b'\n');
    &body[end.unwrap_or(body.len())..]
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn refused(text: &str, word: &[u8]) -> Error {
    let word = String::from_utf8_lossy(&word[..word.len().min(128)]);
    Error::refused_with(format!("ERR {text}{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let error = |body: &[u8]| {
            of_script(body)
                .expect_err("the line is refused")
                .to_string()
        };
        assert_eq!(of_script(b"return 1").expect("no line"), COMPATIBLE);
        assert_eq!(of_script(b"#!lua\n").expect("no flags"), 0);
        let both = of_script(b"#!lua flags=no-writes,allow-key-locking\n");
        assert_eq!(both.expect("known flags"), NO_WRITES | KEY_LOCKING);
        assert_eq!(error(b"#!lua"), "ERR Invalid script shebang");
        assert_eq!(
            error(b"#!lua flags=x\n"),
            "ERR Unexpected flag in script shebang: x"
        );
        assert_eq!(
            error(b"#!\n"),
            "ERR Unexpected engine in script shebang: #!"
        );
        assert_eq!(library_name(b"#!LUA name=a_1\n").expect("a name"), b"a_1");
        assert!(library_name(b"#!\n").is_err());
        assert_eq!(code_of(b"#!lua\nx"), b"\nx");
    }
}
