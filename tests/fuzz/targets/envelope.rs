//! See `bodies::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::envelope::run(data));
