//! Task management and unit attentions.

use crate::initiator::FIRST_CMD_SN;
use crate::rig::{
    BLOCK, CONTEXT, Rig, TEST_UNIT_READY, cdb, on_both_drivers, pattern, read, write,
};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::volume::Kind;

const ABORT_TASK: u8 = 1;
const ABORT_TASK_SET: u8 = 2;
const CLEAR_TASK_SET: u8 = 4;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_WARM_RESET: u8 = 6;
const TARGET_COLD_RESET: u8 = 7;
const TASK_REASSIGN: u8 = 8;

const COMPLETE: u8 = 0;
const NO_SUCH_TASK: u8 = 1;
const NO_SUCH_LUN: u8 = 2;
const NO_REASSIGNMENT: u8 = 4;
const NOT_SUPPORTED: u8 = 5;

const NONE: (u32, u32) = (u32::MAX, 0);
/// A command that Python has to answer: it stays as long as the test wants.
const UPCALL: [u8; 16] = [0xA3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

on_both_drivers! {
    a_unit_attention_is_told_once_to_each_nexus,
    request_sense_tells_a_unit_attention_and_clears_it,
    a_task_is_aborted_and_never_answered,
    what_is_not_there_cannot_be_aborted,
    a_task_set_is_aborted_and_the_others_are_not,
    a_reset_aborts_the_tasks_of_all_and_tells_the_others,
    a_cold_reset_ends_every_session_of_the_target,
    aborts_and_io_at_the_same_time,
}

fn a_unit_attention_is_told_once_to_each_nexus(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let mappings = [Rig::mapping(0, unit, CONTEXT), Rig::mapping(1, unit, CONTEXT)];
    for _ in 0..2 {
        let (_, mut initiator) = rig.new_session(&mappings);
        // INQUIRY and REPORT LUNS neither tell nor clear it.
        assert!(initiator.run(0, &[0x12, 0, 0, 0, 36, 0], 36, &[]).is_good());
        for lun in [1, 0] {
            let outcome = initiator.run(lun, &cdb(0x8A, 0, 1), 0, &pattern(1, BLOCK));
            assert_eq!((outcome.status, outcome.sense), (2, Some((0x6, 0x2900))));
            assert!(initiator.run(lun, &TEST_UNIT_READY, 0, &[]).is_good());
        }
        assert_eq!(read(&mut initiator, 0, 1).data, [0; BLOCK], "the write was not carried out");
    }
    rig.stop();
}

fn request_sense_tells_a_unit_attention_and_clears_it(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.new_session(&[Rig::mapping(0, unit, CONTEXT)]);
    let request_sense = |format: u8| [0x03, format, 0, 0, 252, 0];
    let sense = initiator.run(0, &request_sense(0), 252, &[]).data;
    assert_eq!((sense.len(), sense[2], sense[12]), (18, 0x6, 0x29));
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good(), "told already");
    let sense = initiator.run(0, &request_sense(1), 252, &[]).data;
    assert_eq!(sense, [0x72, 0, 0, 0, 0, 0, 0, 0]);
    // A unit that is not there has a sense as well.
    let sense = initiator.run(5, &request_sense(1), 252, &[]).data;
    assert_eq!(sense[..4], [0x72, 0x5, 0x25, 0]);
    // What is pending when its turn comes, not when it arrived.
    let (_, mut initiator) = rig.new_session(&[Rig::mapping(0, unit, CONTEXT)]);
    let first = initiator.put_command(0, &TEST_UNIT_READY, 0, &[]);
    let second = initiator.put_command(0, &request_sense(1), 252, &[]);
    initiator.send();
    assert_eq!(initiator.outcome(first).sense, Some((0x6, 0x2900)));
    assert_eq!(initiator.outcome(second).data[1], 0);
    rig.stop();
}

