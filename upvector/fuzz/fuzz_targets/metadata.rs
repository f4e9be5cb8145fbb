//! Any bytes as metadata, in the binary form and as JSON: no panic, and what is read has one binary form.
#![no_main]

use upvector::Metadata;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(metadata) = Metadata::from_bytes(bytes) {
        let again = Metadata::try_from(metadata.to_value()).expect("metadata are an object");
        assert_eq!(again.as_bytes(), bytes);
    }
    if let Ok(metadata) = Metadata::from_json(bytes) {
        let again = Metadata::from_bytes(metadata.as_bytes()).expect("metadata are well-formed");
        assert_eq!(again, metadata);
        // The text may be longer than it was: 1e15 is written out.
        let again = Metadata::from_json_within(&metadata.to_json(), usize::MAX);
        assert_eq!(again.ok(), Some(metadata));
    }
});
