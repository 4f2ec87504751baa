#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nephron_gateway::fuzz::stream(data));
