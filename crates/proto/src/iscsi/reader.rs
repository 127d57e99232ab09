//! Cuts PDUs out of the byte stream. Spec: RFC 7143 §11.2.
//!
//! The reader owns no data: the bytes of a data segment are handed on as they arrive, and a caller
//! may receive them straight into their place instead ([`Reader::due_bytes`],
//! [`Reader::received_in_place`]).

use super::ahs::{AhsChain, ExtendedCdb};
use super::bhs::{BHS_BYTES, Bhs, padding_bytes};
use super::digest::{DIGEST_BYTES, Digest};
use zerocopy::FromBytes;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Bhs,
    Ahs { left: usize },
    HeaderDigest,
    Data { left: u32 },
    Padding { left: u32 },
    DataDigest,
}

/// One step through the stream.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A header is complete; data, if it has any, follows.
    Header(Bhs),
    /// Bytes of the data segment.
    Data(&'a [u8]),
    /// The PDU is complete.
    End {
        /// False: its data digest does not match.
        intact: bool,
    },
    /// The stream can no longer be followed.
    Broken(Violation),
}

/// What breaks a connection at error recovery level 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The header digest does not match: the length of the PDU is unknown.
    HeaderDigest,
    /// A data segment above MaxRecvDataSegmentLength: `(announced, limit)`.
    DataSegmentTooLong(u32, u32),
    /// What only error recovery above level 0 could mend, or nothing could: a wrong sequence or
    /// offset, a command that came damaged, a peer that does not read its answers.
    Sequence(&'static str),
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HeaderDigest => write!(f, "header digest does not match"),
            Self::DataSegmentTooLong(bytes, limit) => {
                write!(f, "data segment of {bytes} bytes, limit {limit}")
            }
            Self::Sequence(what) => write!(f, "{what}"),
        }
    }
}

/// The state between two reads.
#[derive(Debug)]
pub struct Reader {
    stage: Stage,
    scratch: [u8; BHS_BYTES],
    filled: usize,
    header: Bhs,
    digest: Digest,
    has_header_digest: bool,
    has_data_digest: bool,
    data_segment_bytes_max: u32,
    ahs: AhsChain,
    /// Part of the data segment was not seen: its digest cannot be checked.
    is_blind: bool,
}

impl Reader {
    /// A reader at the start of a PDU.
    pub fn new(header_digest: bool, data_digest: bool, data_segment_bytes_max: u32) -> Self {
        Self {
            stage: Stage::Bhs,
            scratch: [0; BHS_BYTES],
            filled: 0,
            header: Bhs::zeroed(),
            digest: Digest::default(),
            has_header_digest: header_digest,
            has_data_digest: data_digest,
            data_segment_bytes_max,
            ahs: AhsChain::default(),
            is_blind: false,
        }
    }

    /// Changes the largest data segment accepted (renegotiated by Text).
    pub fn set_data_segment_bytes_max(&mut self, bytes: u32) {
        self.data_segment_bytes_max = bytes;
    }

    /// What the additional header segments of the last header brought.
    pub fn extended_cdb(&self) -> ExtendedCdb {
        self.ahs.extended_cdb()
    }

    /// Bytes of the current data segment that are still to come.
    pub fn due_bytes(&self) -> u32 {
        match self.stage {
            Stage::Data { left } => left,
            _ => 0,
        }
    }

    /// Tells that these bytes of the data segment were received in place.
    pub fn received_in_place(&mut self, bytes: &[u8]) {
        if let Stage::Data { left } = self.stage {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(left);
            if self.has_data_digest {
                self.digest.update(bytes);
            }
            self.stage = self.after_data(left - length);
        }
    }

    /// Tells that this many bytes of the data segment were received where nobody needs them; the
    /// digest of a segment with such bytes counts as intact.
    pub fn skip_in_place(&mut self, bytes: u32) {
        if let Stage::Data { left } = self.stage {
            self.is_blind = true;
            self.stage = self.after_data(left - bytes.min(left));
        }
    }

