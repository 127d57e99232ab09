//! Additional header segments. Spec: RFC 7143 §11.2.2.

/// Follows additional header segments by their lengths, and keeps an extended CDB. Nothing else in
/// them is of use here (no command reads and writes), but they must fit. Spec: RFC 7143 §11.2.2.
#[derive(Debug, Default)]
pub(super) struct AhsChain {
    header: [u8; 3],
    filled: usize,
    /// Of the segment and its padding, behind its header.
    left: usize,
    /// Of the segment's own bytes.
    own_left: usize,
    extended_cdb: ExtendedCdb,
}

/// Bytes of a CDB behind the first 16. Spec: RFC 7143 §11.2.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtendedCdb {
    /// The first of them, zeroes behind the end.
    pub bytes: [u8; EXTENDED_CDB_BYTES],
    /// How many there are; more than [`EXTENDED_CDB_BYTES`]: those behind were thrown away.
    pub length: u16,
}

/// No command of any command set is longer than 32 bytes, but for those with a list in their CDB.
pub const EXTENDED_CDB_BYTES: usize = 16;
const EXTENDED_CDB: u8 = 1;

impl AhsChain {
    /// The next bytes of the additional header segments.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.left > 0 {
                self.left -= 1;
                self.content(*byte);
                continue;
            }
            if let Some(place) = self.header.get_mut(self.filled) {
                *place = *byte;
            }
            self.filled += 1;
            if self.filled == self.header.len() {
                let [high, low, _] = self.header;
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.left = (self.header.len() + length).next_multiple_of(4) - self.header.len();
                self.own_left = length;
                self.filled = 0;
            }
        }
    }

    /// What was kept.
    pub(super) fn extended_cdb(&self) -> ExtendedCdb {
        self.extended_cdb
    }

    /// A byte behind a segment's header.
    fn content(&mut self, byte: u8) {
        let [high, low, kind] = self.header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        // The first byte of an extended CDB's segment is reserved, the last ones are padding.
        let is_cdb = kind == EXTENDED_CDB && self.own_left > 0 && self.own_left < length;
        self.own_left = self.own_left.saturating_sub(1);
        if is_cdb {
            let cdb = &mut self.extended_cdb;
            if let Some(place) = cdb.bytes.get_mut(usize::from(cdb.length)) {
                *place = byte;
            }
            cdb.length = cdb.length.saturating_add(1);
        }
    }

    /// The last segment has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.filled == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{AhsChain, EXTENDED_CDB, ExtendedCdb};

    fn cdb_of(kind: u8, extra: &[u8]) -> ExtendedCdb {
        let mut segment = u16::try_from(extra.len() + 1).unwrap().to_be_bytes().to_vec();
        segment.extend([kind, 0xEE]);
        segment.extend(extra);
        segment.resize(segment.len().next_multiple_of(4), 0xDD);
        let mut chain = AhsChain::default();
        // As it comes: in parts.
        segment.chunks(3).for_each(|part| chain.follow(part));
        assert!(chain.is_whole());
        chain.extended_cdb()
    }

    #[test]
    fn an_extended_cdb_is_kept_without_its_reserved_byte_and_padding() {
        assert_eq!(cdb_of(EXTENDED_CDB, &[7; 16]), ExtendedCdb { bytes: [7; 16], length: 16 });
        let short = cdb_of(EXTENDED_CDB, &[1, 2]);
        assert_eq!((short.length, short.bytes[..3].to_vec()), (2, vec![1, 2, 0]));
        assert_eq!(cdb_of(EXTENDED_CDB, &[7; 100]), ExtendedCdb { bytes: [7; 16], length: 100 });
    }

    #[test]
    fn other_segments_are_passed_over() {
        assert_eq!(cdb_of(2, &[7; 4]), ExtendedCdb::default());
    }
}
