//! The vectors that the codecs share (`tests/vectors/iscsi`), read by this one.

#[cfg(test)]
#[path = "../examples/describe_pdu/fields.rs"]
mod fields;

#[cfg(test)]
mod vectors {
    use super::fields;
    use fairlead_proto::iscsi::bhs::Bhs;
    use fairlead_proto::iscsi::digest;
    use fairlead_proto::iscsi::reader::{Reader, Step, Violation};
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use toml::{Table, Value};
    use zerocopy::{FromBytes, IntoBytes};

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/iscsi")
    }

    #[expect(clippy::disallowed_methods, reason = "a test reads its vectors")]
    fn load(name: &str) -> Table {
        let bytes = std::fs::read(folder().join(name)).expect("the vectors are there");
        String::from_utf8(bytes).expect("UTF-8").parse().expect("TOML")
    }

    fn cases(file: &Table) -> impl Iterator<Item = &Table> {
        file["case"].as_array().expect("cases").iter().map(|case| case.as_table().expect("table"))
    }

    fn text<'t>(case: &'t Table, key: &str) -> &'t str {
        case[key].as_str().expect("a string")
    }

    fn unhex(text: &str) -> Vec<u8> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
        let digits: Vec<u8> =
            lines.flat_map(str::bytes).filter(|byte| !byte.is_ascii_whitespace()).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|digits| pair(digits).expect("hex")).collect()
    }

    /// The only PDU in `bytes`, cut out by the reader.
    fn cut(case: &Table, bytes: &[u8]) -> ([u8; 48], Vec<u8>) {
        let has = |key: &str| case.get(key).and_then(Value::as_bool).unwrap_or(false);
        let mut reader = Reader::new(has("header_digest"), has("data_digest"), 0xFF_FFFF);
        let (mut input, mut header, mut data) = (bytes, [0; 48], Vec::new());
        loop {
            match reader.step(&mut input) {
                Some(Step::Header(bhs)) => header.copy_from_slice(bhs.as_bytes()),
                Some(Step::Data(bytes)) => data.extend_from_slice(bytes),
                Some(Step::End { intact }) => {
                    assert!(intact && input.is_empty());
                    return (header, data);
                }
                other => panic!("{}: {other:?}", text(case, "name")),
            }
        }
    }

    fn as_text(value: &Value) -> String {
        match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            other => panic!("no field is {other:?}"),
        }
    }

    fn compare(case: &Table, found: &[(&str, String)]) {
        for (name, value) in case["fields"].as_table().expect("fields") {
            // What the AHS carries is not read here: the reader passes over it.
            let carries_ahs = name == "bidirectional_read_bytes";
            let Some((_, found)) = found.iter().find(|(field, _)| field == name) else {
                assert!(carries_ahs, "{}: no field {name}", text(case, "name"));
                continue;
            };
            let wanted = as_text(value);
            let wanted = if name == "cdb" { &wanted[..32] } else { &wanted };
            assert_eq!(found, wanted, "{}: {name}", text(case, "name"));
        }
    }

    #[test]
    fn every_pdu_field_by_field() {
        let mut seen = BTreeSet::new();
        let files = [
            "async_message",
            "data_in",
            "data_out",
            "login_request",
            "login_response",
            "logout_request",
            "logout_response",
            "nop_in",
            "nop_out",
            "r2t",
            "reject",
            "scsi_command",
            "scsi_response",
            "snack_request",
            "task_management_request",
            "task_management_response",
            "text_request",
            "text_response",
        ];
        for name in files {
            let file = load(&format!("{name}.toml"));
            for case in cases(&file) {
                let (header, data) = cut(case, &unhex(text(case, "bytes")));
                let (pdu, mut found) = fields::describe(&header).expect("a known PDU");
                assert_eq!(pdu, text(&file, "pdu"));
                found.push(("data", fields::hex(&data)));
                compare(case, &found);
                seen.insert(pdu);
            }
        }
        assert_eq!(seen.len(), files.len(), "each type has a case");
    }

    /// What all PDUs share.
    fn describe_bhs(header: &[u8; 48]) -> Vec<(&'static str, String)> {
        let bhs = Bhs::read_from_bytes(header).expect("48 bytes");
        let specific_20 = bhs.as_bytes().split_at(20).1;
        vec![
            ("opcode", bhs.opcode().to_string()),
            ("immediate", bhs.is_immediate().to_string()),
            ("flags", bhs.flags.to_string()),
            ("specific_2", fields::hex(&bhs.specific)),
            ("ahs_words", (bhs.ahs_bytes() / 4).to_string()),
            ("data_segment_bytes", bhs.data_segment_bytes().to_string()),
            ("lun_field", fields::hex(bhs.lun.as_bytes())),
            ("initiator_task_tag", bhs.initiator_task_tag.get().to_string()),
            ("specific_20", fields::hex(specific_20)),
        ]
    }

    #[test]
    fn basic_header_segments() {
        for case in cases(&load("bhs.toml")) {
            let header: [u8; 48] = unhex(text(case, "bytes")).try_into().expect("48 bytes");
            compare(case, &describe_bhs(&header));
        }
    }

    #[test]
    fn digests() {
        for case in cases(&load("crc32c.toml")) {
            let data = unhex(text(case, "data"));
            assert_eq!(digest::of(&[&data]).to_vec(), unhex(text(case, "digest")));
        }
    }

    /// Of what a reader must refuse, this one refuses what it cannot follow; the rest is the
    /// connection's to reject, or lies in an AHS, which is passed over.
    #[test]
    fn segments_above_the_limit() {
        let mut refused = 0;
        for case in cases(&load("malformed.toml")) {
            let limit = case["limit"].as_integer().and_then(|limit| u32::try_from(limit).ok());
            let limit = limit.expect("a limit");
            let bytes = unhex(text(case, "bytes"));
            let announced = u32::from_be_bytes([0, bytes[5], bytes[6], bytes[7]]);
            let step = Reader::new(false, false, limit).step(&mut bytes.as_slice());
            let is_refused = matches!(step, Some(Step::Broken(Violation::DataSegmentTooLong(..))));
            assert_eq!(is_refused, announced > limit, "{}", text(case, "name"));
            refused += usize::from(is_refused);
        }
        assert!(refused > 0, "there is a case");
    }
}
