//! The command reference is what the command table says; `UP_BLESS=1` rewrites it, with the feature `lua`.

use std::fmt::Write;

const START: &str = "<!-- commands -->\n";
const END: &str = "<!-- end of commands -->\n";

fn table() -> String {
    let mut text = String::new();
    let mut rows: Vec<_> = upkv::commands().collect();
    rows.sort_by_key(|row| (row.group, row.name));
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            let title = &group[..1].to_ascii_uppercase();
            write!(text, "\n## {title}{}\n\n", &group[1..].replace('-', " ")).expect("a string");
            text.push_str("| command | since | what it does | complexity |\n|---|---|---|---|\n");
        }
        let name = row.name.to_ascii_uppercase().replace('|', " ");
        writeln!(
            text,
            "| {name} | {} | {} | {} |",
            row.since, row.summary, row.complexity
        )
        .expect("a string");
    }
    text
}

#[test]
fn the_reference_lists_the_command_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
    let text = std::fs::read_to_string(path).expect("the reference exists");
    let start = text.find(START).expect("a start marker") + START.len();
    let end = text.find(END).expect("an end marker");
    // The reference has all commands, so only a build with all can write it.
    if cfg!(feature = "lua") && std::env::var_os("UP_BLESS").is_some() {
        let new = format!("{}{}\n{}", &text[..start], table(), &text[end..]);
        std::fs::write(path, new).expect("the reference is writable");
        return;
    }
    let mut written = text[start..end].to_string();
    if !cfg!(feature = "lua") {
        let scripts = written.find("## Scripting").expect("a chapter");
        let next = written[scripts + 2..].find("\n## ").expect("another one");
        let end = scripts + 2 + next;
        written.replace_range(scripts..=end, "");
    }
    assert_eq!(
        written.trim(),
        table().trim(),
        "run the test with UP_BLESS=1 and the feature `lua` to bring the reference up to date"
    );
}
