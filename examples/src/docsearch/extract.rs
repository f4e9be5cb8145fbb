//! From files to sections: documentation comments by item, Markdown by heading, plain text as a whole.
//!
//! Reads line by line and never fails: what it does not understand is left out. It is no Rust parser; a comment inside a string is taken
//! for a comment.

use std::path::Path;

/// Longest name or heading that is kept; the rest is cut off.
const NAME_BYTES_MAX: usize = 200;

/// A piece of documentation that belongs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// What it describes: `fn`, `struct`, `enum`, `trait`, `mod`, `macro`, `const`, `type`, `impl`, `section` or `text`.
    pub(crate) kind: &'static str,
    /// The item's name, a heading, or the file's name.
    pub(crate) item: String,
    /// The name with what it belongs to, such as `Vec::push`.
    pub(crate) full_name: String,
    /// Line of the file where it starts, from 1.
    pub(crate) line: u32,
    /// What it says.
    pub(crate) text: String,
}

/// How a file is read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Documentation comments of Rust source.
    Rust,
    /// Sections between headings.
    Markdown,
    /// Plain text.
    Text,
}

impl Format {
    /// By the name's ending; `None` for files that are not looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        match extension.to_ascii_lowercase().as_str() {
            "rs" => Some(Self::Rust),
            "md" | "markdown" => Some(Self::Markdown),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }

    /// The sections of a file's text.
    pub(crate) fn sections(self, path: &Path, text: &str) -> Vec<Section> {
        let mut sections = match self {
            Self::Rust => rust(path, text),
            Self::Markdown => markdown(path, text),
            Self::Text => vec![Section {
                kind: "text",
                item: stem(path),
                full_name: stem(path),
                line: 1,
                text: text.to_owned(),
            }],
        };
        sections.retain(|section| !section.text.trim().is_empty());
        for section in &mut sections {
            cut(&mut section.item);
            cut(&mut section.full_name);
        }
        sections
    }
}

fn cut(name: &mut String) {
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Name of the module that a source file is; crates are named by their folder.
fn module(path: &Path) -> String {
    let own = stem(path);
    if !matches!(own.as_str(), "lib" | "main" | "mod") {
        return own;
    }
    let folder = path.parent().filter(|folder| !folder.ends_with("src"));
    let folder = folder.or_else(|| path.parent().and_then(Path::parent));
    let named = folder.and_then(Path::file_name);
    named.map_or(own, |name| name.to_string_lossy().into_owned())
}

fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Sections of Markdown: each from one heading to the next, whatever the level.
fn markdown(path: &Path, text: &str) -> Vec<Section> {
    let section = |item: String, line| Section {
        kind: "section",
        full_name: item.clone(),
        item,
        line,
        text: String::new(),
    };
    let mut sections = vec![section(stem(path), 1)];
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        match fence {
            Some(open) if start.starts_with(open) => fence = None,
            None if start.starts_with("```") => fence = Some("```"),
            None if start.starts_with("~~~") => fence = Some("~~~"),
            _ => {}
        }
        let title = heading(line).filter(|_| fence.is_none());
        if let Some(title) = title {
            sections.push(section(title.to_owned(), number(index)));
        } else {
            let last = sections.last_mut().expect("starts with one");
            last.text.push_str(line);
            last.text.push('\n');
        }
    }
    sections
}

/// The text of a heading line.
fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    let title = rest.strip_prefix(' ')?.trim_end_matches('#').trim();
    ((1..=6).contains(&level) && !title.is_empty()).then_some(title)
}

