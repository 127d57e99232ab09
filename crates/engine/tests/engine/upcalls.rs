//! What Python answers.

use crate::initiator::{Initiator, parameters};
use crate::rig::{CONTEXT, Rig, TEST_UNIT_READY, on_both_drivers, pattern};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::shared::{Event, UPCALLS_MAX};
use fairlead_engine::volume::Kind;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;

on_both_drivers! {
    an_upcall_is_answered_with_data_sense_and_status,
    parameter_data_goes_up,
    answers_to_nothing_go_nowhere,
    too_many_upcalls_are_busy,
    sessions_that_end_leave_no_upcalls_behind,
    text_is_answered,
}

const BUSY: u8 = 0x08;
const UPCALL: [u8; 16] = [0xA3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn an_upcall_is_answered_with_data_sense_and_status(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    for context in ["first", "second"] {
        let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, context)]);
        let mut ask = |rig: &mut Rig, status, sense, data: Vec<u8>| {
            let tag = initiator.put_command(0, &UPCALL, 10_000, &[]);
            initiator.send();
            let (id, parameters) = rig.upcall();
            assert!(parameters.is_empty());
            rig.engine.answer(id, status, sense, data, None);
            initiator.outcome(tag)
        };
        for bytes in [1, 100, 5000, 10_000] {
            let outcome = ask(&mut rig, status::GOOD, None, pattern(1, bytes));
            assert!(outcome.is_good() && outcome.data == pattern(1, bytes));
            assert_eq!(outcome.residual, 10_000 - bytes as i64);
        }
        let outcome = ask(&mut rig, status::GOOD, None, pattern(1, 20_000));
        assert_eq!((outcome.data, outcome.residual), (pattern(1, 10_000), -10_000));
        assert!(ask(&mut rig, status::GOOD, None, Vec::new()).is_good());
        let sense = Some(Sense::INVALID_FIELD_IN_PARAMETERS);
        let outcome = ask(&mut rig, status::CHECK_CONDITION, sense, Vec::new());
        assert_eq!(outcome.sense, Some((0x5, 0x2600)));
        let outcome = ask(&mut rig, status::RESERVATION_CONFLICT, None, Vec::new());
        assert_eq!((outcome.status, outcome.sense), (0x18, None));
    }
    rig.stop();
}

fn parameter_data_goes_up(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    for immediate_data in [true, false] {
        let parameters = Parameters { immediate_data, ..parameters() };
        let (socket, mut initiator) = rig.connect(&parameters);
        rig.adopt(socket, parameters, &[Rig::mapping(0, unit, CONTEXT)], Vec::new());
        initiator.run(0, &TEST_UNIT_READY, 0, &[]);
        let data = pattern(3, 1000);
        for (length, sent, told) in [(1000, 1000, 1000), (24, 1000, 24), (1000, 24, 24)] {
            let [high, low] = u16::to_be_bytes(length);
            let cdb = [0x55, 0, 0, 0, 0, 0, 0, high, low, 0];
            let tag = initiator.put_command(0, &cdb, 0, &data[..sent]);
            initiator.send();
            if !immediate_data {
                // The R2T, which is answered.
                initiator.receive();
            }
            let (id, parameters) = rig.upcall();
            assert!(parameters == data[..told], "{length} {sent}: {} bytes", parameters.len());
            rig.engine.answer(id, status::GOOD, None, Vec::new(), None);
            assert!(initiator.outcome(tag).is_good());
        }
    }
    rig.stop();
}

fn answers_to_nothing_go_nowhere(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    for number in [0, 1, 77, 1 << 48, u64::MAX] {
        rig.engine.answer(number, status::GOOD, None, vec![1; 10], None);
    }
    let tag = initiator.put_command(0, &UPCALL, 10, &[]);
    initiator.send();
    let (upcall, _) = rig.upcall();
    rig.engine.answer(upcall, status::GOOD, None, vec![1; 10], None);
    rig.engine.answer(upcall, status::GOOD, None, vec![2; 10], None);
    assert_eq!(initiator.outcome(tag).data, [1; 10]);
    // The slot has another user when a late answer comes.
    let tag = initiator.put_command(0, &UPCALL, 10, &[]);
    initiator.send();
    let (next, _) = rig.upcall();
    rig.engine.answer(upcall, status::GOOD, None, vec![3; 10], None);
    rig.engine.answer(next, status::GOOD, None, vec![4; 10], None);
    assert_eq!(initiator.outcome(tag).data, [4; 10]);
    // The session is over.
    initiator.put_command(0, &UPCALL, 10, &[]);
    initiator.send();
    let (late, _) = rig.upcall();
    drop(initiator);
    rig.ended(id);
    rig.engine.answer(late, status::GOOD, None, vec![5; 10], None);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
    rig.stop();
}

