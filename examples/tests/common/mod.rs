//! What the tests of `docsearch` share: the built program, generated folders, and everything that a store holds.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use examples::docsearch::{Library, Limits, NAMESPACE, Progress, QUEUE, Source, Stop, Summary};
use upqueue::QueueStats;
use upvector::Record;

/// The program, which is built along with the tests.
pub(crate) fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(Path::parent).unwrap();
    let path = profile
        .join("examples")
        .join(format!("docsearch{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not built: run all of cargo test, or cargo build --example docsearch",
        path.display()
    );
    path
}

/// Runs the program to its end.
pub(crate) fn docsearch(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("--store").arg(store).args(arguments);
    command.output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Indexes a folder until all is done.
pub(crate) fn update(library: &Library, dir: &Path) -> Summary {
    let source = Source::folder(dir).unwrap();
    work(library, Some(&source))
}

/// Works on what waits.
pub(crate) fn work(library: &Library, source: Option<&Source>) -> Summary {
    let (limits, stop) = (Limits::default(), Stop::default());
    library
        .update(source, limits, &stop, &mut Progress::hidden())
        .unwrap()
}

/// Everything that a store holds and that does not depend on when it came there.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) chunks: BTreeMap<String, Record>,
    pub(crate) hashes: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) queue: QueueStats,
    pub(crate) dead: Vec<(String, String)>,
}

pub(crate) fn contents(library: &Library) -> Contents {
    let mut chunks = BTreeMap::new();
    let namespace = library.index().namespace(NAMESPACE);
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        let page = namespace.range(from, 100).unwrap();
        for record in page.records {
            let double = chunks.insert(record.id.clone(), record);
            assert!(double.is_none(), "{double:?}");
        }
        cursor = page.next;
    }
    assert_eq!(chunks.len(), namespace.len());
    let mut hashes = BTreeMap::new();
    for pattern in ["file:*", "totals"] {
        for key in library.db().keys(pattern) {
            let key = key.unwrap().to_string();
            let fields = library.db().hash(&key).iter().map(|field| {
                let (name, value) = field.unwrap();
                (name.to_string(), value.to_string())
            });
            let fields = fields.collect();
            hashes.insert(key, fields);
        }
    }
    let mut dead: Vec<_> = library.dead().map(Result::unwrap).collect();
    dead.sort();
    Contents {
        chunks,
        hashes,
        queue: library.queue().stats(QUEUE),
        dead,
    }
}

/// A number in the totals.
pub(crate) fn total(contents: &Contents, name: &str) -> u64 {
    contents.hashes["totals"][name].parse().unwrap()
}
