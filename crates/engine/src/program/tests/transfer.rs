//! READ, WRITE, WRITE AND VERIFY.

use super::machine::{Ask, BLOCK, Machine, pattern};
use crate::operation::{Kind, REFUSES_WRITES};
use crate::program::{PIECE_BYTES, Program};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Execution, ZeroLength};

const PIECE: usize = PIECE_BYTES as usize;
/// Two and a half pieces.
const LONG: usize = 5 * PIECE / 2;

fn write(lba: u64, blocks: u64) -> Ask {
    Ask::new(Execution::Write, lba, blocks)
}

#[test]
fn a_write_is_read_back() {
    let mut machine = Machine::new();
    let data = pattern(1, 3 * BLOCK);
    let written = machine.run(&write(7, 3), &data).expect("a program");
    assert!(written.is_good(3 * BLOCK as u64));
    assert_eq!(written.kinds(), [Kind::Write]);
    let read = machine.run(&Ask::read(6, 5), &[]).expect("a program");
    assert!(read.is_good(5 * BLOCK as u64));
    assert_eq!(read.data, [vec![0; BLOCK], data, vec![0; BLOCK]].concat());
}

#[test]
fn long_transfers_go_piece_by_piece() {
    let mut machine = Machine::new();
    let (data, blocks) = (pattern(2, LONG), (LONG / BLOCK) as u64);
    let written = machine.run(&write(100, blocks), &data).expect("a program");
    assert!(written.is_good(LONG as u64));
    assert_eq!(written.kinds(), [Kind::Write; 3]);
    assert_eq!(written.collected, [2 * PIECE_BYTES, LONG as u32]);
    let read = machine.run(&Ask::read(100, blocks), &[]).expect("a program");
    assert!(read.is_good(LONG as u64));
    assert_eq!(read.kinds(), [Kind::Read; 3]);
    assert!(read.data == data);
}

#[test]
fn a_transfer_never_needs_more_than_one_buffer() {
    let machine = Machine::new();
    let unit = &machine.unit;
    let blocks = unit.max_transfer_blocks;
    let bytes = blocks as usize * BLOCK;
    for execution in [Execution::Read, Execution::Write, Execution::WriteAndVerify] {
        let ask = Ask { in_bytes: bytes as u32, ..Ask::new(execution, 0, blocks) };
        let program = ask.program(unit, bytes).expect("a program");
        assert_eq!(program.buffer_bytes(), PIECE, "{execution:?}");
    }
}

#[test]
fn only_force_unit_access_and_write_through_make_writes_stable() {
    let mut machine = Machine::new();
    let data = pattern(3, BLOCK);
    let kinds =
        |machine: &mut Machine, ask: &Ask| machine.run(ask, &data).expect("a program").kinds();
    assert_eq!(kinds(&mut machine, &write(0, 1)), [Kind::Write]);
    assert_eq!(kinds(&mut machine, &write(0, 1).fua()), [Kind::WriteStable]);
    machine.unit.write_through = true;
    assert_eq!(kinds(&mut machine, &write(0, 1)), [Kind::WriteStable]);
}

#[test]
fn a_read_with_force_unit_access_flushes_a_cache_first_and_once() {
    let mut machine = Machine::new();
    let blocks = (LONG / BLOCK) as u64;
    let data = pattern(4, LONG);
    machine.put(0, &data);
    let read = machine.run(&Ask::read(0, blocks).fua(), &[]).expect("a program");
    assert_eq!(read.kinds(), [Kind::Flush, Kind::Read, Kind::Read, Kind::Read]);
    assert!(read.data == data && read.is_good(LONG as u64));
    machine.unit.has_cache = false;
    let read = machine.run(&Ask::read(0, 1).fua(), &[]).expect("a program");
    assert_eq!(read.kinds(), [Kind::Read]);
}

#[test]
fn an_initiator_that_expects_part_of_a_block_gets_that_part() {
    let mut machine = Machine::new();
    let data = pattern(5, LONG);
    machine.put(50, &data);
    let whole = (LONG / BLOCK) as u64;
    for (blocks, expected) in [(1, 1), (1, 511), (4, 513), (4, 1025), (whole, PIECE + 3)] {
        let ask = Ask::read(50, blocks).expecting(expected as u32);
        let read = machine.run(&ask, &[]).expect("a program");
        // The residual tells the rest.
        assert!(read.is_good(blocks * BLOCK as u64), "{:?}", read.answer);
        assert!(read.data == data[..expected], "{expected} bytes");
    }
}

