//! Which files there are to index: folders, walked in a fixed order, and the crate each file belongs to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use walkdir::{DirEntry, WalkDir};

use super::error::{Error, Result};
use super::extract::Format;
use super::text::escaped;

/// Files above this are left out: nobody writes such documentation by hand.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// Folders to index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Walked one after the other.
    roots: Vec<PathBuf>,
    /// Files under this folder that the walk does not meet are not wanted any more.
    scope: PathBuf,
}

/// A file to index, as it was when it was found: the body of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Absolute path.
    pub(crate) path: String,
    /// Size and time of the last change.
    pub(crate) fingerprint: String,
    #[serde(default, rename = "crate", skip_serializing_if = "String::is_empty")]
    pub(crate) crate_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) version: String,
}

impl Source {
    /// All documentation in a folder.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there is no such folder.
    pub fn folder(dir: &Path) -> Result<Self> {
        let shown = escaped(&dir.display().to_string());
        let scope = dir
            .canonicalize()
            .map_err(|error| Error::usage(format!("cannot read {shown}: {error}")))?;
        if !scope.is_dir() {
            return Err(Error::usage(format!("{shown} is not a folder")));
        }
        Ok(Self {
            roots: vec![scope.clone()],
            scope,
        })
    }

    /// The crate sources that cargo has placed on this machine, the newest version of each.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there are none.
    pub fn crates() -> Result<Self> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
            .unwrap_or_default();
        let sources = home.join("registry").join("src");
        let none = || {
            let shown = escaped(&sources.display().to_string());
            let hint = "name a folder: docsearch index DIR";
            Error::usage(format!("there are no crate sources in {shown}; {hint}"))
        };
        let scope = sources.canonicalize().map_err(|_| none())?;
        let mut folders = Vec::new();
        for registry in subfolders(&scope)? {
            folders.extend(subfolders(&registry)?);
        }
        let roots = newest(folders);
        if roots.is_empty() {
            return Err(none());
        }
        Ok(Self { roots, scope })
    }

    /// What the paths of all its files start with.
    pub(crate) fn prefix(&self) -> String {
        let folder = self.scope.to_string_lossy();
        format!("{}/", folder.trim_end_matches('/'))
    }

    /// The files in a fixed order, or why something is left out.
    pub(crate) fn walk(&self) -> impl Iterator<Item = Result<Task, String>> {
        let entries = self.roots.iter().flat_map(|root| {
            let walk = WalkDir::new(root).sort_by_file_name();
            walk.into_iter()
                .filter_entry(|entry| entry.depth() == 0 || !is_skipped(entry))
        });
        let mut crates = Crates::default();
        entries.filter_map(move |entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(escaped(&error.to_string()))),
            };
            if !entry.file_type().is_file() || Format::of(entry.path()).is_none() {
                return None;
            }
            Some(task(entry.path(), &mut crates))
        })
    }
}

fn task(path: &Path, crates: &mut Crates) -> Result<Task, String> {
    let shown = || escaped(&path.display().to_string());
    let Some(text) = path.to_str() else {
        return Err(format!("{}: the name is not UTF-8", shown()));
    };
    let (fingerprint, bytes) =
        fingerprint(path).map_err(|error| format!("{}: {error}", shown()))?;
    if bytes > FILE_BYTES_MAX {
        return Err(format!("{}: {bytes} bytes are too many", shown()));
    }
    let (crate_name, version) = path.parent().map(|dir| crates.of(dir)).unwrap_or_default();
    Ok(Task {
        path: text.to_owned(),
        fingerprint,
        crate_name,
        version,
    })
}

/// Size and time of the last change as text, and the size.
pub(crate) fn fingerprint(path: &Path) -> std::io::Result<(String, u64)> {
    let metadata = std::fs::metadata(path)?;
    let changed = metadata.modified()?;
    // Before 1970 there were no files; a clock that says so is as good as any.
    let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    let bytes = metadata.len();
    Ok((format!("{bytes}-{}", changed.as_nanos()), bytes))
}

/// Hidden folders, other people's packages, and what cargo builds.
fn is_skipped(entry: &DirEntry) -> bool {
    if !entry.file_type().is_dir() {
        return false;
    }
    let name = entry.file_name().to_string_lossy();
    name.starts_with('.')
        || name == "node_modules"
        || (name == "target" && entry.path().join("CACHEDIR.TAG").exists())
}

fn subfolders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        if entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Of folders named like `serde-1.0.228`, the newest version of each crate, by name.
fn newest(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut best: BTreeMap<String, (Version, PathBuf)> = BTreeMap::new();
    for folder in folders {
        let Some(file_name) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let Some((name, version)) = split_version(file_name) else {
            continue;
        };
        let version = order(version);
        let newer = best.get(name).is_none_or(|(other, _)| *other < version);
        if newer {
            best.insert(name.to_owned(), (version, folder));
        }
    }
    best.into_values().map(|(_, folder)| folder).collect()
}

