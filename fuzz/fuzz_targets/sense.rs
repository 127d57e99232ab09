//! Sense data: what is understood is written back with the same meaning.
#![no_main]

use fairlead_proto::scsi::{lun, sense::Sense};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(sense) = Sense::decode(input) {
        assert_eq!(Sense::decode(&sense.encode()), Some(sense));
    }
    if let Some(field) = input.first_chunk() {
        let field = u64::from_be_bytes(*field);
        assert!(lun::decode(field).is_none_or(|number| number < 1 << 14));
    }
});
