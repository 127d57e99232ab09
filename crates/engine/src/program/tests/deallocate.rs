//! UNMAP.

use super::machine::{Ask, BLOCK, Machine, Ran, pattern};
use crate::operation::Kind;
use crate::program::RANGE_BYTES;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Execution;

/// A parameter list of these ranges.
fn list(ranges: &[(u64, u32)]) -> Vec<u8> {
    let bytes = u16::try_from(16 * ranges.len()).expect("few ranges");
    let mut list = [(bytes + 6).to_be_bytes(), bytes.to_be_bytes(), [0; 2], [0; 2]].concat();
    for (lba, blocks) in ranges {
        list.extend_from_slice(&lba.to_be_bytes());
        list.extend_from_slice(&blocks.to_be_bytes());
        list.extend_from_slice(&[0; 4]);
    }
    list
}

fn unmap(list_bytes: usize) -> Ask {
    Ask::new(Execution::Unmap, 0, list_bytes as u64)
}

fn run(machine: &mut Machine, list: &[u8]) -> Ran {
    machine.run(&unmap(list.len()), list).expect("a program")
}

#[test]
fn every_range_of_the_list_reads_as_zeroes() {
    let mut machine = Machine::new();
    let data = pattern(1, 30 * BLOCK);
    machine.put(0, &data);
    let list = list(&[(2, 3), (7, 0), (10, 1), (20, 10)]);
    let ran = run(&mut machine, &list);
    assert!(ran.is_good(list.len() as u64));
    let block = BLOCK as u64;
    assert_eq!(ran.ranges(), [(2, 3), (10, 1), (20, 10)].map(|(at, n)| (at * block, n * block)));
    for lba in 0..30_u64 {
        let is_gone = (2..5).contains(&lba) || lba == 10 || lba >= 20;
        let there = machine.medium(lba, 1);
        let at = lba as usize * BLOCK;
        assert!(there == if is_gone { vec![0; BLOCK] } else { data[at..at + BLOCK].to_vec() });
    }
}

#[test]
fn large_ranges_are_cut() {
    let mut machine = Machine::new();
    let blocks = 5 * RANGE_BYTES / 2 / BLOCK as u64;
    let ran = run(&mut machine, &list(&[(3, blocks as u32), (0, 1)]));
    let (block, bytes) = (BLOCK as u64, RANGE_BYTES);
    let first = 3 * block;
    assert_eq!(
        ran.ranges(),
        [(first, bytes), (first + bytes, bytes), (first + 2 * bytes, bytes / 2), (0, block)]
    );
    assert_eq!(ran.kinds(), [Kind::Discard; 4]);
}

#[test]
fn the_whole_list_is_checked_before_anything_is_deallocated() {
    let mut machine = Machine::new();
    let end = machine.unit.blocks;
    machine.unit.max_unmap_blocks = 1000;
    let out = Sense::LBA_OUT_OF_RANGE;
    let invalid = Sense::INVALID_FIELD_IN_PARAMETERS;
    for (bad, sense) in [
        ((end, 1), out),
        ((end - 1, 2), out),
        ((u64::MAX, 1), out),
        ((u64::MAX, u32::MAX), out),
        ((0, 1000), invalid),
    ] {
        let ran = run(&mut machine, &list(&[(0, 1), bad]));
        assert_eq!(ran.sense(), Some(sense), "{bad:?}");
        assert!(ran.operations.is_empty(), "{bad:?}");
    }
    assert!(run(&mut machine, &list(&[(0, 1), (5, 999), (end, 0)])).sense().is_none());
}

#[test]
fn more_descriptors_than_allowed_are_refused() {
    let mut machine = Machine::new();
    let most = machine.unit.max_unmap_descriptors as usize;
    assert!(run(&mut machine, &list(&vec![(0, 1); most])).sense().is_none());
    let ran = run(&mut machine, &list(&vec![(0, 1); most + 1]));
    assert_eq!(ran.sense(), Some(Sense::INVALID_FIELD_IN_PARAMETERS));
    assert!(ran.operations.is_empty());
}

#[test]
fn lengths_that_do_not_fit_together() {
    let mut machine = Machine::new();
    let good = list(&[(1, 1), (2, 1)]);
    // Empty, and header only: not an error.
    assert!(run(&mut machine, &[]).is_good(0));
    assert!(run(&mut machine, &list(&[])).is_good(8));
    // A header that is cut.
    let ran = run(&mut machine, &good[..7]);
    assert_eq!(ran.sense(), Some(Sense::PARAMETER_LIST_LENGTH));
    // Descriptors announced that are not there.
    let ran = run(&mut machine, &good[..8 + 16]);
    assert_eq!(ran.sense(), Some(Sense::INVALID_FIELD_IN_PARAMETERS));
    // An incomplete last descriptor is ignored.
    let mut odd = good.clone();
    odd[3] = 16 + 15;
    let ran = run(&mut machine, &odd);
    assert_eq!(ran.ranges(), [(BLOCK as u64, BLOCK as u64)]);
    // The CDB promises a list that does not come.
    let refused = machine.run(&unmap(good.len()), &good[..good.len() - 1]).err();
    assert_eq!(refused, Some(Sense::PARAMETER_LIST_LENGTH));
    // More comes than the CDB says: only that much is the list.
    let ran = machine.run(&unmap(8), &good).expect("a program");
    assert_eq!(ran.sense(), Some(Sense::INVALID_FIELD_IN_PARAMETERS));
}

#[test]
fn the_buffer_is_bounded_by_the_limits() {
    let machine = Machine::new();
    let program = unmap(65_535).program(&machine.unit, 65_535).expect("a program");
    assert_eq!(program.buffer_bytes() as u64, 8 + 16 * machine.unit.max_unmap_descriptors);
    let huge = Ask::new(Execution::Unmap, 0, u64::MAX);
    assert!(huge.program(&machine.unit, usize::from(u16::MAX)).is_ok());
}

#[test]
fn anchors_and_thick_units_are_refused() {
    let mut machine = Machine::new();
    let list = list(&[(0, 1)]);
    let refused = machine.run(&unmap(list.len()).flags(1), &list).err();
    assert_eq!(refused, Some(Sense::INVALID_FIELD_IN_CDB));
    machine.unit.thin = false;
    let refused = machine.run(&unmap(list.len()), &list).err();
    assert_eq!(refused, Some(Sense::INVALID_OPCODE));
}

#[test]
fn a_failure_ends_it_with_what_was_done_before() {
    let mut machine = Machine::new();
    machine.put(0, &pattern(2, 4 * BLOCK));
    machine.fails = Some((1, libc::EIO));
    let ran = run(&mut machine, &list(&[(0, 1), (1, 1), (2, 1)]));
    assert_eq!((ran.sense(), ran.operations.len()), (Some(Sense::WRITE_ERROR), 2));
    assert!(machine.medium(2, 1) != [0; BLOCK]);
}
