//! Who may open a store, and what: one opener at a time, known versions only, and every version ever released.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "the child talks to its parent")]

mod ledger;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ledger::{Change, Ledger};
use upkv::storage::vfs::MemVfs;
use upkv::storage::{Durability, Error, ErrorKind, ManualClock, Store};

const DIR: &str = "/golden/store";
const CHILD_DIR: &str = "UP_TEST_OPENER";

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("up-openers-{name}-{}", std::process::id()));
    // A leftover of an earlier process with this number, or nothing.
    let _missing = std::fs::remove_dir_all(&dir);
    dir
}

fn locked_by(error: &Error) -> Option<u32> {
    match error.kind() {
        ErrorKind::Locked { pid } => *pid,
        other => panic!("{other}"),
    }
}

#[test]
fn a_second_opener_in_this_process_is_refused() {
    let dir = scratch("same");
    let store = Store::builder(&dir).background(false).open().unwrap();
    let alias = dir.with_extension("alias");
    std::os::unix::fs::symlink(&dir, &alias).unwrap();
    for path in [dir.as_path(), alias.as_path(), &dir.join("seg/..")] {
        let error = Store::builder(path).background(false).open().unwrap_err();
        assert_eq!(
            locked_by(&error),
            Some(std::process::id()),
            "{}",
            path.display()
        );
    }
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&dir).is_err(), "a clone is a handle too");
    drop(clone);
    Store::builder(&alias).background(false).open().unwrap();
    std::fs::remove_file(&alias).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The child of the next test: opens, says so, and holds the store until its input ends.
#[test]
fn child_opens_and_waits() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    match Store::builder(&dir).background(false).open() {
        Ok(_store) => {
            println!("@opened {}", std::process::id());
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
        }
        Err(error) => println!("@locked {}", locked_by(&error).unwrap()),
    }
}

/// Starts the child; returns it, its output, and what it says.
fn child(dir: &Path) -> (Child, impl Iterator<Item = std::io::Result<String>>, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_opens_and_waits", "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = lines.by_ref().map_while(Result::ok);
    let said = said.find_map(|line| line.split_once('@').map(|(_, said)| said.to_owned()));
    (child, lines, said.expect("the child says what happened"))
}

