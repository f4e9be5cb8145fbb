//! The store with one small engine on it: what is committed is found again, across closing, crashing, checkpoints and collection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use upkv::storage::sync::Mutex;
use upkv::storage::{
    Address, CheckpointReader, CheckpointWriter, Durability, ErrorKind, Hold, Mount, MountOptions,
    Participant, Record, Result, Section, Store, Timestamp,
};

/// A map from short keys to payloads that stay in the log.
struct Shelf {
    mount: Mount,
    items: Mutex<BTreeMap<Vec<u8>, Address>>,
    fired: Mutex<Vec<u64>>,
}

const PUT: u8 = 1;
const DEL: u8 = 2;

impl Shelf {
    fn mount(store: &Store, name: &str) -> Result<Arc<Self>> {
        let options = MountOptions::with_default(Durability::Os);
        store.mount_participant(200, name, options, |mount| {
            Arc::new(Self {
                mount,
                items: Mutex::default(),
                fired: Mutex::default(),
            })
        })
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<u64> {
        let mut items = self.items.lock();
        let mut frame = self.mount.frame();
        let head = [u8::try_from(key.len()).expect("short keys")];
        let mut prefix = head.to_vec();
        prefix.extend_from_slice(key.as_bytes());
        let index = frame.push_shared(&self.mount, PUT, &prefix, Bytes::copy_from_slice(value));
        let commit = self.mount.append(&mut frame)?;
        self.set(&mut items, key.as_bytes(), commit.address(index));
        drop(items);
        self.mount.settle(&commit, None)?;
        Ok(commit.seq)
    }

    fn del(&self, key: &str) -> Result<()> {
        let mut items = self.items.lock();
        let mut frame = self.mount.frame();
        frame.push(&self.mount, DEL, &[key.as_bytes()]);
        let commit = self.mount.append(&mut frame)?;
        if let Some(old) = items.remove(key.as_bytes()) {
            self.mount.release(old);
        }
        drop(items);
        self.mount.settle(&commit, None)
    }

    fn set(&self, items: &mut BTreeMap<Vec<u8>, Address>, key: &[u8], at: Address) {
        self.mount.retain(at);
        if let Some(old) = items.insert(key.to_vec(), at) {
            self.mount.release(old);
        }
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let at = *self.items.lock().get(key.as_bytes())?;
        let body = self.mount.read(at).expect("a readable record");
        Some(body[1 + body[0] as usize..].to_vec())
    }

    fn all(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let items = self.items.lock().clone();
        items
            .into_iter()
            .map(|(key, at)| {
                let body = self.mount.read(at).expect("a readable record");
                (key, body[1 + body[0] as usize..].to_vec())
            })
            .collect()
    }
}

fn key_of(body: &[u8]) -> &[u8] {
    &body[1..=body[0] as usize]
}

impl Participant for Shelf {
    fn apply(&self, section: &Section<'_>) -> Result<()> {
        let mut items = self.items.lock();
        for record in section.records() {
            if record.kind == PUT {
                self.set(&mut items, key_of(record.body), record.address);
            } else if let Some(old) = items.remove(record.body) {
                self.mount.release(old);
            }
        }
        Ok(())
    }

    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> Result<()> {
        let items = self.items.lock();
        out.begin(self.mount.last_seq())?;
        for (key, at) in &*items {
            out.write(&[u8::try_from(key.len()).expect("short keys")])?;
            out.write(key)?;
            for n in [at.segment, at.offset, at.len] {
                out.write(&n.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn restore(&self, input: &mut CheckpointReader<'_>) -> Result<()> {
        let mut items = self.items.lock();
        while input.remaining() > 0 {
            let len = input.take(1)?[0];
            let key = input.take(len as usize)?;
            let numbers = input.take(12)?;
            let n = |i: usize| {
                u32::from_le_bytes(numbers[4 * i..4 * i + 4].try_into().expect("four bytes"))
            };
            self.set(
                &mut items,
                &key,
                Address {
                    segment: n(0),
                    offset: n(1),
                    len: n(2),
                },
            );
        }
        Ok(())
    }

    fn relocate(&self, records: &[Record<'_>]) -> Result<()> {
        let mut items = self.items.lock();
        let mut frame = self.mount.frame();
        let mut moved = Vec::new();
        for record in records.iter().filter(|r| r.kind == PUT) {
            let key = key_of(record.body);
            if items.get(key) == Some(&record.address) {
                moved.push((key.to_vec(), frame.push(&self.mount, PUT, &[record.body])));
            }
        }
        if frame.is_empty() {
            return Ok(());
        }
        let commit = self.mount.append(&mut frame)?;
        for (key, index) in moved {
            self.set(&mut items, &key, commit.address(index));
        }
        Ok(())
    }

    fn timer(&self, token: u64, _now: Timestamp) -> Result<()> {
        self.fired.lock().push(token);
        Ok(())
    }
}

fn dir(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("upkv-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    dir
}

fn open(dir: &std::path::Path) -> Store {
    Store::builder(dir)
        .segment_bytes(64 * 1024)
        .checkpoint_bytes(256 * 1024)
        .background(false)
        .open()
        .expect("the store opens")
}

#[test]
fn what_was_put_is_found_after_a_clean_close_and_after_none() {
    let dir = dir("basics");
    let mut expected = BTreeMap::new();
    for round in 0..5u32 {
        let store = open(&dir);
        assert_eq!(store.report().clean, round % 2 == 0, "round {round}");
        let shelf = Shelf::mount(&store, "a").unwrap();
        assert_eq!(shelf.all(), expected, "round {round}");
        for i in 0..200u32 {
            let key = format!("k{}", i % 50);
            let value = vec![u8::try_from(round).unwrap(); (i * 7) as usize];
            shelf.put(&key, &value).unwrap();
            expected.insert(key.into_bytes(), value);
        }
        shelf.del("k7").unwrap();
        expected.remove(&b"k7"[..]);
        shelf
            .put("big", &vec![round.to_le_bytes()[0]; 200_000])
            .unwrap();
        expected.insert(b"big".to_vec(), vec![round.to_le_bytes()[0]; 200_000]);
        assert_eq!(shelf.all(), expected);
        if round % 2 == 1 {
            store.close().unwrap();
            assert!(matches!(
                shelf.put("x", b"").unwrap_err().kind(),
                ErrorKind::Closed
            ));
        } else {
            // As after a kill: nothing is synced or written on the way out.
            std::mem::forget(store.clone());
            let fresh = std::path::PathBuf::from(format!("{}-copy", dir.display()));
            std::fs::remove_dir_all(&fresh).ok();
            copy(&dir, &fresh);
            std::fs::remove_dir_all(&dir).unwrap();
            std::fs::rename(&fresh, &dir).unwrap();
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a file system that works");
    for entry in std::fs::read_dir(from).expect("a file system that works") {
        let entry = entry.expect("a file system that works");
        if entry
            .file_type()
            .expect("a file system that works")
            .is_dir()
        {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name()))
                .expect("a file system that works");
        }
    }
}

#[test]
fn space_is_given_back_and_readers_keep_what_they_hold() {
    let dir = dir("collect");
    let store = open(&dir);
    let shelf = Shelf::mount(&store, "a").unwrap();
    shelf.put("keep", b"first").unwrap();
    let value = vec![1u8; 3000];
    let mut reader = None;
    for i in 0..2000u32 {
        shelf.put(&format!("k{}", i % 20), &value).unwrap();
        if i == 100 {
            shelf.put("held", &value).unwrap();
        }
        if i == 150 {
            // Its segment is sealed by now.
            let at = shelf.items.lock()[&b"held"[..]];
            reader = Some((at, shelf.mount.read(at).unwrap()));
        }
    }
    let (at, held) = reader.expect("taken at 150");
    while store.maintain(Duration::from_secs(10)).unwrap().more {}
    let stats = store.stats();
    assert!(stats.segments_removed > 0, "{stats:?}");
    let bound = stats.live_bytes() * 3 / 2 + 3 * 64 * 1024 + 64 * 1024;
    assert!(
        stats.used_bytes() <= bound,
        "{} > {bound}",
        stats.used_bytes()
    );
    assert_eq!(shelf.get("keep").unwrap(), b"first");
    assert_eq!(
        held[5..],
        value[..],
        "the segment under a reader stays mapped"
    );
    assert_ne!(shelf.items.lock()[&b"held"[..]], at, "the record was moved");
    let report = store.check().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let all = shelf.all();
    drop((shelf, store));
    let store = open(&dir);
    assert_eq!(Shelf::mount(&store, "a").unwrap().all(), all);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn an_engine_that_is_not_mounted_keeps_everything() {
    let dir = dir("unmounted");
    let store = open(&dir);
    let a = Shelf::mount(&store, "a").unwrap();
    let b = Shelf::mount(&store, "b").unwrap();
    for i in 0..100 {
        a.put(&format!("a{i}"), &[1; 500]).unwrap();
        b.put(&format!("b{i}"), &[2; 500]).unwrap();
    }
    let expected = b.all();
    drop((a, b, store));
    for _ in 0..3 {
        let store = open(&dir);
        let a = Shelf::mount(&store, "a").unwrap();
        for i in 0..500 {
            a.put(&format!("a{}", i % 100), &[3; 500]).unwrap();
        }
        store.checkpoint().unwrap();
        while store.maintain(Duration::from_secs(10)).unwrap().more {}
    }
    let store = open(&dir);
    assert_eq!(Shelf::mount(&store, "b").unwrap().all(), expected);
    assert_eq!(Shelf::mount(&store, "a").unwrap().all().len(), 100);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_second_opener_is_refused_and_the_same_mount_is_shared() {
    let dir = dir("lock");
    let store = open(&dir);
    let error = Store::open(&dir).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Locked { pid: Some(pid) } if *pid == std::process::id())
    );
    let one = Shelf::mount(&store, "a").unwrap();
    let two = Shelf::mount(&store, "a").unwrap();
    assert!(Arc::ptr_eq(&one, &two));
    assert!(matches!(
        Shelf::mount(&store, "").err().unwrap().kind(),
        ErrorKind::Misuse(_)
    ));
    store.close().unwrap();
    drop(Store::open(&dir).unwrap());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn concurrent_durable_commits_share_syncs() {
    let dir = dir("group");
    let store = Store::builder(&dir)
        .durability(Durability::Disk)
        .background(false)
        .open()
        .unwrap();
    let shelf = Shelf::mount(&store, "a").unwrap();
    std::thread::scope(|scope| {
        for t in 0..8 {
            let shelf = &shelf;
            scope.spawn(move || {
                for i in 0..50 {
                    shelf.put(&format!("{t}-{i}"), b"v").unwrap();
                }
            });
        }
    });
    let stats = store.stats();
    assert_eq!(stats.commits, 400);
    assert_eq!(stats.durable_seq, 400);
    assert!(stats.syncs < 400, "{} syncs for 400 commits", stats.syncs);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn timers_fire_once_and_in_order() {
    let clock = upkv::storage::ManualClock::new(Timestamp::from_millis(1000));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .open()
        .unwrap();
    let shelf = Shelf::mount(&store, "a").unwrap();
    let now = shelf.mount.now();
    shelf
        .mount
        .set_timer(now.saturating_add(Duration::from_millis(20)), 2);
    shelf
        .mount
        .set_timer(now.saturating_add(Duration::from_millis(10)), 1);
    let gone = shelf
        .mount
        .set_timer(now.saturating_add(Duration::from_millis(15)), 9);
    assert!(shelf.mount.cancel_timer(gone));
    store.maintain(Duration::ZERO).unwrap();
    assert!(shelf.fired.lock().is_empty());
    clock.advance(Duration::from_millis(20));
    store.maintain(Duration::ZERO).unwrap();
    store.maintain(Duration::ZERO).unwrap();
    assert_eq!(*shelf.fired.lock(), [1, 2]);
}

#[test]
fn without_maintenance_by_the_host_space_stays_bounded() {
    for disk in [false, true] {
        let dir = std::env::temp_dir().join(format!("up-upkeep-{}", std::process::id()));
        let builder = if disk {
            Store::builder(&dir)
        } else {
            Store::memory_builder()
        };
        let store = builder
            .segment_bytes(64 * 1024)
            .checkpoint_bytes(256 * 1024)
            .background(false)
            .open()
            .unwrap();
        let shelf = Shelf::mount(&store, "a").unwrap();
        for i in 0..20_000_u32 {
            shelf.put(&format!("k{}", i % 50), &[7; 400]).unwrap();
        }
        let held = store.stats().used_bytes();
        assert!(held < 2 << 20, "{held} bytes for 20 KB, disk: {disk}");
        store.close().unwrap();
        let _absent_in_memory = std::fs::remove_dir_all(&dir);
    }
}

#[test]
fn a_commit_under_a_hold_does_no_maintenance() {
    let store = Store::memory_builder()
        .segment_bytes(64 * 1024)
        .background(false)
        .open()
        .unwrap();
    let shelf = Shelf::mount(&store, "a").unwrap();
    let hold = Hold::new();
    for _ in 0..2_000 {
        shelf.put("k", &[7; 400]).unwrap();
    }
    assert_eq!(store.stats().segments_removed, 0);
    drop(hold);
    shelf.put("k", &[7; 400]).unwrap();
    assert!(store.stats().segments_removed > 0);
}

#[test]
fn commits_that_a_checkpoint_lists_as_unseen_outlive_it() {
    let dir = dir("unseen");
    let store = open(&dir);
    let a = Shelf::mount(&store, "a").unwrap();
    let b = Shelf::mount(&store, "b").unwrap();
    a.put("k", &[1; 400]).unwrap();
    for i in 0..20 {
        b.put(&format!("k{i}"), &[1; 400]).unwrap();
    }
    // Too little for a checkpoint at closing.
    store.close().unwrap();
    drop((a, b, store));
    let store = open(&dir);
    assert_eq!(store.report().checkpoint, None);
    let a = Shelf::mount(&store, "a").unwrap();
    for _ in 0..3 {
        a.put("k", &[2; 400]).unwrap();
        store.checkpoint().unwrap();
    }
    // Both checkpoints list what `b` has not seen. Now it sees it, and leaves nothing live in the old segments.
    let b = Shelf::mount(&store, "b").unwrap();
    for i in 0..20 {
        b.put(&format!("k{i}"), &[3; 400]).unwrap();
    }
    while store.maintain(Duration::from_secs(10)).unwrap().more {}
    let expected = b.all();
    let image = dir.with_extension("image");
    copy(&dir, &image);
    store.close().unwrap();
    drop((a, b, store));
    let store = open(&image);
    assert_eq!(Shelf::mount(&store, "b").unwrap().all(), expected);
    store.close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::remove_dir_all(&image).unwrap();
}
