#![no_main]
libfuzzer_sys::fuzz_target!(init: omniid_fuzz::set_up(), |bytes: &[u8]| omniid_fuzz::configs::run(bytes));
