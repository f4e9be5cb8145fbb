//! `DUMP` payloads: the body is fuzzed behind a footer that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(ours) = upkv::transcode_body(bytes) {
        assert_eq!(
            upkv::transcode(&ours),
            Some(ours),
            "what is written reads back"
        );
    }
});
