#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| anthropic::fuzz::anthropic(data));
