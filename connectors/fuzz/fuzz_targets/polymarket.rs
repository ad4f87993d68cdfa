#![no_main]

use tickwire_connectors::polymarket::differential;

libfuzzer_sys::fuzz_target!(|data: &[u8]| differential::check(data));