fn a_task_is_aborted_and_never_answered(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let cmd_sn = initiator.cmd_sn;
    let task = initiator.put_command(0, &UPCALL, 64, &[]);
    initiator.send();
    let (upcall, _) = rig.upcall();
    assert_eq!(initiator.manage(ABORT_TASK, 0, (task, cmd_sn)), COMPLETE);
    rig.engine.answer(upcall, 0, None, vec![1; 64], None);
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
    assert!(initiator.is_unanswered(task));
    // A write that waits for its data: the R2T is not answered.
    let cmd_sn = initiator.cmd_sn;
    let tag = initiator.put_command(0, &cdb(0x8A, 0, 512), 0, &pattern(1, 512 * BLOCK));
    let abort = initiator.put_management(ABORT_TASK, 0, (tag, cmd_sn));
    initiator.send();
    assert_eq!(initiator.reply(abort).0, COMPLETE);
    assert!(initiator.is_unanswered(tag));
    assert_eq!(read(&mut initiator, 0, 1).data, [0; BLOCK], "its data never reaches the medium");
    rig.stop();
}

fn what_is_not_there_cannot_be_aborted(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    assert_eq!(initiator.manage(ABORT_TASK, 0, (0x7777, FIRST_CMD_SN)), NO_SUCH_TASK);
    assert_eq!(initiator.manage(ABORT_TASK_SET, 9, NONE), NO_SUCH_LUN);
    assert_eq!(initiator.manage(LOGICAL_UNIT_RESET, 9, NONE), NO_SUCH_LUN);
    assert_eq!(initiator.manage(TASK_REASSIGN, 0, NONE), NO_REASSIGNMENT);
    assert_eq!(initiator.manage(3, 0, NONE), NOT_SUPPORTED);
    assert_eq!(initiator.manage(99, 0, NONE), NOT_SUPPORTED);
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
    rig.stop();
}

fn a_task_set_is_aborted_and_the_others_are_not(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let mappings = [Rig::mapping(0, unit, CONTEXT), Rig::mapping(1, unit, CONTEXT)];
    let (_, mut initiator) = rig.session(&mappings);
    let (_, mut other) = rig.session(&mappings[..1]);
    let mine: Vec<_> = (0..5).map(|_| initiator.put_command(0, &UPCALL, 64, &[])).collect();
    let kept = initiator.put_command(1, &UPCALL, 64, &[]);
    let others = other.put_command(0, &UPCALL, 64, &[]);
    initiator.send();
    other.send();
    let upcalls: Vec<_> = (0..7).map(|_| rig.upcall().0).collect();
    assert_eq!(initiator.manage(ABORT_TASK_SET, 0, NONE), COMPLETE);
    for upcall in upcalls {
        rig.engine.answer(upcall, 0, None, vec![5; 64], None);
    }
    assert_eq!(initiator.outcome(kept).data, [5; 64]);
    assert_eq!(other.outcome(others).data, [5; 64]);
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
    assert!(mine.iter().all(|tag| initiator.is_unanswered(*tag)));
    assert!(other.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
    rig.stop();
}

fn a_reset_aborts_the_tasks_of_all_and_tells_the_others(driver: DriverChoice) {
    // One submitter and two: the abort has to go where the sessions are.
    for submitters in [1, 2] {
        for (function, attention) in
            [(CLEAR_TASK_SET, 0x2F00), (LOGICAL_UNIT_RESET, 0x2903), (TARGET_WARM_RESET, 0x2903)]
        {
            let mut rig = Rig::new(driver, submitters);
            let unit = rig.unit(Kind::Memory, 1 << 20);
            let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, "first")]);
            let (_, mut other) = rig.session(&[Rig::mapping(3, unit, "second")]);
            let mine = initiator.put_command(0, &UPCALL, 64, &[]);
            let others = other.put_command(3, &UPCALL, 64, &[]);
            initiator.send();
            other.send();
            rig.upcall();
            rig.upcall();
            assert_eq!(initiator.manage(function, 0, NONE), COMPLETE);
            assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
            let outcome = other.run(3, &TEST_UNIT_READY, 0, &[]);
            assert_eq!(outcome.sense, Some((0x6, attention)));
            assert!(other.run(3, &TEST_UNIT_READY, 0, &[]).is_good());
            assert!(initiator.is_unanswered(mine) && other.is_unanswered(others));
            rig.stop();
        }
    }
}

