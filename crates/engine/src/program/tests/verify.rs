//! VERIFY.

use super::machine::{Ask, BLOCK, Machine, pattern};
use crate::operation::Kind;
use crate::program::PIECE_BYTES;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Execution;

const MEDIUM: u8 = 0;
const BLOCKS: u8 = 1 << 1;
const ONE_BLOCK: u8 = 3 << 1;
/// Two and a half pieces: VERIFY needs half of its buffer for the medium.
const LONG: usize = 5 * PIECE_BYTES as usize / 4;

fn verify(lba: u64, blocks: usize, flags: u8) -> Ask {
    Ask::new(Execution::Verify, lba, blocks as u64).flags(flags)
}

#[test]
fn without_data_the_medium_is_only_read() {
    let mut machine = Machine::new();
    let ran = machine.run(&verify(5, LONG / BLOCK, MEDIUM), &[]).expect("a program");
    assert!(ran.is_good(0));
    assert_eq!(ran.kinds(), [Kind::Read; 3]);
    let read: u64 = ran.ranges().iter().map(|(_, length)| length).sum();
    assert_eq!((ran.ranges()[0].0, read), (5 * BLOCK as u64, LONG as u64));
}

#[test]
fn every_block_is_compared_with_its_own_data() {
    let mut machine = Machine::new();
    let data = pattern(1, LONG);
    machine.put(40, &data);
    let ran = machine.run(&verify(40, LONG / BLOCK, BLOCKS), &data).expect("a program");
    assert!(ran.is_good(LONG as u64));
    assert_eq!(ran.collected.last(), Some(&(LONG as u32)));
    for offset in [0, 1, BLOCK, PIECE_BYTES as usize / 2, LONG - 1] {
        let mut other = data.clone();
        other[offset] ^= 0x80;
        let ran = machine.run(&verify(40, LONG / BLOCK, BLOCKS), &other).expect("a program");
        let sense = Sense::MISCOMPARE.with_information(offset as u32);
        assert_eq!(ran.sense(), Some(sense), "byte {offset}");
    }
}

#[test]
fn every_block_is_compared_with_the_one_that_was_sent() {
    let mut machine = Machine::new();
    let block = pattern(2, BLOCK);
    machine.put(8, &block.repeat(LONG / BLOCK));
    let ask = verify(8, LONG / BLOCK, ONE_BLOCK);
    let ran = machine.run(&ask, &block).expect("a program");
    assert!(ran.is_good(BLOCK as u64) && ran.collected.is_empty());
    assert_eq!(ran.kinds(), [Kind::Read; 3]);
    let last = 8 + (LONG / BLOCK) as u64 - 1;
    let mut other = block.clone();
    other[3] = 0;
    machine.put(last, &other);
    let ran = machine.run(&ask, &block).expect("a program");
    let sense = Sense::MISCOMPARE.with_information((LONG - BLOCK + 3) as u32);
    assert_eq!(ran.sense(), Some(sense));
}

#[test]
fn only_blocks_that_came_whole_are_compared() {
    let mut machine = Machine::new();
    let data = pattern(3, 4 * BLOCK);
    machine.put(0, &data[..2 * BLOCK]);
    let ran = machine.run(&verify(0, 4, BLOCKS), &data[..2 * BLOCK + 100]).expect("a program");
    assert!(ran.is_good(4 * BLOCK as u64), "what is missing is told as overflow");
    assert_eq!(ran.ranges(), [(0, 2 * BLOCK as u64)]);
    let ran = machine.run(&verify(0, 4, BLOCKS), &[]).expect("a program");
    assert!(ran.is_good(4 * BLOCK as u64) && ran.operations.is_empty());
}

#[test]
fn no_blocks_need_no_data() {
    let mut machine = Machine::new();
    for flags in [MEDIUM, BLOCKS, ONE_BLOCK] {
        let ran = machine.run(&verify(9, 0, flags), &[]).expect("a program");
        assert!(ran.is_good(0) && ran.operations.is_empty());
    }
}

#[test]
fn bad_fields_are_refused() {
    let mut machine = Machine::new();
    let refused = |machine: &mut Machine, ask: Ask, data: &[u8]| machine.run(&ask, data).err();
    let invalid = Some(Sense::INVALID_FIELD_IN_CDB);
    assert_eq!(refused(&mut machine, verify(0, 1, 2 << 1), &[0; BLOCK]), invalid);
    assert_eq!(refused(&mut machine, verify(0, 2, ONE_BLOCK), &[0; BLOCK - 1]), invalid);
    let most = machine.unit.max_transfer_blocks as usize;
    assert_eq!(refused(&mut machine, verify(0, most + 1, MEDIUM), &[]), invalid);
    let end = machine.unit.blocks;
    let beyond = Some(Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refused(&mut machine, verify(end, 1, MEDIUM), &[]), beyond);
}

#[test]
fn a_buffer_is_enough_and_every_failure_is_an_answer() {
    let data = pattern(4, LONG);
    for (flags, sent) in [(MEDIUM, 0), (BLOCKS, LONG), (ONE_BLOCK, BLOCK)] {
        let ask = verify(0, LONG / BLOCK, flags);
        for number in 0..3 {
            let mut machine = Machine::new();
            machine.put(
                0,
                &if flags == ONE_BLOCK { data[..BLOCK].repeat(LONG / BLOCK) } else { data.clone() },
            );
            let program = ask.program(&machine.unit, sent).expect("a program");
            assert!(program.buffer_bytes() <= PIECE_BYTES as usize);
            machine.fails = Some((number, libc::EIO));
            let ran = machine.run(&ask, &data[..sent]).expect("a program");
            assert_eq!(ran.sense(), Some(Sense::READ_ERROR));
            assert_eq!(ran.operations.len(), number + 1);
        }
    }
}
