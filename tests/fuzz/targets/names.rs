//! See `bodies::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::names::run(data));