fn a_cold_reset_ends_every_session_of_the_target(driver: DriverChoice) {
    for submitters in [1, 2] {
        let mut rig = Rig::new(driver, submitters);
        let unit = rig.unit(Kind::Memory, 1 << 20);
        let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, "first")]);
        let (other_id, mut other) = rig.session(&[Rig::mapping(0, unit, "second")]);
        // Data on its way does not swallow the answer.
        for _ in 0..8 {
            initiator.put_command(0, &cdb(0x88, 0, 2048), 1 << 20, &[]);
        }
        initiator.send();
        initiator.receive();
        other.put_command(0, &UPCALL, 64, &[]);
        other.send();
        rig.upcall();
        assert_eq!(initiator.manage(TARGET_COLD_RESET, 0, NONE), COMPLETE);
        rig.ended(id);
        assert_eq!(rig.ended(other_id), "target cold reset");
        initiator.expect_end();
        other.expect_end();
        rig.stop();
    }
}

/// Writes, flushes, locked ranges, and aborts of all of them, until everything was answered once
/// or aborted; nothing that an answered abort was about is written later.
fn aborts_and_io_at_the_same_time(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::File, 8 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, "first")]);
    let (_, mut other) = rig.session(&[Rig::mapping(0, unit, "second")]);
    for round in 0..40_u8 {
        let mut tags = Vec::new();
        for number in 0..12_u64 {
            let data = pattern(round, 128 * BLOCK);
            let cmd_sn = initiator.cmd_sn;
            let tag = match number % 4 {
                0 => initiator.put_command(0, &cdb(0x93, 0, 2000), 0, &data[..BLOCK]),
                1 => initiator.put_command(0, &cdb(0x91, 0, 0), 0, &[]),
                _ => initiator.put_command(0, &cdb(0x8A, 128 * number, 128), 0, &data),
            };
            tags.push((tag, cmd_sn));
            other.put_command(0, &cdb(0x8A, 8 * number, 8), 0, &data[..8 * BLOCK]);
        }
        let aborts: Vec<_> = match round % 3 {
            0 => tags.iter().map(|about| initiator.put_management(ABORT_TASK, 0, *about)).collect(),
            1 => vec![initiator.put_management(ABORT_TASK_SET, 0, NONE)],
            // Twice: an initiator that hears nothing escalates.
            _ => vec![
                initiator.put_management(ABORT_TASK_SET, 0, NONE),
                initiator.put_management(LOGICAL_UNIT_RESET, 0, NONE),
            ],
        };
        let arrived = other.put_command(0, &TEST_UNIT_READY, 0, &[]);
        other.send();
        other.outcome(arrived);
        initiator.send();
        for abort in aborts {
            assert!([COMPLETE, NO_SUCH_TASK].contains(&initiator.reply(abort).0));
        }
        // Whatever was to be written has been: what is there now stays.
        let ours = pattern(!round, 2048 * BLOCK);
        let rest = |other: &mut crate::initiator::Initiator| {
            while !other.run(0, &TEST_UNIT_READY, 0, &[]).is_good() {}
        };
        rest(&mut other);
        other.settle(round % 3 == 2);
        assert!(write(&mut initiator, 0, &ours).is_good());
        assert!(initiator.run(0, &cdb(0x91, 0, 0), 0, &[]).is_good());
        assert!(read(&mut initiator, 0, 2048).data == ours, "round {round}");
        initiator.settle(true);
    }
    rig.stop();
}
