//! `docsearch` from a folder to answers: what is new, changed, gone or impossible, limits, the cache, and what the program says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{contents, docsearch, stderr, stdout, total, update, work, write};
use examples::docsearch::{Error, Library, Limits, Progress, Question, Source, Stop};
use upkv::storage::Timestamp;
use upkv::{ManualClock, Store};

const LIB: &str = "//! A library of shelves.\n\n/// Puts a book on the shelf, wherever there is room.\npub fn put(book: Book) {}\n\n\
    /// A bound stack of printed pages.\npub struct Book {\n    /// Printed on the spine.\n    pub title: String,\n}\n";

fn corpus(dir: &Path) {
    write(
        dir,
        "shelf/Cargo.toml",
        "[package]\nname = \"shelf\"\nversion = \"1.2.3\"\n",
    );
    write(dir, "shelf/src/lib.rs", LIB);
    write(
        dir,
        "shelf/README.md",
        "# Shelf\nKeeps books.\n## Licence\nAnybody may read them.\n",
    );
    write(
        dir,
        "notes.txt",
        (0..600)
            .map(|n| format!("word{n}"))
            .collect::<Vec<_>>()
            .join(" "),
    );
    write(dir, "empty.md", "");
    write(dir, "broken.txt", b"good \xff bad");
}

fn ask(library: &Library, question: &Question) -> Vec<String> {
    let hits = library.ask(question).unwrap().hits;
    hits.into_iter()
        .map(|hit| format!("{} {}", hit.kind, hit.item))
        .collect()
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: what a step finds was left by the one before"
)]
fn a_folder_is_indexed_and_kept_up_to_date() {
    let (dir, store) = (
        examples::scratch("docs").unwrap(),
        examples::scratch("docs-store").unwrap(),
    );
    corpus(&dir);
    let library = Library::open(&store).unwrap();
    let first = update(&library, &dir);
    assert_eq!(
        (first.found, first.queued, first.indexed, first.dead),
        (5, 5, 4, 1)
    );
    assert!(
        first.complaints[0].contains("not UTF-8 at byte 5"),
        "{:?}",
        first.complaints
    );
    let seen = contents(&library);
    assert_eq!(first.chunks, seen.chunks.len() as u64);
    assert_eq!(
        (total(&seen, "files"), total(&seen, "chunks")),
        (4, first.chunks)
    );
    assert_eq!(
        (
            seen.queue.ready,
            seen.queue.leased,
            seen.queue.delayed,
            seen.queue.dead
        ),
        (0, 0, 0, 1)
    );
    assert!(seen.dead[0].0.ends_with("broken.txt"));

    assert_eq!(
        ask(&library, &Question::new("put a book on the shelf").top(1)),
        ["fn put"]
    );
    let only = Question::new("books")
        .filter("crate = 'shelf' AND kind = 'section'")
        .top(1);
    assert_eq!(ask(&library, &only), ["section Shelf"]);
    assert!(library.ask(&only).unwrap().cached);
    let hit = library.ask(&only).unwrap().hits.remove(0);
    assert_eq!(
        (hit.crate_name.as_str(), hit.version.as_str(), hit.line),
        ("shelf", "1.2.3", 1)
    );

    // Nothing changed: nothing is done, and answers stay cached, also for who opens the store next.
    library.close().unwrap();
    let library = Library::open(&store).unwrap();
    let second = update(&library, &dir);
    assert_eq!(
        (
            second.found,
            second.unchanged,
            second.queued,
            second.known_dead
        ),
        (5, 4, 0, 1)
    );
    assert_eq!(contents(&library), seen);
    assert!(library.ask(&only).unwrap().cached);

    // One file changes, one becomes shorter, one goes, one is only touched.
    write(
        &dir,
        "shelf/README.md",
        "# Shelf\nKeeps scrolls of papyrus.\n",
    );
    write(&dir, "notes.txt", "only a few words");
    std::fs::remove_file(dir.join("empty.md")).unwrap();
    let lib = std::fs::File::options()
        .write(true)
        .open(dir.join("shelf/src/lib.rs"))
        .unwrap();
    lib.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();
    let third = update(&library, &dir);
    assert_eq!((third.queued, third.leaving), (3, 1));
    assert_eq!((third.indexed, third.removed, third.touched), (2, 1, 1));
    assert!(
        !library.ask(&only).unwrap().cached,
        "the index is another one"
    );
    assert_eq!(
        ask(&library, &Question::new("papyrus scrolls").top(1)),
        ["section Shelf"]
    );
    let seen = contents(&library);
    let texts: Vec<&str> = seen
        .chunks
        .values()
        .filter_map(|chunk| chunk.data.as_deref())
        .collect();
    assert!(
        !texts
            .iter()
            .any(|text| text.contains("word599") || text.contains("Anybody")),
        "{texts:?}"
    );
    assert_eq!(
        (total(&seen, "files"), total(&seen, "chunks")),
        (3, seen.chunks.len() as u64)
    );

    // The same as a store that never saw anything else.
    let fresh_store = examples::scratch("docs-fresh").unwrap();
    let fresh = Library::open(&fresh_store).unwrap();
    update(&fresh, &dir);
    assert_eq!(contents(&fresh).chunks, seen.chunks);
}

