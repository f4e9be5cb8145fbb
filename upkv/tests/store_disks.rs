//! The store on real file systems that lose power or run full. They need loop devices and the right to mount; where these are
//! missing, a test says `skipped` with the reason and is not counted as passed by anyone who reads it.
#![cfg(all(feature = "test-util", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

mod ledger;

use std::path::{Path, PathBuf};
use std::process::Command;

use ledger::{Change, Ledger, LedgerWorkload};
use upkv::storage::testing::{KillOptions, is_killed_child, kill_in, scaled};
use upkv::storage::{Durability, Store};

/// Runs a program; the error is what it printed.
fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", args.join(" "), text.trim()))
}

/// A directory for a mount, unmounted and removed in the end.
struct Place {
    root: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("up-disks-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("mnt")).unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Not mounted any more, or never.
        let _unmounted = run("umount", &[&self.path("mnt")]);
        let _removed = std::fs::remove_dir_all(&self.root);
    }
}

/// An ext4 file system in a file. A copy of the file taken while it is mounted is what the device holds: everything that the file
/// system wrote out, and nothing that only its cache has.
fn power_cut(place: &Place) -> Result<(), String> {
    let (image, cut, mnt) = (place.path("image"), place.path("cut"), place.path("mnt"));
    std::fs::copy(&image, &cut).map_err(|e| e.to_string())?;
    run("umount", &[&mnt])?;
    std::fs::rename(&cut, &image).map_err(|e| e.to_string())?;
    run("mount", &["-o", "loop", &image, &mnt])
}

#[test]
fn power_cuts_of_a_real_file_system_lose_nothing_durable() {
    let place = Place::new("power");
    let (image, mnt) = (place.path("image"), place.path("mnt"));
    if !is_killed_child() {
        let size = std::fs::File::create(&image).and_then(|file| file.set_len(24 << 20));
        let made = size
            .map_err(|e| e.to_string())
            .and_then(|()| run("mkfs.ext4", &["-q", "-F", &image]))
            .and_then(|()| run("mount", &["-o", "loop", &image, &mnt]));
        if let Err(why) = made {
            println!("skipped: {why}");
            return;
        }
    }
    let workload = LedgerWorkload {
        small: true,
        level: Some(Durability::Disk),
    };
    let options = KillOptions {
        kills: scaled(25),
        fresh_every: 6,
        lanes: 4,
        after_ms_max: 60,
        seed: 21,
    };
    let test = "power_cuts_of_a_real_file_system_lose_nothing_durable";
    let dir = Path::new(&mnt).join("store");
    let report = kill_in(&workload, test, &options, &dir, &mut || {
        power_cut(&place).unwrap_or_else(|why| panic!("{why}"));
    });
    assert!(report.kills >= 25 && report.acknowledged > 50, "{report:?}");
}

