//! A `redis-server` of this machine on a Unix socket, and our engine doing the same commands without one.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Result;

/// Takes command vectors and has them done.
pub trait Commands {
    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Runs every command of `batch`, one after the other or in one go as the engine can; an error reply is an error.
    fn run(&mut self, batch: &Batch) -> Result<()>;
}

/// Commands in one buffer: their words end where `words` says, and each has as many as `counts` says.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    words: Vec<usize>,
    counts: Vec<usize>,
}

impl Batch {
    /// Forgets the commands, keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.words.clear();
        self.counts.clear();
    }

    /// Adds a command.
    pub fn push(&mut self, words: &[&[u8]]) {
        for word in words {
            self.bytes.extend_from_slice(word);
            self.words.push(self.bytes.len());
        }
        self.counts.push(words.len());
    }

    /// Number of commands.
    pub const fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The commands in order, each as its words.
    fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = &[u8]> + Clone> {
        let (mut from, mut next) = (0, 0);
        self.counts.iter().map(move |count| {
            let ends = &self.words[next..next + count];
            let start = from;
            next += count;
            from = ends.last().copied().unwrap_or(from);
            let starts = std::iter::once(start).chain(ends.iter().copied());
            starts.zip(ends).map(|(from, end)| &self.bytes[from..*end])
        })
    }
}

/// Our engine through `command()`.
#[derive(Debug)]
pub struct InProcess {
    db: upkv::Db,
    pipelines: bool,
    name: String,
}

impl InProcess {
    /// `db`, named with the durability of its store; `pipelines` to wait for it once a batch, as the server does.
    pub fn new(db: upkv::Db, durability: &str, pipelines: bool) -> Self {
        let name = format!("up {durability}");
        Self {
            db,
            pipelines,
            name,
        }
    }
}

impl Commands for InProcess {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, batch: &Batch) -> Result<()> {
        if self.pipelines {
            for reply in self.db.pipeline(batch.iter())? {
                reply?;
            }
            return Ok(());
        }
        batch.iter().try_for_each(|words| {
            self.db.command(words)?;
            Ok(())
        })
    }
}

/// A server that ends with this value, and one connection to it.
#[derive(Debug)]
pub struct Server {
    _child: Started,
    stream: UnixStream,
    name: String,
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// A process that ends with this value.
#[derive(Debug)]
struct Started(Child);

impl Started {
    /// Reads what the server says until it takes connections; what it says later is read and dropped.
    fn await_ready(&mut self) -> Result<()> {
        let said = self.0.stdout.take().ok_or("the server's output is piped")?;
        let mut said = BufReader::new(said);
        let mut line = String::new();
        while !line.contains("eady to accept connections") {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                return Err("the server ended before it took connections".into());
            }
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts `program` in `dir`, with a log file synced every second or without any file. `None` if there is no such program.
    pub fn start(program: &str, dir: &Path, log: bool) -> Result<Option<Self>> {
        let Ok(version) = Command::new(program).arg("--version").output() else {
            return Ok(None);
        };
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let version = version
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="))
            .unwrap_or("?");
        let socket = dir.join("redis.sock");
        let child = Command::new(program)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(dir)
            .args(["--appendfsync", "everysec", "--appendonly"])
            .arg(if log { "yes" } else { "no" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut started = Started(child);
        started.await_ready()?;
        let stream = UnixStream::connect(&socket)?;
        let durability = if log { "everysec" } else { "not kept" };
        Ok(Some(Self {
            _child: started,
            stream,
            name: format!("redis-server {version} {durability}, Unix socket, pipeline 100"),
            request: Vec::new(),
            reply: Vec::with_capacity(1 << 16),
        }))
    }

    /// Bytes that the server says it uses.
    pub fn used_bytes(&mut self) -> Result<u64> {
        let mut info = Batch::default();
        info.push(&[b"INFO", b"memory"]);
        self.run(&info)?;
        let text = String::from_utf8_lossy(&self.reply);
        let used = text
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"))
            .ok_or("no used_memory in INFO")?;
        Ok(used.trim().parse()?)
    }

    /// Reads on until `count` replies are there; they are of one line, or one line and a string.
    fn replies(&mut self, count: usize) -> Result<()> {
        let (mut at, mut done) = (0, 0);
        self.reply.clear();
        let mut chunk = vec![0; 1 << 16];
        while done < count {
            match reply_end(&self.reply[at..])? {
                Some(length) => {
                    at += length;
                    done += 1;
                }
                None => match self.stream.read(&mut chunk)? {
                    0 => return Err("the server went away".into()),
                    read => self.reply.extend_from_slice(&chunk[..read]),
                },
            }
        }
        Ok(())
    }
}

/// The length of the reply at the start of `bytes`, if all of it is there.
fn reply_end(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    match bytes[0] {
        b'+' | b':' => Ok(Some(line + 2)),
        b'$' => {
            let length: usize = std::str::from_utf8(&bytes[1..line])?.parse()?;
            let end = line + 2 + length + 2;
            Ok((bytes.len() >= end).then_some(end))
        }
        _ => Err(String::from_utf8_lossy(&bytes[..line]).into_owned().into()),
    }
}

impl Commands for Server {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, batch: &Batch) -> Result<()> {
        let request = &mut self.request;
        request.clear();
        for words in batch.iter() {
            write!(request, "*{}\r\n", words.clone().count())?;
            for word in words {
                write!(request, "${}\r\n", word.len())?;
                request.extend_from_slice(word);
                request.extend_from_slice(b"\r\n");
            }
        }
        self.stream.write_all(&self.request)?;
        self.replies(batch.len())
    }
}
