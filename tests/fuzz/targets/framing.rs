#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nephron_sdk::fuzz::framing(data));