#[test]
fn a_full_file_system_refuses_takes_deletes_and_recovers() {
    let place = Place::new("full");
    let mnt = place.path("mnt");
    if let Err(why) = run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", &mnt]) {
        println!("skipped: {why}");
        return;
    }
    let dir = Path::new(&mnt).join("store");
    let open = || {
        let builder = Store::builder(&dir)
            .segment_bytes(256 << 10)
            .checkpoint_bytes(1 << 20);
        builder.background(false).open().unwrap()
    };
    let store = open();
    let ledger = Ledger::mount(&store, "full").unwrap();
    let payload = vec![7; 10_000];
    for round in 0..3_u8 {
        let mut written = 0_u32;
        let error = loop {
            let key = 1 + (written % 200).to_le_bytes()[0];
            match ledger.commit(&[Change::Append(key, payload.clone())], Durability::Disk) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(
            error.is_storage_full(),
            "round {round}, after {written} appends: {error}"
        );
        assert!(
            written > 50,
            "round {round}: {written} appends fit into 4 MiB"
        );
        let mut full = ledger.contents().unwrap();
        full.remove(&0);
        assert_eq!(
            full.values().map(Vec::len).sum::<usize>(),
            written as usize,
            "all is readable"
        );
        for key in 1..=200 {
            ledger
                .commit(&[Change::Delete(key)], Durability::Disk)
                .expect("deletes need no space");
        }
        while store
            .maintain(std::time::Duration::from_secs(1))
            .unwrap()
            .more
        {}
        ledger
            .commit(&[Change::Set(0, vec![round])], Durability::Disk)
            .expect("there is space again, without reopening");
    }
    drop((ledger, store));
    let store = open();
    let ledger = Ledger::mount(&store, "full").unwrap();
    assert_eq!(ledger.contents().unwrap(), [(0, vec![vec![2]])].into());
    let report = store.check().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// First byte of payload `i`; never zero.
fn mark(i: usize) -> u8 {
    i.to_le_bytes()[0] | 1
}

#[test]
fn a_disk_that_fails_to_sync_poisons_the_store_and_loses_nothing_promised() {
    // Four frames fill a page, so that each write is within one block: a loop device acknowledges a larger one even if only a
    // part of it had room, and a disk that lies is beyond what the store promises.
    const PAYLOAD: usize = 971;
    let thin = Place::new("thin");
    let place = Place::new("sync");
    let (thin_mnt, mnt) = (thin.path("mnt"), place.path("mnt"));
    let image = Path::new(&thin_mnt).join("image").display().to_string();
    // A disk of 32 MiB that has only 6: what the file system has no room for fails when it is synced.
    let made = run(
        "mount",
        &["-t", "tmpfs", "-o", "size=6m", "tmpfs", &thin_mnt],
    )
    .and_then(|()| {
        let file = std::fs::File::create(&image).and_then(|file| file.set_len(32 << 20));
        file.map_err(|e| e.to_string())
    })
    .and_then(|()| {
        run(
            "mkfs.ext4",
            &["-q", "-F", "-b", "4096", "-O", "^has_journal", &image],
        )
    })
    .and_then(|()| run("mount", &["-o", "loop,errors=continue", &image, &mnt]));
    if let Err(why) = made {
        println!("skipped: {why}");
        return;
    }
    let dir = Path::new(&mnt).join("store");
    let open = || {
        Store::builder(&dir)
            .segment_bytes(1 << 20)
            .checkpoint_bytes(64 << 20)
            .background(false)
            .open()
    };
    let store = open().unwrap();
    let ledger = Ledger::mount(&store, "thin").unwrap();
    let mut promised = 0;
    let error = loop {
        let payload = vec![mark(promised); PAYLOAD];
        match ledger.commit(&[Change::Append(0, payload)], Durability::Disk) {
            Ok(()) => promised += 1,
            Err(error) => break error,
        }
    };
    assert!(
        promised > 100 && !error.is_storage_full(),
        "after {promised}: {error}"
    );
    let again = ledger
        .commit(&[Change::Append(0, vec![1])], Durability::Disk)
        .unwrap_err();
    assert!(again.is_poisoned(), "{again}");
    let seen = ledger.contents().map(|all| all[&0].len());
    assert!(seen.is_ok_and(|n| n >= promised), "reading goes on");
    drop((ledger, store));
    // The disk gets its space and the machine restarts.
    run("umount", &[&mnt]).unwrap();
    run("mount", &["-o", "remount,size=64m", &thin_mnt]).unwrap();
    run("mount", &["-o", "loop", &image, &mnt]).unwrap();
    let store = open().unwrap();
    let ledger = Ledger::mount(&store, "thin").unwrap();
    let all = ledger.contents().unwrap();
    assert!(
        (promised..=promised + 1).contains(&all[&0].len()),
        "{} of {promised}",
        all[&0].len()
    );
    for (i, payload) in all[&0].iter().enumerate() {
        assert!(
            payload.len() == PAYLOAD && payload[0] == mark(i),
            "payload {i}"
        );
    }
}
