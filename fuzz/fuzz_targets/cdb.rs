//! CDB parsing by a command table that the input makes up.
//!
//! Input: the number of rows, 16 bytes for each, then the size of the unit and CDBs.
#![no_main]

use fairlead_proto::scsi::table::{Access, CommandTable, Execution, Field, Row, ZeroLength};
use libfuzzer_sys::fuzz_target;

fn field(offset: u8, bytes: u8) -> Option<Field> {
    let mask = if bytes & 0x10 == 0 { u64::MAX } else { 0x1F_FFFF };
    (bytes & 0x80 == 0).then_some(Field { offset, bytes: bytes & 0x0F, mask })
}

fn row(bytes: &[u8]) -> Row {
    Row {
        opcode: bytes[0] & 0x0F,
        service_action: (bytes[1] & 0x80 != 0).then_some(bytes[1] & 0x1F),
        execution: Execution::Read,
        lba: field(bytes[2], bytes[3]),
        length: field(bytes[4], bytes[5]),
        allocation: field(bytes[6], bytes[7]),
        zero_length: match bytes[8] % 3 {
            0 => ZeroLength::Nothing,
            1 => ZeroLength::Blocks256,
            _ => ZeroLength::ToTheEnd,
        },
        refused: vec![bytes[9]; usize::from(bytes[10])],
        has_fua: bytes[12] & 2 != 0,
        page_key: vec![bytes[13]; usize::from(bytes[14])],
        writes_medium: bytes[12] & 4 != 0,
        passes_unit_attention: bytes[12] & 8 != 0,
        access: Access::from_number(bytes[11] & 3).expect("two bits"),
        harmless: (bytes[15], bytes[11]),
    }
}

fuzz_target!(|input: &[u8]| {
    let [count, rest @ ..] = input else { return };
    let (rows, rest) = rest.split_at(rest.len().min(usize::from(*count) * 16));
    let table = CommandTable::new(rows.chunks_exact(16).map(row).collect());
    let Some((unit, cdbs)) = rest.split_first_chunk() else { return };
    let unit_blocks = u64::from_be_bytes(*unit);
    for cdb in cdbs.chunks_exact(16) {
        let cdb = cdb.try_into().expect("16 bytes");
        let Ok(request) = table.parse(cdb) else { continue };
        assert_eq!(request.row.opcode, cdb[0]);
        if let Ok((lba, blocks)) = request.blocks(unit_blocks) {
            assert!(lba.checked_add(blocks).is_some_and(|end| end <= unit_blocks));
        }
        let (key, length) = request.page_key(cdb);
        assert!(key.get(..length).is_some());
    }
});
