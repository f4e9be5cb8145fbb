//! The house rules that no lint can check: file sizes, headers, imports between crates, unsafe, plain text.
//!
//! Reads the sources and manifests of the whole workspace, so it lives in a package that is never published.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 5] = ["upkv", "upvector", "upqueue", "upflow", "upratelimit"];

/// The only edges between the crates; `examples` and `benches` may use all, and nothing uses them.
const EDGES: [(&str, &[&str]); 5] = [
    ("upkv", &[]),
    ("upratelimit", &["upkv"]),
    ("upvector", &["upkv"]),
    ("upqueue", &["upkv", "upratelimit"]),
    ("upflow", &["upkv", "upqueue"]),
];

/// Where `unsafe` may stand; the crates not named here forbid it.
const UNSAFE: [&str; 4] = [
    "benches/src/allocator.rs",
    "upkv/src/keyspace/block.rs",
    "upkv/src/storage/mapped.rs",
    "upkv/src/storage/process.rs",
];

/// The files that may name the system's clock.
const CLOCKS: [&str; 2] = ["upkv/src/storage/clock.rs", "upratelimit/src/clock.rs"];

const MAX_CODE_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("examples/ has a parent")
        .to_owned()
}

/// Every Rust file of the workspace: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut folders: Vec<PathBuf> = CRATES
        .iter()
        .chain(&["examples", "benches"])
        .map(|name| root.join(name))
        .collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().expect("entries have names");
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path
                    .strip_prefix(&root)
                    .expect("below the root")
                    .display()
                    .to_string();
                sources.push((shown, fs::read_to_string(&path).expect("UTF-8 source")));
            }
        }
    }
    assert!(sources.len() > 50, "only {} sources found", sources.len());
    sources.sort();
    sources
}

/// The part of a file before its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(text)
}

/// Lines that are neither blank nor comment.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
}

fn is_library(path: &str) -> bool {
    CRATES
        .iter()
        .any(|name| path.starts_with(&format!("{name}/src/")))
}

fn require_none(rule: &str, offenders: &[String]) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

#[test]
fn files_stay_small() {
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        let lines = code(without_tests(&text)).count();
        if is_library(&path) && lines > MAX_CODE_LINES {
            offenders.push(format!("{path}: {lines}"));
        }
    }
    require_none("files over 500 lines of code", &offenders);
}

#[test]
fn files_say_what_they_own() {
    let silent = |text: &str| {
        !text
            .trim_start_matches("#![no_main]")
            .trim_start()
            .starts_with("//!")
    };
    let offenders: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| silent(text))
        .map(|(path, _)| path)
        .collect();
    require_none("files that do not open with //!", &offenders);
}

#[test]
fn sources_are_plain_text_without_loose_ends() {
    // Spelled in halves, so that this file does not find itself.
    let words = [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X:"),
        concat!("HA", "CK"),
    ];
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        for (number, line) in (1..).zip(text.lines()) {
            if !line.is_ascii() {
                offenders.push(format!("{path}:{number}: not ASCII"));
            }
            for word in words.iter().filter(|word| line.contains(**word)) {
                offenders.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    require_none("sources with other than plain, finished text", &offenders);
}

#[test]
fn unsafe_code_stays_in_its_files() {
    let listed = |path: &str| UNSAFE.iter().any(|allowed| path.starts_with(allowed));
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        let words = |line: &str| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe")
        };
        if !listed(&path) && path != "examples/tests/tidy.rs" {
            let found = code(&text).filter(|line| words(line)).count();
            if found > 0 {
                offenders.push(format!("{path}: {found} lines"));
            }
        }
    }
    require_none("unsafe outside the list in this test", &offenders);
    for (name, edge) in [
        ("upqueue", "forbid"),
        ("upflow", "forbid"),
        ("upratelimit", "forbid"),
        ("upkv", "deny"),
        ("upvector", "deny"),
    ] {
        let lib = fs::read_to_string(root().join(name).join("src/lib.rs")).expect("a lib.rs");
        assert!(
            lib.contains(&format!("#![{edge}(unsafe_code)]")),
            "{name} must {edge} unsafe code"
        );
    }
}

#[test]
fn time_comes_from_the_clock() {
    let banned = ["SystemTime::now", "Instant::now", "thread::sleep"];
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        if is_library(&path) && !CLOCKS.contains(&path.as_str()) && !path.contains("/tests") {
            for line in code(without_tests(&text)) {
                if banned.iter().any(|name| line.contains(name)) {
                    offenders.push(format!("{path}: {line}"));
                }
            }
        }
    }
    require_none("the system's time read outside a clock", &offenders);
}

/// The names in one table of a manifest, e.g. the dependencies.
fn table(manifest: &str, title: &str) -> BTreeSet<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != title)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn manifest(name: &str) -> String {
    fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest")
}

#[test]
fn crates_import_only_downwards() {
    let mut offenders = Vec::new();
    for (name, allowed) in EDGES {
        let dependencies = table(&manifest(name), "[dependencies]");
        assert!(
            dependencies.contains("thiserror"),
            "{name}: the manifest was not understood"
        );
        let siblings = CRATES.iter().chain(&["examples", "benches"]);
        for sibling in siblings.filter(|sibling| dependencies.contains(**sibling)) {
            if !allowed.contains(sibling) {
                offenders.push(format!("{name} -> {sibling}"));
            }
        }
    }
    require_none("edges between crates that must not be", &offenders);
}

#[test]
fn the_storage_layer_knows_no_engine() {
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        if path.starts_with("upkv/src/storage/") {
            for line in code(&text) {
                if line.contains("crate::") && !line.contains("crate::storage") {
                    offenders.push(format!("{path}: {line}"));
                }
            }
        }
    }
    require_none("imports of upkv::storage from above", &offenders);
}

#[test]
fn features_are_documented() {
    let mut offenders = Vec::new();
    for name in CRATES {
        let lib = fs::read_to_string(root().join(name).join("src/lib.rs")).expect("a lib.rs");
        let docs: String = lib.lines().filter(|line| line.starts_with("//!")).collect();
        for feature in table(&manifest(name), "[features]") {
            if feature != "default" && !docs.contains(&format!("`{feature}`")) {
                offenders.push(format!("{name}: {feature}"));
            }
        }
    }
    require_none(
        "features that the crate's documentation does not name",
        &offenders,
    );
}

#[test]
fn the_readme_has_one_test_command() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let commands: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("cargo ") && line.contains("test"))
        .collect();
    assert_eq!(
        commands,
        ["cargo nextest run --locked --all-features && cargo test --doc --locked --all-features"]
    );
}