#[test]
fn what_cannot_be_indexed_can_be_tried_again() {
    let (dir, store) = (
        examples::scratch("dead").unwrap(),
        examples::scratch("dead-store").unwrap(),
    );
    write(&dir, "a.md", "# Fine\nA text.");
    write(&dir, "broken.txt", b"\xff\xfe");
    let library = Library::open(&store).unwrap();
    assert_eq!(update(&library, &dir).dead, 1);
    assert_eq!(library.retry().unwrap(), 1);
    let again = work(&library, None);
    assert_eq!(
        (again.dead, again.indexed),
        (1, 0),
        "it is as broken as before"
    );

    write(&dir, "broken.txt", "mended");
    assert_eq!(library.retry().unwrap(), 1);
    let mended = work(&library, None);
    assert_eq!((mended.dead, mended.indexed, mended.waiting), (0, 1, 0));
    assert_eq!(
        ask(&library, &Question::new("mended").top(1)),
        ["text broken"]
    );
    let seen = contents(&library);
    assert!(seen.dead.is_empty() && seen.queue.dead == 0);
    let next = update(&library, &dir);
    assert_eq!((next.unchanged, next.queued, next.known_dead), (2, 0, 0));
}

#[test]
fn indexing_ends_when_told_and_goes_on_later() {
    let (dir, store) = (
        examples::scratch("stop").unwrap(),
        examples::scratch("stop-store").unwrap(),
    );
    for n in 0..300 {
        write(
            &dir,
            &format!("{n}.md"),
            format!("# Page {n}\nText of page {n}."),
        );
    }
    let library = Library::open(&store).unwrap();
    let source = Source::folder(&dir).unwrap();
    let stop = Stop::default();
    assert!(!stop.request());
    let none = library.update(
        Some(&source),
        Limits::default(),
        &stop,
        &mut Progress::hidden(),
    );
    assert_eq!(none.unwrap().indexed, 0);
    let limits = Limits {
        span: Some(Duration::from_millis(60)),
    };
    let mut indexed = 0;
    for _ in 0..1_000 {
        let part = library.update(
            Some(&source),
            limits,
            &Stop::default(),
            &mut Progress::hidden(),
        );
        indexed += part.unwrap().indexed;
        if indexed == 300 {
            break;
        }
    }
    let seen = contents(&library);
    assert_eq!((indexed, total(&seen, "version")), (300, 300));
    assert_eq!((seen.chunks.len(), seen.queue.ready), (300, 0));
}

/// A store in memory at a time that the test sets.
fn at(clock: &ManualClock) -> Library {
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .open()
        .unwrap();
    Library::mount(Path::new("memory"), store).unwrap()
}

#[test]
fn users_are_limited_one_by_one_and_told_when_to_come_back() {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let library = at(&clock);
    let question = || Question::new("anything").user("ada");
    for _ in 0..20 {
        library.ask(&question()).unwrap();
    }
    let refused = library.ask(&question()).unwrap_err();
    let Error::Limited {
        limit, retry_after, ..
    } = refused
    else {
        panic!("{refused}");
    };
    assert!(limit == 20 && retry_after > Duration::ZERO);
    assert!(
        refused
            .to_string()
            .starts_with("ada has asked 20 times in 10.0 s; try again in")
    );
    library.ask(&question().user("bob")).unwrap();
    clock.advance(retry_after);
    library.ask(&question()).unwrap();
}