#[test]
fn a_block_that_comes_in_part_is_not_written() {
    let mut machine = Machine::new();
    let written = machine.run(&write(0, 4), &pattern(6, 2 * BLOCK + 100)).expect("a program");
    assert!(written.is_good(4 * BLOCK as u64));
    assert_eq!(written.ranges(), [(0, 2 * BLOCK as u64)]);
    assert_eq!(machine.medium(2, 1), [0; BLOCK]);
    let written = machine.run(&write(0, 4), &[1; 100]).expect("a program");
    assert!(written.operations.is_empty() && written.is_good(4 * BLOCK as u64));
}

#[test]
fn an_initiator_that_expects_more_gets_what_the_cdb_asks_for() {
    let mut machine = Machine::new();
    let data = pattern(7, 3 * BLOCK);
    let written = machine.run(&write(9, 2), &data).expect("a program");
    assert!(written.is_good(2 * BLOCK as u64));
    assert_eq!(machine.medium(11, 1), [0; BLOCK]);
    let read = machine.run(&Ask::read(9, 2).expecting(10_000), &[]).expect("a program");
    assert!(read.is_good(2 * BLOCK as u64) && read.data == data[..2 * BLOCK]);
}

#[test]
fn nothing_to_move_is_good_without_touching_the_medium() {
    let mut machine = Machine::new();
    let end = machine.unit.blocks;
    for ask in [Ask::read(0, 0), Ask::read(end, 0), write(0, 0), write(end, 0)] {
        let ran = machine.run(&ask, &[]).expect("a program");
        assert!(ran.is_good(0) && ran.operations.is_empty(), "{ask:?}");
    }
    // The CDB asks for a block, the initiator for nothing: all of it is overflow.
    for ask in [Ask::read(0, 1).expecting(0), write(0, 1), write(0, 1).fua()] {
        let ran = machine.run(&ask, &[]).expect("a program");
        assert!(ran.is_good(BLOCK as u64) && ran.operations.is_empty(), "{ask:?}");
    }
}

#[test]
fn what_goes_beyond_the_medium_or_the_limit_is_refused() {
    let mut machine = Machine::new();
    let end = machine.unit.blocks;
    for (lba, blocks) in [(end, 1), (end - 1, 2), (end + 1, 0), (u64::MAX, 1)] {
        let refused = machine.run(&Ask { lba, length: blocks, ..Ask::read(0, 0) }, &[]).err();
        assert_eq!(refused, Some(Sense::LBA_OUT_OF_RANGE), "{blocks} at {lba}");
    }
    let most = machine.unit.max_transfer_blocks;
    assert!(machine.run(&Ask::read(0, most), &[]).is_ok());
    let refused = machine.run(&Ask::read(0, most + 1), &[]).err();
    assert_eq!(refused, Some(Sense::INVALID_FIELD_IN_CDB));
}

#[test]
fn length_zero_of_the_six_byte_commands_is_256_blocks() {
    let mut machine = Machine::new();
    let ask = Ask { zero_length: ZeroLength::Blocks256, ..Ask::read(0, 0) };
    let read = machine.run(&ask.expecting(256 * BLOCK as u32), &[]).expect("a program");
    assert_eq!(read.data.len(), 256 * BLOCK);
}

#[test]
fn a_read_only_unit_is_read_and_not_written() {
    let mut machine = Machine::new();
    machine.unit.read_only = true;
    assert!(machine.run(&Ask::read(0, 1), &[]).is_ok());
    for execution in [
        Execution::Write,
        Execution::WriteAndVerify,
        Execution::WriteSame,
        Execution::Unmap,
        Execution::CompareAndWrite,
    ] {
        let refused = machine.run(&Ask::new(execution, 0, 1), &[0; BLOCK]).err();
        assert_eq!(refused, Some(Sense::WRITE_PROTECTED), "{execution:?}");
    }
}

