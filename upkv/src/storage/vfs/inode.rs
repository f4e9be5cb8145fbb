//! The content of a file in memory.
//!
//! Invariant: a range handed out by `map` never changes while the map lives. Mapping freezes the content without a copy; a later
//! write behind the range moves to a copy, a write into it is refused.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::mapped::Map;
use crate::storage::sync::RwLock;

/// Content of one file, whatever its names.
#[derive(Debug)]
pub(crate) struct Inode {
    #[cfg_attr(
        not(any(test, feature = "test-util")),
        expect(dead_code, reason = "only the recording disk asks")
    )]
    pub(crate) number: u64,
    content: RwLock<Content>,
}

#[derive(Debug)]
struct Content {
    bytes: Storage,
    /// Bytes from the start that the longest map shows, as long as there is one.
    mapped: usize,
    /// Every map holds a clone.
    shown_by: Arc<()>,
}

#[derive(Debug)]
enum Storage {
    Open(Vec<u8>),
    Frozen(Bytes),
}

/// What a map holds: the bytes, and the sign that they are mapped.
struct Shown {
    bytes: Bytes,
    _shown_by: Arc<()>,
}

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Inode {
    /// An empty file; `number` tells it from all others of its disk.
    pub(super) fn new(number: u64) -> Self {
        let content = Content {
            bytes: Storage::Open(Vec::new()),
            mapped: 0,
            shown_by: Arc::new(()),
        };
        Self {
            number,
            content: RwLock::new(content),
        }
    }

    /// Replaces the content, maps notwithstanding: they keep what they show.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn replace(&self, bytes: Vec<u8>) {
        self.content.write().bytes = Storage::Open(bytes);
    }

    pub(crate) fn len(&self) -> u64 {
        self.content.read().as_slice().len() as u64
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.content.read().as_slice().to_vec()
    }

    /// Bytes from the start that a map shows now, and that nobody may write.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn mapped(&self) -> u64 {
        self.content.read().shown() as u64
    }

    pub(crate) fn write(&self, off: u64, bytes: &[u8]) -> io::Result<()> {
        let (start, end) = range(off, bytes.len())?;
        let mut content = self.content.write();
        if start < content.shown() && !bytes.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "write into a mapped range",
            ));
        }
        let open = content.open();
        if open.len() < end {
            open.resize(end, 0);
        }
        open[start..end].copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn read(&self, off: u64, out: &mut [u8]) -> usize {
        let content = self.content.read();
        let rest = usize::try_from(off)
            .ok()
            .and_then(|at| content.as_slice().get(at..));
        let rest = rest.unwrap_or_default();
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        n
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        let (len, _) = range(len, 0)?;
        let mut content = self.content.write();
        if len < content.shown() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "cut into a mapped range",
            ));
        }
        if content.as_slice().is_empty() {
            // A fresh vector of zeros takes no memory until it is written; growing one writes all of it.
            content.bytes = Storage::Open(vec![0; len]);
        } else {
            content.open().resize(len, 0);
        }
        Ok(())
    }

    pub(crate) fn map(&self, len: usize) -> io::Result<Map> {
        let mut content = self.content.write();
        if content.as_slice().len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.mapped = content.shown().max(len);
        let bytes = content.freeze().slice(..len);
        let shown_by = Arc::clone(&content.shown_by);
        Ok(Map::of_bytes(Bytes::from_owner(Shown {
            bytes,
            _shown_by: shown_by,
        })))
    }
}

fn range(off: u64, len: usize) -> io::Result<(usize, usize)> {
    usize::try_from(off)
        .ok()
        .and_then(|start| Some((start, start.checked_add(len)?)))
        .filter(|(_, end)| *end <= isize::MAX.cast_unsigned())
        .ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

impl Content {
    /// Bytes from the start that some map shows now.
    fn shown(&self) -> usize {
        if Arc::strong_count(&self.shown_by) > 1 {
            self.mapped
        } else {
            0
        }
    }

    fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Storage::Open(bytes) => bytes,
            Storage::Frozen(bytes) => bytes,
        }
    }

    fn open(&mut self) -> &mut Vec<u8> {
        if let Storage::Frozen(bytes) = &mut self.bytes {
            // Copies unless no map shares the bytes any more.
            self.bytes = Storage::Open(Vec::from(std::mem::take(bytes)));
        }
        match &mut self.bytes {
            Storage::Open(bytes) => bytes,
            Storage::Frozen(_) => unreachable!("thawed above"),
        }
    }

    fn freeze(&mut self) -> &Bytes {
        if let Storage::Open(bytes) = &mut self.bytes {
            let mut bytes = std::mem::take(bytes);
            bytes.shrink_to_fit();
            self.bytes = Storage::Frozen(Bytes::from(bytes));
        }
        match &self.bytes {
            Storage::Frozen(bytes) => bytes,
            Storage::Open(_) => unreachable!("frozen above"),
        }
    }
}