#[test]
fn answers_are_kept_for_ten_minutes() {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let library = at(&clock);
    let cached = || library.ask(&Question::new("anything")).unwrap().cached;
    assert_eq!((cached(), cached()), (false, true));
    assert!(
        !library
            .ask(&Question::new("anything").top(3))
            .unwrap()
            .cached,
        "another question"
    );
    clock.advance(Duration::from_secs(601));
    assert!(!cached());
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let library = at(&ManualClock::default());
    let refused = |question: Question| {
        let error = library.ask(&question).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    assert_eq!(refused(Question::new(" \t")), "the question is empty");
    assert_eq!(
        refused(Question::new("a").top(0)),
        "--top 0 is not in 1..=1000"
    );
    assert_eq!(
        refused(Question::new("a").top(1001)),
        "--top 1001 is not in 1..=1000"
    );
    assert!(refused(Question::new("a".repeat(5_000))).contains("5000 bytes"));
    assert!(refused(Question::new("a").user("")).contains("1 to 128"));
    let error = refused(Question::new("a").filter("crate = \u{1b}"));
    assert!(
        error.contains("column 9") && !error.contains('\u{1b}'),
        "{error}"
    );
    assert!(
        library
            .ask(&Question::new("a").filter("kind IN ('fn')"))
            .unwrap()
            .hits
            .is_empty()
    );
}

#[test]
fn the_program_says_what_is_wrong_with_an_exit_code() {
    let (dir, store) = (
        examples::scratch("cli").unwrap(),
        examples::scratch("cli-store").unwrap(),
    );
    let empty = dir.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (missing, empty) = (dir.join("missing"), empty.to_str().unwrap().to_owned());
    let missing = missing.to_str().unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["index", missing], "cannot read"),
        (&["index", &empty], "nothing to index"),
        (&["query", ""], "the question is empty"),
        (&["query", "a", "--filter", "crate = "], "column"),
        (&["query", "a", "--top", "0"], "--top 0"),
        (&["query", "a", "--top", "99999999999999999999999"], "--top"),
        (&["--seconds", "0", "index"], "--seconds"),
        (&["--seconds", "1", "--all", "index"], "--all"),
        (&["serach"], "serach"),
    ];
    for (arguments, wanted) in cases {
        let output = docsearch(&store, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            stderr(&output).contains(wanted),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn the_program_indexes_answers_and_lists_without_passing_on_control_characters() {
    let (dir, store) = (
        examples::scratch("run").unwrap(),
        examples::scratch("run-store").unwrap(),
    );
    corpus(&dir);
    write(
        &dir,
        "evil.md",
        "# Evil \u{1b}[31m\nclears the \u{1b}[2J screen",
    );
    let folder = dir.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = docsearch(&store, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = stdout(&output);
        assert!(
            !text.contains('\u{1b}') && !stderr(&output).contains('\u{1b}'),
            "{text}"
        );
        text
    };
    let first = run(&["index", folder]);
    assert!(
        first.contains("5 files") && first.contains("1 to the dead letters"),
        "{first}"
    );
    let again = run(&["index", folder]);
    assert!(
        again.contains("5 unchanged") && again.contains("indexed       0 files"),
        "{again}"
    );
    let answer = run(&["query", "clears the screen", "--top", "1"]);
    assert!(
        answer.contains("section Evil \\u{1b}[31m") && answer.contains("evil.md:1"),
        "{answer}"
    );
    assert!(run(&["query", "clears the screen", "--top", "1"]).contains("from the cache"));
    let stats = run(&["stats"]);
    assert!(
        stats.contains("of 5 files") && stats.contains("1 dead letters"),
        "{stats}"
    );
    assert!(run(&["dead"]).contains("broken.txt: not UTF-8 at byte 5"));
    assert!(run(&["retry"]).contains("1 files are tried again"));
    assert_eq!(run(&["dead"]).lines().count(), 2);

    // Who has the store open is named.
    let library = Library::open(&store).unwrap();
    let output = docsearch(&store, &["stats"]);
    assert_eq!(output.status.code(), Some(1));
    let wanted = format!("is in use by process {}", std::process::id());
    assert!(stderr(&output).contains(&wanted), "{}", stderr(&output));
    drop(library);
}
