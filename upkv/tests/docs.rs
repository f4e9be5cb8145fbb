//! The command reference names every command of the table, and no other.

#[test]
fn the_reference_lists_the_command_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
    let text = std::fs::read_to_string(path).expect("the reference exists");
    let rows: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| {
            let mut cells = line.split(" | ");
            Some((
                cells.next()?.to_ascii_lowercase(),
                cells.next()?.to_string(),
            ))
        })
        .filter(|(name, _)| name != "command" || text.contains("| COMMAND |"))
        .filter(|(_, summary)| summary != "what it does")
        .collect();
    let expected: Vec<(String, String)> = upkv::commands()
        .map(|info| (info.name.into(), info.summary.into()))
        .collect();
    assert_eq!(rows, expected);
}