fn split_version(folder: &str) -> Option<(&str, &str)> {
    folder.match_indices('-').find_map(|(at, _)| {
        let (name, version) = (&folder[..at], &folder[at + 1..]);
        let is_version = version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.');
        is_version.then_some((name, version))
    })
}

type Version = ([u64; 3], Reverse<bool>, Vec<(u64, String)>);

/// Versions in their order: a release is newer than what led to it.
fn order(version: &str) -> Version {
    let version = version.split('+').next().unwrap_or(version);
    let (release, before) = version.split_once('-').unwrap_or((version, ""));
    let mut numbers = [0; 3];
    for (number, text) in numbers.iter_mut().zip(release.split('.')) {
        *number = text.parse().unwrap_or(0);
    }
    let parts = before.split('.').map(|part| match part.parse() {
        Ok(number) => (number, String::new()),
        Err(_) => (u64::MAX, part.to_owned()),
    });
    (numbers, Reverse(!before.is_empty()), parts.collect())
}

/// The crates that folders belong to, as far as they were asked for.
#[derive(Default)]
struct Crates {
    known: HashMap<PathBuf, (String, String)>,
}

impl Crates {
    /// Name and version of the crate that a folder is in; empty if it is in none.
    fn of(&mut self, dir: &Path) -> (String, String) {
        if let Some(known) = self.known.get(dir) {
            return known.clone();
        }
        let own = std::fs::read_to_string(dir.join("Cargo.toml"));
        let found = own.ok().and_then(|manifest| package(&manifest));
        let found = match (found, dir.parent()) {
            (Some(found), _) => found,
            (None, Some(parent)) => self.of(parent),
            (None, None) => <(String, String)>::default(),
        };
        self.known.insert(dir.to_owned(), found.clone());
        found
    }
}

/// Name and version in the `[package]` table of a manifest. A version that stands elsewhere is left empty.
fn package(manifest: &str) -> Option<(String, String)> {
    let (mut name, mut version) = (None, None);
    let lines = manifest.lines().map(str::trim);
    let table = lines.skip_while(|line| *line != "[package]").skip(1);
    for line in table.take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let quoted = value.trim().strip_prefix('"');
        let value = quoted.and_then(|text| text.split('"').next());
        match key.trim() {
            "name" => name = value,
            "version" => version = value,
            _ => {}
        }
    }
    Some((name?.to_owned(), version.unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_a_crate_is_taken() {
        let folders = [
            "a-1.9.0",
            "a-1.10.0",
            "a-1.10.0-rc.2",
            "b-2.0.0-rc.10",
            "b-2.0.0-rc.9",
            "c-d-0.1.0+x.1",
            "none",
        ];
        let best = newest(folders.iter().map(PathBuf::from).collect());
        let wanted = ["a-1.10.0", "b-2.0.0-rc.10", "c-d-0.1.0+x.1"];
        assert_eq!(best, wanted.map(PathBuf::from));
    }

    #[test]
    fn manifests_say_which_crate_it_is() {
        let text = "[workspace]\n[package]\nname = \"a\" # x\nversion.workspace = true\n[dependencies]\nname = \"b\"";
        assert_eq!(package(text), Some(("a".to_owned(), String::new())));
        let text = "[package]\nversion=\"1.2.3\"\nname=\"c\"";
        assert_eq!(package(text), Some(("c".to_owned(), "1.2.3".to_owned())));
        assert_eq!(package("[workspace]\nname = \"d\""), None);
    }

    #[test]
    fn walks_are_in_order_and_leave_out_what_is_no_documentation() {
        let dir = crate::scratch("docsearch-walk").unwrap();
        for name in [
            "b/z.rs",
            "b/a.md",
            "a.txt",
            ".git/x.md",
            "target/y.md",
            "b/c.png",
        ] {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
        }
        std::fs::write(dir.join("target/CACHEDIR.TAG"), "").unwrap();
        std::fs::write(
            dir.join("b/Cargo.toml"),
            "[package]\nname = \"b\"\nversion = \"0.1.0\"",
        )
        .unwrap();
        let big = std::fs::File::create(dir.join("big.md")).unwrap();
        big.set_len(FILE_BYTES_MAX + 1).unwrap();
        let source = Source::folder(&dir).unwrap();
        let (found, left_out): (Vec<_>, Vec<_>) = source.walk().partition(Result::is_ok);
        let found: Vec<(String, String)> = found
            .into_iter()
            .map(|task| task.unwrap())
            .map(|task| {
                (
                    task.path[source.prefix().len()..].to_owned(),
                    task.crate_name,
                )
            })
            .collect();
        let named = |path: &str, name: &str| (path.to_owned(), name.to_owned());
        assert_eq!(
            found,
            [
                named("a.txt", ""),
                named("b/a.md", "b"),
                named("b/z.rs", "b")
            ]
        );
        assert!(left_out.len() == 1 && left_out[0].as_ref().unwrap_err().contains("too many"));
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let dir = crate::scratch("docsearch-no-folder").unwrap();
        std::fs::write(dir.join("file"), "x").unwrap();
        for name in ["none", "file"] {
            let error = Source::folder(&dir.join(name)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