#[test]
fn a_second_opener_in_another_process_is_refused() {
    let dir = scratch("other");
    let store = Store::builder(&dir).background(false).open().unwrap();
    let (mut refused, _output, said) = child(&dir);
    assert_eq!(said, format!("locked {}", std::process::id()));
    assert!(refused.wait().unwrap().success());
    drop(store);
    let (mut holder, _output, said) = child(&dir);
    assert_eq!(said, format!("opened {}", holder.id()));
    let error = Store::builder(&dir).background(false).open().unwrap_err();
    assert_eq!(locked_by(&error), Some(holder.id()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    Store::builder(&dir)
        .background(false)
        .open()
        .expect("a dead holder holds nothing");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_forked_child_cannot_write_and_its_parent_goes_on() {
    let dir = scratch("forked");
    let store = Store::builder(&dir).background(false).open().unwrap();
    let ledger = Ledger::mount(&store, "one").unwrap();
    let put = |key| ledger.commit(&[Change::Set(key, vec![key; 100])], Durability::Disk);
    put(1).unwrap();
    let owner = std::process::id();
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            let refused = |result: Result<(), Error>| {
                result.is_err_and(
                    |error| matches!(error.kind(), ErrorKind::Forked { parent } if *parent == owner),
                )
            };
            let right = refused(put(2))
                && refused(store.checkpoint())
                && refused(store.maintain(Duration::ZERO).map(drop))
                && refused(store.close());
            std::process::exit(i32::from(!right));
        }
        fork::Fork::Parent(child) => {
            let status = fork::waitpid(child).unwrap();
            assert_eq!(status, 0, "every call that writes is refused in the child");
        }
    }
    put(3).unwrap();
    let second = Store::builder(&dir).background(false).open();
    assert_eq!(locked_by(&second.unwrap_err()), Some(owner));
    store.close().unwrap();
    drop((ledger, store));
    let store = Store::builder(&dir).background(false).open().unwrap();
    assert_eq!(store.report().last_seq, 2);
    store.close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A store with everything a file can hold: two engines, checkpoints, commits after them; the same bytes every time.
fn golden() -> Files {
    let disk = MemVfs::new();
    let store = open(&disk).unwrap();
    let one = Ledger::mount(&store, "one").unwrap();
    let two = Ledger::mount(&store, "two").unwrap();
    for i in 0..12_u8 {
        let changes = [
            Change::Set(i % 5, vec![i; 20 * usize::from(i)]),
            Change::Append(9, vec![i]),
        ];
        one.commit(&changes, Durability::Disk).unwrap();
        two.commit(&[Change::Append(i % 3, vec![0xa0 | i; 3])], Durability::Os)
            .unwrap();
        if i == 3 || i == 8 {
            store.checkpoint().unwrap();
        }
    }
    one.commit(&[Change::Delete(1), Change::Delete(2)], Durability::Disk)
        .unwrap();
    store.close().unwrap();
    files_of(&disk)
}

fn open(disk: &MemVfs) -> Result<Store, Error> {
    Store::builder(DIR)
        .vfs(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::default()))
        .random_seed(2_026)
        .segment_bytes(16 * 1024)
        .background(false)
        .open()
}

fn files_of(disk: &MemVfs) -> Files {
    let mut files = disk.contents();
    files.retain(|path, _| !path.ends_with("LOCK") && !path.ends_with("RESERVE"));
    files
}

fn disk_with(files: &Files) -> MemVfs {
    let disk = MemVfs::new();
    for (path, content) in files {
        disk.put(path, content.clone());
    }
    disk
}

fn check_contents(disk: &MemVfs) {
    let store = open(disk).unwrap();
    let one = Ledger::mount(&store, "one").unwrap().contents().unwrap();
    let two = Ledger::mount(&store, "two").unwrap().contents().unwrap();
    assert_eq!(one.keys().copied().collect::<Vec<_>>(), [0, 3, 4, 9]);
    assert_eq!(one[&4], [vec![9; 180]]);
    assert_eq!(one[&9].concat(), (0..12).collect::<Vec<u8>>());
    assert_eq!(two[&2], [[0xa2; 3], [0xa5; 3], [0xa8; 3], [0xab; 3]]);
    let report = store.check().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn files_of_an_unknown_version_are_refused_and_not_touched() {
    let files = golden();
    let mut kinds = Vec::new();
    for path in files.keys() {
        // Major version, and a bit of the features a reader must know.
        for (at, value) in [(8, 2), (8, 0xff), (20, 1), (23, 0x80)] {
            let mut changed = files.clone();
            changed.get_mut(path).unwrap()[at] = value;
            let disk = disk_with(&changed);
            match open(&disk) {
                Err(error) => match error.kind() {
                    ErrorKind::UnsupportedFormat { file, found, .. } => {
                        assert_eq!(file, path);
                        assert!(found != "1.0", "{found}");
                        kinds.push(path.extension().unwrap_or_default().to_owned());
                    }
                    other => panic!("{} byte {at}: {other}", path.display()),
                },
                // The older one of two checkpoints is not needed.
                Ok(_) => assert_eq!(path.extension().unwrap(), "ckp"),
            }
            assert!(files_of(&disk) == changed || path.extension().unwrap_or_default() == "ckp");
        }
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["", "ckp", "log"], "each kind of file is refused");
}

/// The store written by format 1.0. It must open for ever; `UPDATE_EXPECT=1` writes it anew after a deliberate change before 1.0.
#[test]
fn the_golden_store_opens_and_is_still_written_byte_for_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/store");
    let written = golden();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        for (path, content) in &written {
            let file = root.join(path.strip_prefix(DIR).unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
    }
    let mut stored = Files::new();
    for sub in ["", "seg", "ckp"] {
        for entry in std::fs::read_dir(root.join(sub)).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                let name = Path::new(DIR).join(file.strip_prefix(&root).unwrap());
                stored.insert(name, std::fs::read(&file).unwrap());
            }
        }
    }
    check_contents(&disk_with(&stored));
    assert_eq!(
        stored.keys().collect::<Vec<_>>(),
        written.keys().collect::<Vec<_>>()
    );
    for (path, content) in &stored {
        let first = content.iter().zip(&written[path]).position(|(a, b)| a != b);
        assert!(
            *content == written[path],
            "{} differs first at byte {first:?}",
            path.display()
        );
    }
}