/// Fills the queue of upcalls; what there was no room for is answered BUSY.
fn fill(initiator: &mut Initiator, commands: usize) -> (Vec<u32>, usize) {
    let tags: Vec<_> = (0..commands).map(|_| initiator.put_command(0, &UPCALL, 10, &[])).collect();
    // An answer that comes after those of all that were refused.
    let last = initiator.put_command(0, &TEST_UNIT_READY, 0, &[]);
    initiator.send();
    assert!(initiator.outcome(last).is_good());
    let (waiting, refused): (Vec<_>, Vec<_>) =
        tags.into_iter().partition(|tag| initiator.is_unanswered(*tag));
    for tag in &refused {
        assert_eq!(initiator.outcome(*tag).status, BUSY);
    }
    (waiting, refused.len())
}

fn too_many_upcalls_are_busy(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let parameters = Parameters { queue_depth: 400, ..parameters() };
    let (socket, mut initiator) = rig.connect(&parameters);
    rig.adopt(socket, parameters, &[Rig::mapping(0, unit, CONTEXT)], Vec::new());
    initiator.run(0, &TEST_UNIT_READY, 0, &[]);
    for _ in 0..2 {
        let (waiting, refused) = fill(&mut initiator, UPCALLS_MAX + 30);
        assert_eq!((waiting.len(), refused), (UPCALLS_MAX, 30));
        for _ in 0..UPCALLS_MAX {
            let (id, _) = rig.upcall();
            rig.engine.answer(id, status::GOOD, None, vec![1; 10], None);
        }
        assert!(waiting.into_iter().all(|tag| initiator.outcome(tag).is_good()));
    }
    rig.stop();
}

fn sessions_that_end_leave_no_upcalls_behind(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let mut rounds = 0;
    while rounds <= UPCALLS_MAX {
        let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
        // The first is answered when nobody waits any more, the second never is.
        for _ in 0..20 {
            initiator.put_command(0, &UPCALL, 10, &[]);
        }
        initiator.put_text(b"X-key=1\0");
        initiator.send();
        let upcalls: Vec<_> = (0..20).map(|_| rig.upcall().0).collect();
        text(&mut rig);
        drop(initiator);
        rig.ended(id);
        for upcall in upcalls {
            rig.engine.answer(upcall, status::GOOD, None, Vec::new(), None);
        }
        rounds += 20;
    }
    for _ in 0..UPCALLS_MAX + 10 {
        let (id, mut initiator) = rig.new_session(&[Rig::mapping(0, unit, CONTEXT)]);
        initiator.put_text(b"X-key=1\0");
        initiator.send();
        text(&mut rig);
        drop(initiator);
        rig.ended(id);
    }
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let tag = initiator.put_command(0, &UPCALL, 10, &[]);
    initiator.send();
    let (id, _) = rig.upcall();
    rig.engine.answer(id, status::GOOD, None, vec![1; 10], None);
    assert!(initiator.outcome(tag).is_good());
    rig.stop();
}

fn text(rig: &mut Rig) -> (u64, Vec<u8>) {
    rig.event(|event| match event {
        Event::Text { id, data, .. } => Some((*id, data.clone())),
        _ => None,
    })
}

fn text_is_answered(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    for _ in 0..3 {
        let tag = initiator.put_text(b"SendTargets=\0");
        initiator.send();
        let (id, data) = text(&mut rig);
        assert_eq!(data, b"SendTargets=\0");
        rig.engine.answer(id, status::GOOD, None, b"TargetName=x\0".to_vec(), Some(4096));
        assert_eq!(initiator.reply(tag).1, b"TargetName=x\0");
    }
    rig.stop();
}