#[test]
fn write_and_verify_reads_back_what_it_wrote() {
    let blocks = (LONG / BLOCK) as u64;
    let data = pattern(8, LONG);
    for flags in [0, 1 << 1] {
        let mut machine = Machine::new();
        let ask = Ask::new(Execution::WriteAndVerify, 3, blocks).flags(flags);
        let ran = machine.run(&ask, &data).expect("a program");
        assert!(ran.is_good(LONG as u64));
        assert_eq!(ran.kinds(), [Kind::Write, Kind::Read].repeat(5));
        assert!(machine.medium(3, blocks) == data);
    }
    for flags in [2 << 1, 3 << 1] {
        let ask = Ask::new(Execution::WriteAndVerify, 0, 1).flags(flags);
        let refused = Machine::new().run(&ask, &data[..BLOCK]).err();
        assert_eq!(refused, Some(Sense::INVALID_FIELD_IN_CDB));
    }
}

/// Runs a program by hand on a medium that turns one byte of the second piece round.
fn verify_on_a_bad_medium(flags: u8) -> crate::program::Step {
    use crate::program::{Input, Step};
    let machine = Machine::new();
    let ask = Ask::new(Execution::WriteAndVerify, 0, (PIECE / BLOCK) as u64).flags(flags);
    let mut program = ask.program(&machine.unit, PIECE).expect("a program");
    let mut buffer = pattern(9, program.buffer_bytes());
    let (mut input, mut reads) = (Input::Ready, 0);
    loop {
        input = match program.next(input, &machine.unit, &mut buffer) {
            Step::Io(operation) if operation.kind == Kind::Read => {
                let half = operation.length_bytes as usize;
                let (sent, read) = buffer.split_at_mut(half);
                read.copy_from_slice(sent);
                reads += 1;
                if reads == 2 {
                    read[1000] ^= 0xFF;
                }
                Input::Done
            }
            Step::Io(_) => Input::Done,
            Step::Collect(_) => Input::Ready,
            step => return step,
        }
    }
}

#[test]
fn write_and_verify_tells_where_the_medium_differs() {
    use crate::program::{Step, check_condition, good};
    // Only the bytes of the second piece were compared in vain.
    let sense = Sense::MISCOMPARE.with_information(PIECE_BYTES / 2 + 1000);
    let bytes = u64::from(PIECE_BYTES);
    assert_eq!(verify_on_a_bad_medium(1 << 1), Step::Answer(check_condition(sense, bytes)));
    // Without BYTCHK nobody compares.
    assert_eq!(verify_on_a_bad_medium(0), Step::Answer(good(bytes)));
}

#[test]
fn a_failure_ends_the_command_with_the_sense_of_what_was_tried() {
    let data = pattern(10, LONG);
    let blocks = (LONG / BLOCK) as u64;
    let cases = [
        (Ask::read(0, blocks), 3, libc::EIO, Sense::READ_ERROR),
        (write(0, blocks), 3, libc::EIO, Sense::WRITE_ERROR),
        (write(0, blocks), 3, libc::ENOSPC, Sense::SPACE_ALLOCATION_FAILED),
        (write(0, blocks), 3, REFUSES_WRITES, Sense::WRITES_REFUSED),
        (write(0, blocks).fua(), 3, libc::ENODEV, Sense::NOT_READY),
    ];
    for (ask, operations, errno, sense) in cases {
        for number in 0..operations {
            let mut machine = Machine::new();
            machine.fails = Some((number, errno));
            let data: &[u8] = if ask.in_bytes > 0 { &[] } else { &data };
            let ran = machine.run(&ask, data).expect("a program");
            assert_eq!(ran.sense(), Some(sense), "{ask:?} operation {number}");
            assert_eq!(ran.operations.len(), number + 1, "nothing comes after a failure");
        }
    }
    let mut machine = Machine::new();
    machine.fails = Some((0, libc::EIO));
    let ran = machine.run(&Ask::read(0, 1).fua(), &[]).expect("a program");
    assert_eq!((ran.sense(), ran.kinds()), (Some(Sense::WRITE_ERROR), vec![Kind::Flush]));
}

#[test]
fn the_direction_and_the_bytes_to_move_are_known_from_the_start() {
    use crate::program::Direction;
    let unit = Machine::new().unit;
    let of = |program: Program| match program {
        Program::Transfer(transfer) => (transfer.direction(), transfer.total_bytes()),
        other => panic!("{other:?}"),
    };
    let program = Ask::read(0, 2).expecting(600).program(&unit, 0);
    assert_eq!(of(program.expect("a program")), (Direction::Read, 600));
    let program = write(0, 2).program(&unit, 600);
    assert_eq!(of(program.expect("a program")), (Direction::Write, 512));
}
