//! Any text as a filter, and any JSON object to try it on: no panic, and a filter in parentheses means the same.
#![no_main]

use upvector::Metadata;
use upvector::filter::Filter;

libfuzzer_sys::fuzz_target!(|input: (&str, &[u8])| {
    let (text, json) = input;
    let Ok(filter) = Filter::parse(text) else {
        return;
    };
    let metadata = Metadata::from_json(json).ok();
    let found = filter.matches(metadata.as_ref());
    if !filter.is_empty()
        && let Ok(grouped) = Filter::parse(&format!("({text})"))
    {
        assert_eq!(grouped.matches(metadata.as_ref()), found);
    }
});
