//! COMPARE AND WRITE.

use super::machine::{Ask, BLOCK, Machine, pattern};
use crate::operation::Kind;
use crate::program::PIECE_BYTES;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Execution;

fn compare_and_write(lba: u64, blocks: u64) -> Ask {
    Ask::new(Execution::CompareAndWrite, lba, blocks)
}

#[test]
fn what_matches_is_replaced_under_a_lock() {
    for blocks in [1, 3, 16] {
        let mut machine = Machine::new();
        let bytes = blocks as usize * BLOCK;
        let (old, new) = (pattern(1, bytes), pattern(2, bytes));
        machine.put(6, &old);
        let data = [&old[..], &new].concat();
        let ran = machine.run(&compare_and_write(6, blocks), &data).expect("a program");
        assert!(ran.is_good(2 * bytes as u64));
        assert_eq!(ran.kinds(), [Kind::Read, Kind::Write]);
        assert_eq!(ran.locked, Some((6 * BLOCK as u64, bytes as u64)));
        assert!(machine.medium(6, blocks) == new);
        // The second time it does not match any more.
        let ran = machine.run(&compare_and_write(6, blocks), &data).expect("a program");
        assert_eq!(ran.sense(), Some(Sense::MISCOMPARE.with_information(0)));
    }
}

#[test]
fn a_difference_is_told_and_nothing_is_written() {
    let bytes = 2 * BLOCK;
    let (old, new) = (pattern(3, bytes), pattern(4, bytes));
    for offset in [0, 1, BLOCK, bytes - 1] {
        let mut machine = Machine::new();
        machine.put(0, &old);
        let mut compare = old.clone();
        compare[offset] ^= 1;
        let data = [&compare[..], &new].concat();
        let ran = machine.run(&compare_and_write(0, 2), &data).expect("a program");
        let sense = Sense::MISCOMPARE.with_information(offset as u32);
        assert_eq!((ran.sense(), ran.kinds()), (Some(sense), vec![Kind::Read]));
        assert!(machine.medium(0, 2) == old);
    }
}

#[test]
fn it_is_stable_where_it_is_asked_to_be() {
    let mut machine = Machine::new();
    let data = vec![0; 2 * BLOCK];
    let ran = machine.run(&compare_and_write(0, 1).fua(), &data).expect("a program");
    assert_eq!(ran.kinds(), [Kind::Read, Kind::WriteStable]);
    machine.unit.write_through = true;
    let ran = machine.run(&compare_and_write(0, 1), &data).expect("a program");
    assert_eq!(ran.kinds(), [Kind::Read, Kind::WriteStable]);
}

#[test]
fn the_data_has_to_be_twice_the_range() {
    let mut machine = Machine::new();
    for sent in [0, BLOCK, 2 * BLOCK - 1, 2 * BLOCK + 1, 4 * BLOCK] {
        let refused = machine.run(&compare_and_write(0, 1), &vec![0; sent]).err();
        assert_eq!(refused, Some(Sense::INVALID_FIELD_IN_CDB), "{sent} bytes");
    }
    let most = machine.unit.max_compare_and_write_blocks;
    let sent = vec![0; 2 * (most as usize + 1) * BLOCK];
    let refused = machine.run(&compare_and_write(0, most + 1), &sent).err();
    assert_eq!(refused, Some(Sense::INVALID_FIELD_IN_CDB));
    let beyond = compare_and_write(machine.unit.blocks, 1);
    assert_eq!(machine.run(&beyond, &[0; 2 * BLOCK]).err(), Some(Sense::LBA_OUT_OF_RANGE));
}

#[test]
fn no_blocks_are_good_without_a_lock() {
    let mut machine = Machine::new();
    let ran = machine.run(&compare_and_write(0, 0), &[]).expect("a program");
    assert!(ran.is_good(0) && ran.operations.is_empty() && ran.locked.is_none());
    let ran = machine.run(&compare_and_write(machine.unit.blocks, 0), &[]).expect("a program");
    assert!(ran.is_good(0) && ran.operations.is_empty());
}

#[test]
fn whatever_the_limits_say_it_fits_into_one_buffer() {
    let mut machine = Machine::new();
    for block_bytes in [512_u32, 4096] {
        machine.unit.block_bytes = block_bytes;
        machine.unit.max_compare_and_write_blocks = 255;
        for blocks in 1..=255_u64 {
            let sent = 2 * blocks as usize * block_bytes as usize;
            match compare_and_write(0, blocks).program(&machine.unit, sent) {
                Ok(program) => assert!(program.buffer_bytes() <= PIECE_BYTES as usize),
                Err(sense) => assert_eq!(sense, Sense::INVALID_FIELD_IN_CDB),
            }
        }
    }
}

#[test]
fn a_failure_of_either_half_is_the_answer() {
    for (number, sense) in [(0, Sense::READ_ERROR), (1, Sense::WRITE_ERROR)] {
        let mut machine = Machine::new();
        machine.fails = Some((number, libc::EIO));
        let ran = machine.run(&compare_and_write(0, 1), &[0; 2 * BLOCK]).expect("a program");
        assert_eq!((ran.sense(), ran.operations.len()), (Some(sense), number + 1));
    }
}
