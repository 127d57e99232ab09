//! The 8-byte LUN field. Spec: SAM-5, logical unit numbers, single level.

/// Decodes a single-level LUN (peripheral or flat addressing); `None` for every other form.
pub fn decode(field: u64) -> Option<u16> {
    let [first, second, rest @ ..] = field.to_be_bytes();
    if rest != [0; 6] {
        return None;
    }
    match first >> 6 {
        // Peripheral device addressing: bus 0 only.
        0 if first == 0 => Some(u16::from(second)),
        // Flat space addressing: 14 bits.
        1 => Some(u16::from(first & 0x3F) << 8 | u16::from(second)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn peripheral_and_flat_addressing_name_the_same_unit() {
        assert_eq!(decode(0x0007_0000_0000_0000), Some(7));
        assert_eq!(decode(0x4007_0000_0000_0000), Some(7));
        assert_eq!(decode(0x7FFF_0000_0000_0000), Some(0x3FFF));
    }

    #[test]
    fn other_forms_name_nothing() {
        assert_eq!(decode(0x0107_0000_0000_0000), None, "bus 1");
        assert_eq!(decode(0x0007_0001_0000_0000), None, "second level");
        assert_eq!(decode(0xC101_0000_0000_0000), None, "well known unit");
    }
}
