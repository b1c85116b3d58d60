//! See `bodies::recovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::recovery::run(data));
