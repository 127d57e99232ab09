//! Commands of one step.

use super::machine::{Ask, BLOCK, Machine};
use crate::operation::Kind;
use crate::program::{Input, Program, Simple, Step, good};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Execution, ZeroLength};
use std::sync::Arc;

fn page(page: &[u8], allocation: u64, expected: u32) -> Program {
    Program::Simple(Simple::page(Arc::from(page), allocation, expected))
}

#[test]
fn a_page_is_cut_to_what_both_sides_allow() {
    let whole: Vec<u8> = (1..=96).collect();
    for (allocation, expected, sent, cdb) in [
        (96, 96, 96, 96),
        (255, 255, 96, 96),
        (36, 255, 36, 36),
        (255, 36, 36, 96),
        (4, 2, 2, 4),
        (0, 10, 0, 0),
        (10, 0, 0, 10),
    ] {
        let ran = Machine::new().carry_out(page(&whole, allocation, expected), &[]);
        assert_eq!(ran.data, whole[..sent], "{allocation} {expected}");
        assert!(ran.is_good(cdb), "{allocation} {expected}: {:?}", ran.answer);
    }
    let ran = Machine::new().carry_out(page(&[], 10, 10), &[]);
    assert!(ran.data.is_empty() && ran.is_good(0));
}

#[test]
fn a_flush_covers_the_volume_whatever_the_range() {
    let mut machine = Machine::new();
    let ask =
        Ask { zero_length: ZeroLength::ToTheEnd, ..Ask::new(Execution::SynchronizeCache, 5, 0) };
    let ran = machine.run(&ask, &[]).expect("a program");
    assert!(ran.is_good(0));
    assert_eq!(ran.kinds(), [Kind::Flush]);
    let beyond = Ask { lba: machine.unit.blocks + 1, ..ask };
    assert_eq!(machine.run(&beyond, &[]).err(), Some(Sense::LBA_OUT_OF_RANGE));
    machine.fails = Some((0, libc::EIO));
    let ran = machine.run(&ask, &[]).expect("a program");
    assert_eq!(ran.sense(), Some(Sense::WRITE_ERROR));
}

#[test]
fn a_prefetch_reads_ahead_and_its_failure_is_told() {
    let mut machine = Machine::new();
    let ask = Ask::new(Execution::Prefetch, 5, 7);
    let ran = machine.run(&ask, &[]).expect("a program");
    assert!(ran.is_good(0) && ran.kinds() == [Kind::Prefetch]);
    assert_eq!(ran.ranges(), [(5 * BLOCK as u64, 7 * BLOCK as u64)]);
    machine.fails = Some((0, libc::EIO));
    let ran = machine.run(&ask, &[]).expect("a program");
    assert_eq!(ran.sense(), Some(Sense::READ_ERROR));
}

#[test]
fn an_upcall_takes_its_parameter_data_along() {
    let machine = Machine::new();
    let mut program = Program::Simple(Simple::Upcall(24));
    assert_eq!((program.buffer_bytes(), program.first_data_bytes()), (24, 24));
    let step = program.next(Input::Ready, &machine.unit, &mut [0; 24]);
    assert_eq!(step, Step::Upcall);
}

#[test]
fn an_answer_known_from_the_start_needs_nothing() {
    let ran = Machine::new().carry_out(Program::Simple(Simple::good()), &[]);
    assert_eq!((ran.answer, ran.operations.len()), (good(0), 0));
    let ran = Machine::new().run(&Ask::new(Execution::TestUnitReady, 0, 0), &[]);
    assert!(ran.expect("a program").is_good(0));
}
