//! See `bodies::kinesis`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::kinesis::run(data));
