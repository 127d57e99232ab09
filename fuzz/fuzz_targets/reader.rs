//! The reader: whatever comes, cut anywhere, gives the same steps.
//!
//! Input: one byte of settings, one byte of piece length, then the stream.
#![no_main]

use fairlead_proto::iscsi::reader::{Reader, Step};
use libfuzzer_sys::fuzz_target;
use std::fmt::Write;

const LIMIT_BYTES: u32 = 8192;

fn read(settings: u8, stream: &[u8], piece_bytes: usize) -> String {
    let mut reader = Reader::new(settings & 1 != 0, settings & 2 != 0, LIMIT_BYTES);
    let (mut log, mut data) = (String::new(), 0);
    for mut piece in stream.chunks(piece_bytes) {
        while let Some(step) = reader.step(&mut piece) {
            assert!(reader.due_bytes() <= LIMIT_BYTES);
            match step {
                Step::Header(bhs) => {
                    assert!(bhs.data_segment_bytes() <= LIMIT_BYTES);
                    write!(log, "{bhs:?}").expect("a string");
                }
                Step::Data(bytes) => data += bytes.len(),
                Step::End { intact } => {
                    write!(log, "{} {intact};", std::mem::take(&mut data)).expect("a string");
                }
                Step::Broken(violation) => return log + &violation.to_string(),
            }
        }
        assert!(piece.is_empty());
    }
    log
}

fuzz_target!(|input: &[u8]| {
    let [settings, piece, stream @ ..] = input else { return };
    let whole = read(*settings, stream, stream.len().max(1));
    assert_eq!(read(*settings, stream, usize::from(*piece) + 1), whole);
});
