//! Any text as a filter, any JSON object as metadata: no panic, and the same answer twice.
#![no_main]

use upvector::Metadata;
use upvector::filter::Filter;

libfuzzer_sys::fuzz_target!(|input: (&str, &[u8])| {
    let (text, json) = input;
    let metadata = Metadata::from_json(json).ok();
    if let Some(metadata) = &metadata {
        assert_eq!(Metadata::from_bytes(metadata.as_bytes()).as_ref().ok(), Some(metadata));
    }
    if let Ok(filter) = Filter::parse(text) {
        let first = filter.matches(metadata.as_ref());
        assert_eq!(filter.matches(metadata.as_ref()), first);
    }
});