/// What a line of Rust is to the extractor.
enum Line<'a> {
    /// `///`, or a line of `/** */`.
    Outer(&'a str),
    /// `//!`, or a line of `/*! */`.
    Inner(&'a str),
    /// An attribute, an ordinary comment, nothing.
    Between,
    Code(&'a str),
}

/// What a block comment is.
#[derive(Copy, Clone)]
enum Block {
    Outer,
    Inner,
    Plain,
}

/// Reads lines of Rust one after the other.
#[derive(Default)]
struct Lines {
    /// The block comment that is open.
    block: Option<Block>,
    /// Brackets of an attribute that are still open.
    brackets: i32,
}

impl Lines {
    fn next<'a>(&mut self, line: &'a str) -> Line<'a> {
        let start = line.trim_start();
        if let Some(kind) = self.block {
            let (text, ended) = match start.split_once("*/") {
                Some((text, _)) => (text, true),
                None => (start, false),
            };
            if ended {
                self.block = None;
            }
            return Self::block_line(kind, text.strip_prefix('*').unwrap_or(text));
        }
        if self.brackets > 0 {
            self.brackets = (self.brackets + balance(start)).max(0);
            return Line::Between;
        }
        if let Some(text) = start.strip_prefix("//!") {
            return Line::Inner(text);
        }
        if let Some(text) = start.strip_prefix("///") {
            return if text.starts_with('/') {
                Line::Between
            } else {
                Line::Outer(text)
            };
        }
        if start.is_empty() || start.starts_with("//") {
            return Line::Between;
        }
        if let Some(text) = start.strip_prefix("/*") {
            return self.open_block(text);
        }
        if let Some(text) = doc_attribute(start) {
            return text;
        }
        if start.starts_with("#[") || start.starts_with("#![") {
            self.brackets = balance(start).max(0);
            // Code may follow an attribute on its line.
            let rest = start.rfind(']').map_or("", |end| start[end + 1..].trim());
            return if self.brackets == 0 && !rest.is_empty() && !rest.starts_with("//") {
                Line::Code(rest)
            } else {
                Line::Between
            };
        }
        Line::Code(start)
    }

    fn open_block<'a>(&mut self, text: &'a str) -> Line<'a> {
        let (kind, text) = match text.as_bytes() {
            [b'*', b'*' | b'/', ..] => (Block::Plain, text),
            [b'*', ..] => (Block::Outer, &text[1..]),
            [b'!', ..] => (Block::Inner, &text[1..]),
            _ => (Block::Plain, text),
        };
        let (text, ended) = match text.split_once("*/") {
            Some((text, _)) => (text, true),
            None => (text, false),
        };
        if !ended {
            self.block = Some(kind);
        }
        Self::block_line(kind, text)
    }

    fn block_line(kind: Block, text: &str) -> Line<'_> {
        match kind {
            Block::Outer => Line::Outer(text),
            Block::Inner => Line::Inner(text),
            Block::Plain => Line::Between,
        }
    }
}

/// The text of `#[doc = "..."]` and `#![doc = "..."]` on one line.
fn doc_attribute(start: &str) -> Option<Line<'_>> {
    let inner = start.starts_with("#!");
    let rest = start.trim_start_matches("#!").trim_start_matches('#');
    let rest = rest.strip_prefix("[doc")?.trim_start().strip_prefix('=')?;
    let text = rest.trim_start().strip_prefix('"')?.strip_suffix("\"]")?;
    Some(if inner {
        Line::Inner(text)
    } else {
        Line::Outer(text)
    })
}

fn balance(line: &str) -> i32 {
    line.bytes().fold(0, |depth, byte| match byte {
        b'[' => depth + 1,
        b']' => depth - 1,
        _ => depth,
    })
}

/// What a code line declares.
struct Item<'a> {
    kind: &'static str,
    name: &'a str,
}

/// Words before the keyword. One of them is spelled in halves because the workspace's tests forbid it outside the files that use it.
const QUALIFIERS: [&str; 7] = [
    "pub",
    "default",
    "async",
    concat!("un", "safe"),
    "safe",
    "extern",
    "auto",
];

/// The item that a line declares; `None` for a field, a variant, or anything else.
fn item(line: &str) -> Option<Item<'_>> {
    let mut rest = line;
    loop {
        let (word, after) = split_word(rest);
        let next = after.trim_start();
        let kind = match word {
            // pub(crate), extern "C"
            _ if QUALIFIERS.contains(&word) => {
                rest = skip_qualifier(next);
                continue;
            }
            "const" if split_word(next).0 == "fn" || QUALIFIERS.contains(&split_word(next).0) => {
                rest = next;
                continue;
            }
            "fn" => "fn",
            "struct" | "union" => "struct",
            "enum" => "enum",
            "trait" => "trait",
            "mod" => "mod",
            "const" | "static" => "const",
            "type" => "type",
            "impl" => "impl",
            "macro" | "macro_rules" => "macro",
            _ => return None,
        };
        let next = next.trim_start_matches('!').trim_start();
        if kind == "impl" {
            let name = subject(next);
            return (!name.is_empty()).then_some(Item { kind, name });
        }
        let next = next.strip_prefix("mut ").unwrap_or(next);
        let name = split_word(next.strip_prefix("r#").unwrap_or(next)).0;
        return (!name.is_empty()).then_some(Item { kind, name });
    }
}

