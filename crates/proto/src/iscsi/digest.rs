//! CRC32C digests. Spec: RFC 7143 §13.1.

/// Length of a digest on the wire.
pub const DIGEST_BYTES: usize = 4;

/// A digest over bytes that arrive in pieces.
#[derive(Debug, Clone, Copy, Default)]
pub struct Digest(u32);

impl Digest {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The four bytes on the wire, least significant first.
    pub fn to_wire(self) -> [u8; DIGEST_BYTES] {
        self.0.to_le_bytes()
    }
}

/// The digest of `parts`, one after another.
pub fn of(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut digest = Digest::default();
    for part in parts {
        digest.update(part);
    }
    digest.to_wire()
}

#[cfg(test)]
mod tests {
    use super::{Digest, of};

    #[test]
    fn standard_examples() {
        // RFC 7143 appendix (CRC examples): 32 bytes of zeroes, 32 bytes of ones.
        assert_eq!(of(&[&[0; 32]]), [0xAA, 0x36, 0x91, 0x8A]);
        assert_eq!(of(&[&[0xFF; 32]]), [0x43, 0xAB, 0xA8, 0x62]);
    }

    #[test]
    fn pieces_equal_the_whole() {
        let bytes: Vec<u8> = (0..100).collect();
        let (head, tail) = bytes.split_at(37);
        let mut pieces = Digest::default();
        pieces.update(head);
        pieces.update(tail);
        assert_eq!(pieces.to_wire(), of(&[&bytes]));
    }
}
