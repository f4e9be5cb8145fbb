//! A small RESP2 client, a real `redis-server` to compare with, and replies as text.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A reply in RESP2 shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resp {
    Status(String),
    Error(String),
    Int(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Resp>>),
}

impl Resp {
    /// Reads one reply.
    pub(crate) fn read(from: &mut impl BufRead) -> Self {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).expect("a reply line");
        let text = String::from_utf8_lossy(&line[1..])
            .trim_end_matches(['\r', '\n'])
            .to_string();
        match line[0] {
            b'+' => Self::Status(text),
            b'-' => Self::Error(text),
            b':' => Self::Int(text.parse().expect("an integer")),
            b'$' => match text.parse::<i64>().expect("a length") {
                -1 => Self::Bulk(None),
                len => {
                    let mut bytes = vec![0; usize::try_from(len).expect("a length") + 2];
                    from.read_exact(&mut bytes).expect("the bytes");
                    bytes.truncate(bytes.len() - 2);
                    Self::Bulk(Some(bytes))
                }
            },
            b'*' => match text.parse::<i64>().expect("a length") {
                -1 => Self::Array(None),
                len => Self::Array(Some((0..len).map(|_| Self::read(from)).collect())),
            },
            other => panic!("unexpected reply type {other}"),
        }
    }

    /// What our engine answered, through the wire format.
    pub(crate) fn of(reply: upkv::Result<upkv::Reply>) -> Self {
        let mut wire = Vec::new();
        match reply {
            Ok(reply) => reply.write_resp2(&mut wire),
            Err(error) => return Self::Error(error.reply_line()),
        }
        Self::read(&mut &wire[..])
    }

    /// One line of text.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Status(text) => text.clone(),
            Self::Error(text) => format!("(error) {text}"),
            Self::Int(value) => format!("(int) {value}"),
            Self::Bulk(None) => "(nil)".into(),
            Self::Bulk(Some(bytes)) => format!("\"{}\"", bytes.escape_ascii()),
            Self::Array(None) => "(nil array)".into(),
            Self::Array(Some(items)) => {
                let mut text = String::from("[");
                for (at, item) in items.iter().enumerate() {
                    let gap = if at == 0 { "" } else { " " };
                    write!(text, "{gap}{}", item.show()).expect("text grows");
                }
                text + "]"
            }
        }
    }

    /// The same with every array sorted, for replies whose order is not specified.
    pub(crate) fn sorted(self) -> Self {
        match self {
            Self::Array(Some(items)) => {
                let mut items: Vec<Self> = items.into_iter().map(Self::sorted).collect();
                items.sort_by_key(Self::show);
                Self::Array(Some(items))
            }
            other => other,
        }
    }
}

/// A `redis-server` on a socket of its own.
pub(crate) struct Redis {
    child: Child,
    dir: PathBuf,
    socket: BufReader<UnixStream>,
}

impl Redis {
    /// Starts the `redis-server` of this machine; `None`, with the reason printed, if there is none.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::run("redis-server", name)
    }

    /// Starts the newer server that `DIFFERENTIAL_SERVER` names; `None`, with the reason printed, without one.
    pub(crate) fn start_newer(name: &str) -> Option<Self> {
        let Ok(program) = std::env::var("DIFFERENTIAL_SERVER") else {
            eprintln!("SKIPPED: DIFFERENTIAL_SERVER names no server");
            return None;
        };
        Self::run(&program, name)
    }

    /// Starts a server with a directory and a socket of its own.
    fn run(program: &str, name: &str) -> Option<Self> {
        let dir = std::env::temp_dir().join(format!("upkv-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let path = dir.join("redis.sock");
        let spawned = Command::new(program)
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--enable-debug-command",
                "yes",
                "--unixsocket",
            ])
            .arg(&path)
            .current_dir(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                eprintln!("SKIPPED: {program} cannot be started: {error}");
                std::fs::remove_dir_all(&dir).ok();
                return None;
            }
        };
        // The server says when it listens, from 7.2 on in a sentence of its own; reading that is the only wait.
        let log = BufReader::new(child.stdout.take().expect("piped"));
        let ready = log
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("eady to accept connections"));
        assert!(ready, "{program} ended before it listened");
        let socket = UnixStream::connect(&path).expect("the server listens");
        Some(Self {
            child,
            dir,
            socket: BufReader::new(socket),
        })
    }

    /// Another connection to the same server.
    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.join("redis.sock")).expect("the server listens")
    }

    /// Runs one command.
    pub(crate) fn command(&mut self, args: &[impl AsRef<[u8]>]) -> Resp {
        let mut wire = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            wire.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            wire.extend_from_slice(arg);
            wire.extend_from_slice(b"\r\n");
        }
        self.socket
            .get_mut()
            .write_all(&wire)
            .expect("the server reads");
        Resp::read(&mut self.socket)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// A small reproducible random source.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A payload of `DUMP` in a version of the format, from what stands before its footer.
pub(crate) fn sealed(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [body, &version.to_le_bytes()].concat();
    let mut sum = 0_u64;
    for byte in &payload {
        sum ^= u64::from(*byte);
        for _ in 0..8 {
            let carry = 0x95ac_9329_ac4b_c9b5 & (sum & 1).wrapping_neg();
            sum = (sum >> 1) ^ carry;
        }
    }
    payload.extend(sum.to_le_bytes());
    payload
}

/// Splits a line at spaces; `"..."` may hold spaces and `\n`, `\r`, `\t`, `\\`, `\"`, `\xHH`.
pub(crate) fn split(line: &str) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    let mut rest = line.trim().as_bytes();
    while let Some(first) = rest.first() {
        if *first == b' ' {
            rest = &rest[1..];
        } else if *first == b'"' {
            let (arg, after) = quoted(&rest[1..]);
            args.push(arg);
            rest = after;
        } else {
            let end = rest
                .iter()
                .position(|byte| *byte == b' ')
                .unwrap_or(rest.len());
            args.push(rest[..end].to_vec());
            rest = &rest[end..];
        }
    }
    args
}

fn quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut arg = Vec::new();
    loop {
        match rest {
            [b'"', after @ ..] => return (arg, after),
            [b'\\', b'x', high, low, after @ ..] => {
                let text = [*high, *low];
                let text = std::str::from_utf8(&text).expect("hexadecimal digits");
                arg.push(u8::from_str_radix(text, 16).expect("hexadecimal digits"));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
            [] => panic!("a quote is not closed"),
        }
    }
}