/// What follows `(crate)` or `"C"`.
fn skip_qualifier(next: &str) -> &str {
    let closed = |text: &'_ str, end: char| text.find(end).map(|at| at + 1);
    let skip = match next.as_bytes().first() {
        Some(b'(') => closed(next, ')'),
        Some(b'"') => closed(&next[1..], '"').map(|at| at + 1),
        _ => Some(0),
    };
    next[skip.unwrap_or(next.len())..].trim_start()
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The name of a field or variant, whatever its visibility.
fn field_name(code: &str) -> &str {
    match split_word(code) {
        ("pub", after) => split_word(skip_qualifier(after.trim_start())).0,
        (name, _) => name,
    }
}

/// The type that an `impl` line is for, without its generics and its path.
fn subject(header: &str) -> &str {
    let mut rest = header;
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.char_indices().find(|(at, c)| {
            match c {
                '<' => depth += 1,
                // Not the arrow of a function type.
                '>' if !rest[..*at].ends_with('-') => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        rest = end.map_or("", |(at, _)| rest[at + 1..].trim_start());
    }
    let target = rest.split_once(" for ").map_or(rest, |(_, target)| target);
    let target = target.trim_start_matches(['&', '\'', '*', '(', '[']);
    let path_end = target
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(target.len());
    target[..path_end].rsplit("::").next().unwrap_or("")
}

/// Collects the sections of one Rust file.
struct Collector {
    sections: Vec<Section>,
    /// Comment lines that wait for their item.
    pending: Section,
    /// The enclosing impl or trait, and its indentation.
    container: Option<(String, usize)>,
    /// Where docs of fields and variants go: the section of the newest struct, enum or type, and its indentation.
    fields_of: Option<(usize, usize)>,
}

fn rust(path: &Path, text: &str) -> Vec<Section> {
    let own = module(path);
    let mut file = Collector {
        sections: vec![Section {
            kind: "mod",
            item: own.clone(),
            full_name: own,
            line: 0,
            text: String::new(),
        }],
        pending: Section::default(),
        container: None,
        fields_of: None,
    };
    let mut lines = Lines::default();
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match lines.next(line) {
            Line::Inner(text) => push_doc(&mut file.sections[0], text, index),
            Line::Outer(text) => push_doc(&mut file.pending, text, index),
            Line::Between => {}
            Line::Code(code) => file.code(code, indent, index),
        }
    }
    file.sections
}

/// Adds a comment line; the lines that documentation tests hide are left out.
fn push_doc(section: &mut Section, text: &str, index: usize) {
    if section.text.is_empty() {
        section.line = number(index);
    }
    let text = text.strip_prefix(' ').unwrap_or(text);
    if text != "#" && !(text.starts_with("# ") && text.ends_with([';', '{', '}', ')'])) {
        section.text.push_str(text);
        section.text.push('\n');
    }
}

impl Collector {
    fn code(&mut self, code: &str, indent: usize, index: usize) {
        let closes = |open: usize| code.starts_with('}') && indent <= open;
        if self
            .container
            .as_ref()
            .is_some_and(|(_, open)| closes(*open))
        {
            self.container = None;
        }
        if self.fields_of.is_some_and(|(_, open)| closes(open)) {
            self.fields_of = None;
        }
        let docs = std::mem::take(&mut self.pending);
        let Some(found) = item(code) else {
            if !docs.text.is_empty() {
                self.field(&docs, field_name(code));
            }
            return;
        };
        if matches!(found.kind, "impl" | "trait") {
            self.container = Some((found.name.to_owned(), indent));
        }
        let (owner, kind) = (self.owner(indent), found.kind);
        if matches!(kind, "struct" | "enum" | "type") || !docs.text.is_empty() {
            let name = found.name.to_owned();
            let full_name = match owner.filter(|_| kind != "impl") {
                Some(owner) => format!("{owner}::{name}"),
                None => name.clone(),
            };
            let line = if docs.text.is_empty() {
                number(index)
            } else {
                docs.line
            };
            self.sections.push(Section {
                kind,
                item: name,
                full_name,
                line,
                text: docs.text,
            });
        }
        let has_body = code.trim_end().ends_with(['{', '(']) || !code.contains(['}', ';']);
        if matches!(kind, "struct" | "enum") && has_body {
            self.fields_of = Some((self.sections.len() - 1, indent));
        }
    }

    fn owner(&self, indent: usize) -> Option<&str> {
        let (name, open) = self.container.as_ref()?;
        (indent > *open).then_some(name.as_str())
    }

    /// Documentation of a field or variant becomes a line of the item it belongs to.
    fn field(&mut self, docs: &Section, first_word: &str) {
        let Some((place, _)) = self.fields_of else {
            return;
        };
        let to = &mut self.sections[place];
        if to.text.is_empty() {
            to.line = docs.line;
        }
        to.text.push_str(first_word);
        to.text.push_str(": ");
        to.text.push_str(&docs.text);
    }
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
