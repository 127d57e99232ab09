//! WRITE SAME.

use super::machine::{Ask, BLOCK, Machine, pattern};
use crate::operation::Kind;
use crate::program::RANGE_BYTES;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Execution, ZeroLength};

const NO_DATA: u8 = 0x01;
const UNMAP: u8 = 0x08;
const ANCHOR: u8 = 0x10;
const PATTERN_BLOCKS: u64 = 256 * 1024 / BLOCK as u64;

fn write_same(lba: u64, blocks: u64, flags: u8) -> Ask {
    Ask::new(Execution::WriteSame, lba, blocks).flags(flags)
}

/// A machine whose first blocks are full of something else.
fn full(blocks: u64) -> Machine {
    let mut machine = Machine::new();
    machine.put(0, &pattern(200, blocks as usize * BLOCK));
    machine
}

#[test]
fn one_block_covers_the_range_and_nothing_else() {
    let block = pattern(1, BLOCK);
    let blocks = 5 * PATTERN_BLOCKS / 2;
    let mut machine = full(blocks + 20);
    let before = machine.medium(0, blocks + 20);
    let ran = machine.run(&write_same(10, blocks, 0), &block).expect("a program");
    assert!(ran.is_good(BLOCK as u64));
    assert_eq!(ran.kinds(), [Kind::Write; 3]);
    assert_eq!(ran.locked, Some((10 * BLOCK as u64, blocks * BLOCK as u64)));
    assert!(machine.medium(10, blocks) == block.repeat(blocks as usize));
    assert!(machine.medium(0, 10) == before[..10 * BLOCK]);
    assert!(machine.medium(blocks + 10, 10) == before[(blocks as usize + 10) * BLOCK..]);
}

#[test]
fn zeroes_are_zeroed_or_deallocated_where_the_volume_can() {
    let cases = [
        (0, true, false, Kind::Zero),
        (0, false, false, Kind::Write),
        (UNMAP, true, false, Kind::Discard),
        (UNMAP, false, false, Kind::Discard),
        // What a deallocation gives is not stable.
        (UNMAP, true, true, Kind::WriteStable),
        (0, true, true, Kind::WriteStable),
    ];
    for (flags, can_zero, write_through, kind) in cases {
        for no_data in [0, NO_DATA] {
            let mut machine = full(64);
            machine.unit.can_zero = can_zero;
            machine.unit.write_through = write_through;
            let data: &[u8] = if no_data == 0 { &[0; BLOCK] } else { &[] };
            let ran = machine.run(&write_same(4, 50, flags | no_data), data).expect("a program");
            assert_eq!(ran.kinds(), [kind], "{flags:#x} {can_zero} {write_through}");
            assert!(ran.is_good(data.len() as u64) && ran.locked.is_some());
            assert!(machine.medium(4, 50).iter().all(|byte| *byte == 0));
            assert!(machine.medium(0, 4).iter().chain(&machine.medium(54, 10)).all(|b| *b != 0));
        }
    }
}

#[test]
fn only_zeroes_are_ever_deallocated() {
    let mut block = vec![0; BLOCK];
    block[BLOCK - 1] = 1;
    let mut machine = full(8);
    let ran = machine.run(&write_same(0, 8, UNMAP), &block).expect("a program");
    assert_eq!(ran.kinds(), [Kind::Write]);
    assert!(machine.medium(0, 8) == block.repeat(8));
}

#[test]
fn large_ranges_are_cut() {
    let mut machine = Machine::new();
    let blocks = 5 * RANGE_BYTES / 2 / BLOCK as u64;
    let ran = machine.run(&write_same(1, blocks, UNMAP | NO_DATA), &[]).expect("a program");
    let (first, bytes) = (BLOCK as u64, RANGE_BYTES);
    let expected = [(first, bytes), (first + bytes, bytes), (first + 2 * bytes, bytes / 2)];
    assert_eq!(ran.ranges(), expected);
}

#[test]
fn a_length_of_zero_reaches_to_the_end() {
    let mut machine = Machine::new();
    let end = machine.unit.blocks;
    let ask = |lba| Ask { zero_length: ZeroLength::ToTheEnd, ..write_same(lba, 0, 0) };
    let ran = machine.run(&ask(end - 3), &[0; BLOCK]).expect("a program");
    assert_eq!(ran.ranges(), [((end - 3) * BLOCK as u64, 3 * BLOCK as u64)]);
    let ran = machine.run(&ask(end), &[0; BLOCK]).expect("a program");
    assert!(ran.is_good(BLOCK as u64) && ran.operations.is_empty() && ran.locked.is_none());
    machine.unit.max_write_same_blocks = 2;
    let refused = machine.run(&ask(end - 3), &[0; BLOCK]).err();
    assert_eq!(refused, Some(Sense::INVALID_FIELD_IN_CDB));
}

#[test]
fn bad_fields_are_refused() {
    let mut machine = Machine::new();
    machine.unit.max_write_same_blocks = 100;
    let invalid = Some(Sense::INVALID_FIELD_IN_CDB);
    for (ask, sent) in [
        (write_same(0, 101, 0), BLOCK),
        (write_same(0, 1, ANCHOR | UNMAP), BLOCK),
        (write_same(0, 1, 0), 0),
        (write_same(0, 1, 0), BLOCK - 1),
        (write_same(0, 2, 0), 2 * BLOCK),
    ] {
        assert_eq!(machine.run(&ask, &vec![0; sent]).err(), invalid, "{ask:?} {sent}");
    }
    machine.unit.thin = false;
    assert_eq!(machine.run(&write_same(0, 1, UNMAP), &[0; BLOCK]).err(), invalid);
    let refused = machine.run(&write_same(machine.unit.blocks, 1, 0), &[0; BLOCK]).err();
    assert_eq!(refused, Some(Sense::LBA_OUT_OF_RANGE));
}

#[test]
fn a_failure_is_the_answer() {
    let data = pattern(2, BLOCK);
    for (flags, sent, sense) in
        [(0, &data[..], Sense::WRITE_ERROR), (UNMAP | NO_DATA, &[][..], Sense::WRITE_ERROR)]
    {
        let mut machine = full(8);
        machine.fails = Some((0, libc::EIO));
        let ran = machine.run(&write_same(0, 8, flags), sent).expect("a program");
        assert_eq!((ran.sense(), ran.operations.len()), (Some(sense), 1));
    }
}
