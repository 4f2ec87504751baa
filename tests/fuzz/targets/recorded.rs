#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nephron_engine::fuzz::recorded(data));