    /// Consumes from `input` up to the next step; `None`: more bytes are needed.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Option<Step<'a>> {
        loop {
            match self.stage {
                Stage::Bhs => {
                    self.fill(input, BHS_BYTES)?;
                    self.header = Bhs::read_from_bytes(&self.scratch).unwrap_or(Bhs::zeroed());
                    if self.has_header_digest {
                        self.digest = Digest::default();
                        self.digest.update(&self.scratch);
                    }
                    self.ahs = AhsChain::default();
                    self.stage = match self.header.ahs_bytes() {
                        0 if self.has_header_digest => Stage::HeaderDigest,
                        0 => return Some(self.header_complete()),
                        left => Stage::Ahs { left },
                    };
                }
                Stage::Ahs { left } => {
                    let taken = take(input, left)?;
                    if self.has_header_digest {
                        self.digest.update(taken);
                    }
                    self.ahs.follow(taken);
                    let left = left - taken.len();
                    self.stage = match left {
                        0 if !self.ahs.is_whole() => {
                            let what = "additional header segments longer than TotalAHSLength";
                            return Some(Step::Broken(Violation::Sequence(what)));
                        }
                        0 if self.has_header_digest => Stage::HeaderDigest,
                        0 => return Some(self.header_complete()),
                        left => Stage::Ahs { left },
                    };
                }
                Stage::HeaderDigest => {
                    if !self.fill_and_match_digest(input)? {
                        return Some(Step::Broken(Violation::HeaderDigest));
                    }
                    return Some(self.header_complete());
                }
                Stage::Data { left: 0 } => self.stage = self.after_data(0),
                Stage::Data { left } => {
                    let taken = take(input, left as usize)?;
                    if self.has_data_digest {
                        self.digest.update(taken);
                    }
                    let length = u32::try_from(taken.len()).unwrap_or(left);
                    self.stage = self.after_data(left - length);
                    return Some(Step::Data(taken));
                }
                Stage::Padding { left: 0 } => {
                    if !self.has_data_digest || self.header.data_segment_bytes() == 0 {
                        self.stage = Stage::Bhs;
                        return Some(Step::End { intact: true });
                    }
                    self.stage = Stage::DataDigest;
                }
                Stage::Padding { left } => {
                    let taken = take(input, left as usize)?;
                    if self.has_data_digest {
                        self.digest.update(taken);
                    }
                    let length = u32::try_from(taken.len()).unwrap_or(left);
                    self.stage = Stage::Padding { left: left - length };
                }
                Stage::DataDigest => {
                    let intact = self.fill_and_match_digest(input)? || self.is_blind;
                    self.stage = Stage::Bhs;
                    return Some(Step::End { intact });
                }
            }
        }
    }

    fn after_data(&self, left: u32) -> Stage {
        match left {
            0 => Stage::Padding { left: padding_bytes(self.header.data_segment_bytes()) },
            left => Stage::Data { left },
        }
    }

    fn header_complete<'a>(&mut self) -> Step<'a> {
        let length = self.header.data_segment_bytes();
        if length > self.data_segment_bytes_max {
            return Step::Broken(Violation::DataSegmentTooLong(
                length,
                self.data_segment_bytes_max,
            ));
        }
        self.digest = Digest::default();
        self.is_blind = false;
        self.stage = Stage::Data { left: length };
        Step::Header(self.header)
    }

    fn fill(&mut self, input: &mut &[u8], want: usize) -> Option<()> {
        while self.filled < want {
            let taken = take(input, want - self.filled)?;
            let room = self.scratch.get_mut(self.filled..self.filled + taken.len())?;
            room.copy_from_slice(taken);
            self.filled += taken.len();
        }
        self.filled = 0;
        Some(())
    }

    fn fill_and_match_digest(&mut self, input: &mut &[u8]) -> Option<bool> {
        self.fill(input, DIGEST_BYTES)?;
        Some(self.scratch.first_chunk() == Some(&self.digest.to_wire()))
    }
}

