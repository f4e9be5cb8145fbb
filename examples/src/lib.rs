//! The parts of the examples that their tests call as well: the program `docsearch`, and folders to try things in.

pub mod docsearch;

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new empty folder below the system's temporary one; it is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

/// Makes an empty folder for `name` in this process.
///
/// # Errors
///
/// If the folder cannot be made.
///
/// # Examples
///
/// ```
/// let dir = examples::scratch("doc")?;
/// assert_eq!(std::fs::read_dir(&dir)?.count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn scratch(name: &str) -> io::Result<Scratch> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("up-{name}-{}-{number}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(&dir)?;
    Ok(Scratch(dir))
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
