//! Immutable views of file ranges: a mapping of a real file, or bytes on the heap.
//!
//! Invariant: only ranges that are never written again are mapped, never past the length the file has at that moment, and every
//! access goes through one bounds check. Nothing else maps files.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe; the fence is this module"
)]

use std::fs::File;
use std::io;

use bytes::Bytes;

/// A range of a file that nobody writes any more, from its first byte on.
///
/// Concrete on purpose: after the mapping is made, a read costs a bounds check and nothing else.
#[derive(Debug)]
pub struct Map {
    keep: Keep,
}

#[derive(Debug)]
enum Keep {
    Os(memmap2::Mmap),
    Heap(Bytes),
}

impl Map {
    /// Maps the first `len` bytes of `file`.
    ///
    /// The caller holds the directory's lock, so nobody else shortens the file, and does not write the range any more.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file is shorter than `len`; otherwise what the operating system says.
    pub fn of_file(file: &File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self::of_bytes(Bytes::new()));
        }
        let has = file.metadata()?.len();
        if has < len as u64 {
            let text = format!("cannot map {len} bytes of a file of {has}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let mut options = memmap2::MmapOptions::new();
        options.len(len);
        // SAFETY: the bytes of a mapping must not change while slices of it exist. The range is sealed: this process writes
        // only behind it and never shortens the file into it, and other processes are kept out by the lock file.
        let map = unsafe { options.map(file) }?;
        Ok(Self {
            keep: Keep::Os(map),
        })
    }

    /// A view of bytes on the heap, for files in memory and for media that must not be mapped.
    pub const fn of_bytes(bytes: Bytes) -> Self {
        Self {
            keep: Keep::Heap(bytes),
        }
    }

    /// `n` bytes from offset `off`, or `None` if the range is not wholly inside.
    #[inline]
    pub fn get(&self, off: usize, n: usize) -> Option<&[u8]> {
        self.as_slice().get(off..)?.get(..n)
    }

    /// Bytes mapped.
    #[inline]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether nothing is mapped.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All the bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.keep {
            Keep::Os(map) => map,
            Keep::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_mapped_file_reads_as_its_prefix() {
        let path = std::env::temp_dir().join(format!("up-mapped-{}", std::process::id()));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"hello, world").unwrap();
        let map = Map::of_file(&file, 5).unwrap();
        assert_eq!((map.as_slice(), map.len()), (&b"hello"[..], 5));
        assert_eq!(map.get(1, 4), Some(&b"ello"[..]));
        assert_eq!(map.get(5, 0), Some(&b""[..]));
        for (off, n) in [(1, 5), (6, 0), (usize::MAX, 1), (1, usize::MAX)] {
            assert_eq!(map.get(off, n), None, "{off} {n}");
        }
        assert!(Map::of_file(&file, 0).unwrap().is_empty());
        let short = Map::of_file(&file, 13).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn heap_bytes_are_not_copied() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        let map = Map::of_bytes(bytes.clone());
        assert_eq!(map.as_slice().as_ptr(), bytes.as_ptr());
        assert_eq!(map.as_ref(), [1, 2, 3]);
    }
}