/// Up to `most` bytes off the front; `None` when there are none.
fn take<'a>(input: &mut &'a [u8], most: usize) -> Option<&'a [u8]> {
    if input.is_empty() {
        return None;
    }
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::{Reader, Step, Violation};
    use crate::iscsi::digest;

    fn pdu(header_digest: bool, data_digest: bool) -> Vec<u8> {
        let mut header = [0_u8; 48];
        header[0] = 0x00;
        header[4] = 1; // One word of AHS.
        header[7] = 5; // Five bytes of data.
        let ahs = [0, 1, 0x80, 0];
        let mut bytes = [&header[..], &ahs].concat();
        if header_digest {
            bytes.extend(digest::of(&[&header, &ahs]));
        }
        let data = b"hello\0\0\0";
        bytes.extend(data);
        if data_digest {
            bytes.extend(digest::of(&[data]));
        }
        bytes
    }

    fn collect(reader: &mut Reader, mut input: &[u8]) -> (usize, Vec<u8>, Vec<bool>) {
        let (mut headers, mut data, mut ends) = (0, Vec::new(), Vec::new());
        while let Some(step) = reader.step(&mut input) {
            match step {
                Step::Header(_) => headers += 1,
                Step::Data(bytes) => data.extend(bytes),
                Step::End { intact } => ends.push(intact),
                Step::Broken(violation) => panic!("{violation}"),
            }
        }
        (headers, data, ends)
    }

    #[test]
    fn every_digest_combination_byte_by_byte_and_at_once() {
        for (header, data) in [(false, false), (true, false), (false, true), (true, true)] {
            let bytes = pdu(header, data).repeat(2);
            let whole = collect(&mut Reader::new(header, data, 100), &bytes);
            assert_eq!(whole, (2, b"hellohello".to_vec(), vec![true, true]));
            let mut reader = Reader::new(header, data, 100);
            let mut total = (0, Vec::new(), Vec::new());
            for byte in &bytes {
                let (headers, data, ends) = collect(&mut reader, std::slice::from_ref(byte));
                total.0 += headers;
                total.1.extend(data);
                total.2.extend(ends);
            }
            assert_eq!(total, whole);
        }
    }

    #[test]
    fn a_wrong_data_digest_is_told_and_the_stream_goes_on() {
        let mut bytes = pdu(false, true);
        *bytes.last_mut().expect("not empty") ^= 1;
        bytes.extend(pdu(false, true));
        let (_, _, ends) = collect(&mut Reader::new(false, true, 100), &bytes);
        assert_eq!(ends, [false, true]);
    }

    #[test]
    fn additional_header_segments_have_to_fit() {
        let mut bytes = pdu(false, false);
        bytes[48..52].copy_from_slice(&[0xFF, 0xFF, 1, 0]);
        let step = Reader::new(false, false, 100).step(&mut &bytes[..]);
        assert!(matches!(step, Some(Step::Broken(Violation::Sequence(_)))));
    }

    #[test]
    fn a_wrong_header_digest_breaks_the_stream() {
        let mut bytes = pdu(true, false);
        bytes[20] ^= 1;
        let step = Reader::new(true, false, 100).step(&mut &bytes[..]);
        assert!(matches!(step, Some(Step::Broken(Violation::HeaderDigest))));
    }

    #[test]
    fn a_data_segment_above_the_limit_is_refused_before_it_arrives() {
        let bytes = pdu(false, false);
        let step = Reader::new(false, false, 4).step(&mut &bytes[..52]);
        assert!(matches!(step, Some(Step::Broken(Violation::DataSegmentTooLong(5, 4)))));
    }

    #[test]
    fn data_that_was_skipped_cannot_fail_its_digest() {
        let bytes = pdu(false, true).repeat(2);
        let mut reader = Reader::new(false, true, 100);
        assert_eq!(collect(&mut reader, &bytes[..54]).1, b"he");
        reader.skip_in_place(3);
        assert_eq!(collect(&mut reader, &bytes[57..]).2, [true, true]);
        let mut damaged = pdu(false, true);
        damaged[52] ^= 1;
        assert_eq!(collect(&mut reader, &damaged).2, [false], "the next one can");
    }

    #[test]
    fn data_received_in_place_counts_towards_the_digest() {
        let bytes = pdu(false, true);
        let (head, rest) = bytes.split_at(52);
        let (data, tail) = rest.split_at(5);
        let mut reader = Reader::new(false, true, 100);
        assert_eq!(collect(&mut reader, head).0, 1);
        assert_eq!(reader.due_bytes(), 5);
        reader.received_in_place(data);
        assert_eq!(collect(&mut reader, tail).2, [true]);
    }
}
