//! The two sides, each asked one command at a time: a real server over its socket, and this engine.
//!
//! Replies are read into [`Value`] without loss, so that equal values are equal bytes, in RESP2 and in RESP3.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use upkv::{Db, Session, Store};

use crate::common::Redis;

/// How long a server may take; only a command that waits, which must not be asked, takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reply of either protocol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// One line with its first byte: `+`, `-`, `:`, `,`, `#`, `(`, `_`, or a null of RESP2 as it was written.
    Line(u8, String),
    /// `$`, and `=` with the format in front.
    Bytes(u8, Vec<u8>),
    /// `*`, `~`, `>`, and `%` with keys and values in turn.
    Items(u8, Vec<Value>),
}

impl Value {
    /// Reads one reply.
    pub(crate) fn read(from: &mut impl BufRead) -> Self {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).expect("a reply line");
        let text = line.strip_suffix(b"\r\n").expect("a whole line");
        let text = String::from_utf8_lossy(&text[1..]).into_owned();
        let first = line[0];
        match first {
            b'$' | b'=' | b'*' | b'~' | b'>' | b'%' if text != "-1" => {
                let count: usize = text.parse().expect("a length");
                if matches!(first, b'$' | b'=') {
                    let mut bytes = vec![0; count + 2];
                    from.read_exact(&mut bytes).expect("the bytes");
                    assert!(bytes.ends_with(b"\r\n"), "a string ends with its line");
                    bytes.truncate(count);
                    return Self::Bytes(first, bytes);
                }
                let count = if first == b'%' { count * 2 } else { count };
                Self::Items(first, (0..count).map(|_| Self::read(from)).collect())
            }
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' | b'$' | b'*' => Self::Line(first, text),
            other => panic!("a reply begins with {other}"),
        }
    }

    /// One line of text.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Line(first, text) => format!("{}{text}", char::from(*first)),
            Self::Bytes(b'$', bytes) if bytes.len() <= 200 => {
                format!("\"{}\"", bytes.escape_ascii())
            }
            Self::Bytes(first, bytes) => {
                let start = &bytes[..bytes.len().min(200)];
                let length = bytes.len();
                format!("{}{length}\"{}\"", char::from(*first), start.escape_ascii())
            }
            Self::Items(first, items) => {
                let items: Vec<String> = items.iter().map(Self::show).collect();
                format!("{}[{}]", char::from(*first), items.join(" "))
            }
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Line(b'-', _))
    }
}

/// Whoever answers commands.
pub(crate) trait Side {
    fn ask(&mut self, args: &[Vec<u8>]) -> Value;

    fn ask_words(&mut self, line: &str) -> Value {
        let args: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().into()).collect();
        self.ask(&args)
    }
}

/// A version of a server, as far as commands depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

/// A connection to a real server.
pub(crate) struct Theirs {
    socket: BufReader<UnixStream>,
    pub(crate) version: Version,
}

impl Theirs {
    pub(crate) fn connect(server: &Redis) -> Self {
        let socket = server.connect();
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut theirs = Self {
            socket: BufReader::new(socket),
            version: Version(0, 0),
        };
        let Value::Bytes(_, info) = theirs.ask_words("INFO server") else {
            panic!("INFO answers a text");
        };
        let info = String::from_utf8_lossy(&info).into_owned();
        let mut lines = info.lines();
        let number = lines.find_map(|line| line.strip_prefix("redis_version:"));
        let mut parts = number.expect("a version").split('.');
        let mut part = || parts.next()?.parse().ok();
        // Else the server trusts what it restores, and may end over it.
        theirs.ask_words("CONFIG SET sanitize-dump-payload yes");
        theirs.version = Version(part().expect("a number"), part().expect("a number"));
        theirs
    }
}

impl Side for Theirs {
    fn ask(&mut self, args: &[Vec<u8>]) -> Value {
        let mut wire = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            wire.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            wire.extend_from_slice(arg);
            wire.extend_from_slice(b"\r\n");
        }
        let sent = self.socket.get_mut().write_all(&wire);
        sent.expect("the server reads");
        Value::read(&mut self.socket)
    }
}

/// A session on an engine of its own.
pub(crate) struct Ours {
    pub(crate) db: Db,
    session: Session,
    dir: Option<std::path::PathBuf>,
}

impl Ours {
    /// In memory, or on files, from which values can then be read back.
    pub(crate) fn open(on_files: bool) -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("upkv-diff-{}-{number}", std::process::id());
        let dir = on_files.then(|| std::env::temp_dir().join(name));
        let store = match &dir {
            Some(dir) => Store::builder(dir).background(false).open(),
            None => Store::memory(),
        };
        let db = Db::mount(&store.expect("a store"), "kv").expect("mounts");
        let session = db.session();
        Self { db, session, dir }
    }
}

impl Side for Ours {
    fn ask(&mut self, args: &[Vec<u8>]) -> Value {
        // A panic becomes a reply that no server gives, so that the commands which lead to it are found and shown.
        let reply = catch_unwind(AssertUnwindSafe(|| self.session.command(args)));
        let mut wire = Vec::new();
        match reply {
            Ok(Ok(reply)) if self.session.protocol() == 3 => reply.write_resp3(&mut wire),
            Ok(Ok(reply)) => reply.write_resp2(&mut wire),
            Ok(Err(error)) => upkv::Reply::from(&error).write_resp2(&mut wire),
            Err(_) => wire.extend_from_slice(b"-PANIC\r\n"),
        }
        let mut rest = &wire[..];
        let value = Value::read(&mut rest);
        assert!(
            rest.is_empty(),
            "one command, one reply: {:?}",
            rest.escape_ascii()
        );
        value
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            std::fs::remove_dir_all(dir).ok();
        }
    }
}
