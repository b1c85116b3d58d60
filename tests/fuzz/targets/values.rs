//! See `bodies::values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::values::run(data));
