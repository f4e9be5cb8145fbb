//! The program is killed at random moments, again and again; what it leaves in the end is what an undisturbed run leaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{contents, program, total, update, write};
use examples::docsearch::Library;
use upkv::storage::Random;
use upkv::storage::testing::scaled;

const FILES: u64 = 150;

fn page(n: u64, edition: u64) -> String {
    let sections = 1 + n % 7;
    let section = |s: u64| {
        let word = |w: u64| format!("word{}", (n * s + w * edition) % 997);
        let words: Vec<String> = (0..30 + n % 50).map(word).collect();
        let words = words.join(" ");
        format!("## Part {s} of page {n}\nEdition {edition}. {words}\n")
    };
    (0..sections).map(section).collect()
}

/// Starts the program and kills it after a random time, `kills` times, then lets it end. How often it was killed while at work.
fn indexed_by_victims(store: &Path, dir: &Path, kills: u64, random: &Random) -> u64 {
    let mut killed = 0;
    // Until a run ends by itself the time left to it is guessed; then half of what it took is the right order.
    let mut most = Duration::from_millis(400);
    for _ in 0..kills {
        let from = Instant::now();
        let mut child = Command::new(program())
            .args(["--all", "--store"])
            .arg(store)
            .arg("index")
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let life = most * u32::try_from(random.below(1_000)).unwrap() / 1_000;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                most = from.elapsed();
                break;
            }
            if from.elapsed() >= life {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                break;
            }
            std::thread::yield_now();
        }
    }
    let output = Command::new(program())
        .args(["--all", "--store"])
        .arg(store)
        .arg("index")
        .arg(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    killed
}

#[test]
fn kills_at_random_moments_change_nothing_in_the_end() {
    let dir = examples::scratch("kill").unwrap();
    let (calm, victim) = (
        examples::scratch("kill-calm").unwrap(),
        examples::scratch("kill-victim").unwrap(),
    );
    let random = Random::seeded(42);
    for n in 0..FILES {
        write(&dir, &format!("{}/{n}.md", n % 10), page(n, 1));
    }
    write(&dir, "broken.txt", b"\xff");
    let rounds = [(1, FILES), (2, FILES - 5)];
    for (edition, files) in rounds {
        if edition == 2 {
            for n in 0..20 {
                write(&dir, &format!("{}/{n}.md", n % 10), page(n + 3, 2));
            }
            for n in 20..25 {
                std::fs::remove_file(dir.join(format!("{}/{n}.md", n % 10))).unwrap();
            }
        }
        let library = Library::open(&calm).unwrap();
        update(&library, &dir);
        let wanted = contents(&library);
        library.close().unwrap();
        assert_eq!(total(&wanted, "files"), files);
        assert_eq!(
            (wanted.queue.ready, wanted.queue.leased, wanted.dead.len()),
            (0, 0, 1)
        );

        let killed = indexed_by_victims(&victim, &dir, scaled(20), &random);
        assert!(killed > 0);
        let library = Library::open(&victim).unwrap();
        assert_eq!(contents(&library), wanted, "after {killed} kills");
        let report = library.store().check().unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        assert_eq!(library.stats().unwrap().active_runs, 0);
        library.close().unwrap();
    }
}
