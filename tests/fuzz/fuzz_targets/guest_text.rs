#![no_main]

#[path = "../../src/untrusted.rs"]
#[allow(dead_code, reason = "each target calls one function of it")]
mod untrusted;

libfuzzer_sys::fuzz_target!(|text: &str| untrusted::guest_text(text));
