//! The whole full-feature phase: the input steers an initiator and a host.
//!
//! The model is that of the property test `connection_properties`; it asserts what must hold.
#![no_main]

#[path = "../../crates/proto/tests/model/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the property tests use more of it")]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| model::run(input));
