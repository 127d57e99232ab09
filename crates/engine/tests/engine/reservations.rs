//! Rules that somebody has set, unit attentions, and what ends with a nexus.

use crate::initiator::{Initiator, parameters};
use crate::rig::{BLOCK, CONTEXT, Rig, TEST_UNIT_READY, cdb, on_both_drivers, pattern};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::message::Whom;
use fairlead_engine::reservation::Rule;
use fairlead_engine::shared::Event;
use fairlead_engine::volume::Kind;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::scsi::status;
use fairlead_proto::scsi::table::Access;
use std::sync::Arc;

on_both_drivers! {
    others_are_turned_away_from_what_the_rule_does_not_permit,
    units_of_one_volume_have_one_rule,
    a_unit_attention_comes_before_a_conflict,
    a_conflict_comes_before_other_faults,
    what_lasts_as_long_as_its_session_ends_before_anybody_can_know,
    a_reset_ends_what_a_reset_ends,
    a_reset_is_told_and_aborts_by_whatever_units_the_volume_is_reached,
    resets_without_upcalls_between_them_are_told_once,
    attentions_reach_those_they_are_for,
    an_answer_waits_until_what_was_preempted_is_over,
    who_preempts_itself_is_answered,
}

const CONFLICT: u8 = status::RESERVATION_CONFLICT;
const LOGICAL_UNIT_RESET: u8 = 5;
const NONE: (u32, u32) = (u32::MAX, 0);
/// A command that Python answers, and that no reservation concerns.
const RESERVE: [u8; 16] = [0x5F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// One that it does concern.
const UPCALL: [u8; 16] = [0xA3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const INQUIRY: [u8; 6] = [0x12, 0, 0, 0, 36, 0];

/// A session with this TSIH, its first unit attention behind it.
fn session(rig: &mut Rig, unit: u32, tsih: u16) -> (u64, Initiator) {
    let parameters = Parameters { tsih, ..parameters() };
    let (socket, mut initiator) = rig.connect(&parameters);
    let mapping = Rig::mapping(0, unit, &format!("{CONTEXT} {tsih}"));
    let id = rig.adopt(socket, parameters, &[mapping], Vec::new());
    let outcome = initiator.run(0, &TEST_UNIT_READY, 0, &[]);
    assert_eq!(outcome.sense, Some((0x6, 0x2900)));
    (id, initiator)
}

fn reserve(rig: &Rig, unit: u32, permits: Access, nexuses: &[u16], ends_with_session: bool) {
    let rule = Rule { permits, nexuses: nexuses.to_vec(), ends_with_session };
    rig.engine.set_access_rule(unit, rule).expect("a unit");
}

fn status_of(initiator: &mut Initiator, cdb: &[u8], in_bytes: u32, out: &[u8]) -> u8 {
    initiator.run(0, cdb, in_bytes, out).status
}

fn others_are_turned_away_from_what_the_rule_does_not_permit(driver: DriverChoice) {
    for submitters in [1, 2] {
        let mut rig = Rig::new(driver, submitters);
        let unit = rig.unit(Kind::Memory, 1 << 20);
        let (_, mut holder) = session(&mut rig, unit, 3);
        let (_, mut other) = session(&mut rig, unit, 4);
        let data = pattern(1, BLOCK);
        for permits in [Access::Nothing, Access::Status, Access::Read, Access::Everything] {
            reserve(&rig, unit, permits, &[3, 9], false);
            for (needs, cdb, in_bytes, out) in [
                (Access::Nothing, &INQUIRY[..], 36, &[][..]),
                (Access::Status, &TEST_UNIT_READY[..], 0, &[]),
                (Access::Read, &cdb(0x88, 0, 1), BLOCK as u32, &[]),
                (Access::Everything, &cdb(0x8A, 0, 1), 0, &data),
            ] {
                assert_eq!(status_of(&mut holder, cdb, in_bytes, out), status::GOOD);
                let expected = if needs > permits { CONFLICT } else { status::GOOD };
                let found = status_of(&mut other, cdb, in_bytes, out);
                assert_eq!(found, expected, "{permits:?} {needs:?}");
            }
        }
        rig.stop();
    }
}

fn units_of_one_volume_have_one_rule(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let sibling = rig.sibling(unit);
    let stranger = rig.unit(Kind::Memory, 1 << 20);
    reserve(&rig, unit, Access::Nothing, &[3], false);
    for (other, expected) in [(sibling, CONFLICT), (stranger, status::GOOD)] {
        let (_, mut initiator) = session(&mut rig, other, 4);
        assert_eq!(status_of(&mut initiator, &TEST_UNIT_READY, 0, &[]), expected);
    }
    assert!(rig.engine.set_access_rule(9999, Rule::OPEN).is_err());
    rig.stop();
}

fn a_unit_attention_comes_before_a_conflict(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    reserve(&rig, unit, Access::Nothing, &[3], false);
    // `session` sees POWER ON, though the unit is reserved.
    let (_, mut other) = session(&mut rig, unit, 4);
    assert_eq!(status_of(&mut other, &TEST_UNIT_READY, 0, &[]), CONFLICT);
    rig.stop();
}

fn a_conflict_comes_before_other_faults(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut other) = session(&mut rig, unit, 4);
    let beyond = cdb(0x88, 1 << 40, 1);
    let unknown = [0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (cdb, sense) in [(&beyond[..], 0x2100), (&unknown[..], 0x2000)] {
        reserve(&rig, unit, Access::Status, &[3], false);
        assert_eq!(status_of(&mut other, cdb, 512, &[]), CONFLICT);
        reserve(&rig, unit, Access::Everything, &[], false);
        assert_eq!(other.run(0, cdb, 512, &[]).sense, Some((0x5, sense)));
    }
    rig.stop();
}

/// Waits for the word that the nexus of this session is lost.
fn lost(rig: &mut Rig, id: u64) {
    rig.event(|event| match event {
        Event::NexusLost { session } if *session == id => Some(()),
        _ => None,
    });
}

fn what_lasts_as_long_as_its_session_ends_before_anybody_can_know(driver: DriverChoice) {
    for ends_with_session in [true, false] {
        for logs_out in [true, false] {
            let mut rig = Rig::new(driver, 2);
            let unit = rig.unit(Kind::Memory, 1 << 20);
            let (id, mut holder) = session(&mut rig, unit, 3);
            let (_, mut other) = session(&mut rig, unit, 4);
            reserve(&rig, unit, Access::Nothing, &[3], ends_with_session);
            assert_eq!(status_of(&mut other, &TEST_UNIT_READY, 0, &[]), CONFLICT);
            if logs_out {
                assert_eq!(holder.log_out(), 0);
            } else {
                drop(holder);
                rig.ended(id);
            }
            let expected = if ends_with_session { status::GOOD } else { CONFLICT };
            assert_eq!(status_of(&mut other, &TEST_UNIT_READY, 0, &[]), expected);
            lost(&mut rig, id);
            rig.stop();
        }
    }
}

fn a_reset_ends_what_a_reset_ends(driver: DriverChoice) {
    for ends_with_session in [true, false] {
        let mut rig = Rig::new(driver, 1);
        let unit = rig.unit(Kind::Memory, 1 << 20);
        let (_, mut other) = session(&mut rig, unit, 4);
        reserve(&rig, unit, Access::Nothing, &[3], ends_with_session);
        assert_eq!(other.manage(LOGICAL_UNIT_RESET, 0, NONE), 0);
        let expected = if ends_with_session { status::GOOD } else { CONFLICT };
        assert_eq!(status_of(&mut other, &TEST_UNIT_READY, 0, &[]), expected);
        rig.stop();
    }
}

fn a_reset_is_told_and_aborts_by_whatever_units_the_volume_is_reached(driver: DriverChoice) {
    for submitters in [1, 2] {
        let mut rig = Rig::new(driver, submitters);
        let unit = rig.unit(Kind::Memory, 1 << 20);
        let sibling = rig.sibling(unit);
        let (_, mut holder) = session(&mut rig, unit, 3);
        let (_, mut other) = session(&mut rig, sibling, 4);
        let lost = holder.put_command(0, &UPCALL, 64, &[]);
        holder.send();
        rig.upcall();
        assert_eq!(other.manage(LOGICAL_UNIT_RESET, 0, NONE), 0);
        let outcome = holder.run(0, &TEST_UNIT_READY, 0, &[]);
        assert_eq!(outcome.sense, Some((0x6, 0x2903)));
        assert!(holder.is_unanswered(lost));
        assert!(other.run(0, &TEST_UNIT_READY, 0, &[]).is_good(), "it knows");
        rig.stop();
    }
}

fn resets_without_upcalls_between_them_are_told_once(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let units = [rig.unit(Kind::Memory, 1 << 20), rig.unit(Kind::Memory, 1 << 20)];
    let (_, mut initiator) =
        rig.session(&[Rig::mapping(0, units[0], CONTEXT), Rig::mapping(1, units[1], CONTEXT)]);
    for _ in 0..2 {
        for _ in 0..50 {
            assert_eq!(initiator.manage(LOGICAL_UNIT_RESET, 0, NONE), 0);
            assert_eq!(initiator.manage(LOGICAL_UNIT_RESET, 1, NONE), 0);
        }
        initiator.put_command(0, &RESERVE, 0, &[]);
        initiator.send();
        let (upcall, _) = rig.upcall();
        rig.engine.answer(upcall, status::GOOD, None, Vec::new(), None);
    }
    let told = rig.stop().into_iter().filter(|event| matches!(event, Event::UnitReset { .. }));
    assert_eq!(told.count(), 4);
}

fn attentions_reach_those_they_are_for(driver: DriverChoice) {
    for submitters in [1, 2] {
        let mut rig = Rig::new(driver, submitters);
        let unit = rig.unit(Kind::Memory, 1 << 20);
        let mut sessions: Vec<_> = (1..5).map(|tsih| session(&mut rig, unit, tsih)).collect();
        let ids: Vec<_> = sessions.iter().map(|(id, _)| *id).collect();
        for (whom, expected) in [
            (Whom::These(Arc::from([ids[1], ids[3], 12345])), [false, true, false, true]),
            (Whom::AllBut(ids[2]), [true, true, false, true]),
            (Whom::AllBut(0), [true; 4]),
        ] {
            for asc in [0x2A03, 0x2A04, 0x2A05, 0x3F03] {
                rig.engine.raise_attention(unit, &whom, asc).expect("a unit");
                settle(&mut rig, unit, &mut sessions[0].1);
                for ((_, initiator), is_told) in sessions.iter_mut().zip(expected) {
                    let outcome = initiator.run(0, &TEST_UNIT_READY, 0, &[]);
                    assert_eq!(outcome.sense, is_told.then_some((0x6, asc)));
                }
            }
        }
        assert!(rig.engine.raise_attention(9999, &Whom::AllBut(0), 0x2A03).is_err());
        rig.stop();
    }
}

/// An answer behind which everything that was posted before is done.
fn settle(rig: &mut Rig, unit: u32, initiator: &mut Initiator) {
    let tag = initiator.put_command(0, &PASSING, 0, &[]);
    initiator.send();
    let (upcall, _) = rig.upcall();
    rig.engine.answer_settled(upcall, unit, Arc::from([])).expect("a unit");
    assert!(initiator.outcome(tag).is_good());
}

/// An upcall that passes a unit attention.
const PASSING: [u8; 16] = [0x5E, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn an_answer_waits_until_what_was_preempted_is_over(driver: DriverChoice) {
    for (submitters, by_a_sibling) in [(1, false), (2, false), (1, true), (2, true)] {
        let mut rig = Rig::new(driver, submitters);
        let unit = rig.unit(Kind::Memory, 1 << 20);
        let way = if by_a_sibling { rig.sibling(unit) } else { unit };
        let (_, mut holder) = session(&mut rig, unit, 1);
        let (busy, mut loser) = session(&mut rig, way, 2);
        let (idle, mut other) = session(&mut rig, unit, 3);
        let lost = loser.put_command(0, &UPCALL, 64, &[]);
        loser.send();
        let (stale, _) = rig.upcall();
        // One whose data has not come.
        let write = loser.put_command(0, &cdb(0x8A, 0, 512), 0, &pattern(1, 512 * BLOCK));
        let kept = holder.put_command(0, &UPCALL, 64, &[]);
        loser.send();
        holder.send();
        let (mine, _) = rig.upcall();
        let preempt = holder.put_command(0, &RESERVE, 0, &[]);
        holder.send();
        let (upcall, _) = rig.upcall();
        rig.engine.answer_settled(upcall, unit, Arc::from([busy, idle])).expect("a unit");
        assert!(holder.outcome(preempt).is_good());
        rig.engine.answer(stale, status::GOOD, None, vec![1; 64], None);
        rig.engine.answer(mine, status::GOOD, None, vec![2; 64], None);
        assert_eq!(holder.outcome(kept).data, [2; 64], "others keep their tasks");
        let outcome = loser.run(0, &TEST_UNIT_READY, 0, &[]);
        assert_eq!(outcome.sense, Some((0x6, 0x2F00)), "told, because it has lost tasks");
        assert!(loser.is_unanswered(lost) && loser.is_unanswered(write));
        assert!(other.run(0, &TEST_UNIT_READY, 0, &[]).is_good(), "had none to lose");
        rig.stop();
    }
}

fn who_preempts_itself_is_answered(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (id, mut initiator) = session(&mut rig, unit, 1);
    let lost = initiator.put_command(0, &UPCALL, 64, &[]);
    initiator.send();
    rig.upcall();
    let preempt = initiator.put_command(0, &RESERVE, 0, &[]);
    initiator.send();
    let (upcall, _) = rig.upcall();
    rig.engine.answer_settled(upcall, unit, Arc::from([id])).expect("a unit");
    assert!(initiator.outcome(preempt).is_good());
    assert!(initiator.is_unanswered(lost));
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good(), "it knows");
    // Nobody waits for these.
    rig.engine.answer_settled(upcall, unit, Arc::from([id])).expect("a unit");
    rig.engine.answer_settled(u64::MAX, unit, Arc::from([id])).expect("a unit");
    assert!(rig.engine.answer_settled(upcall, 9999, Arc::from([])).is_err());
    assert!(initiator.run(0, &TEST_UNIT_READY, 0, &[]).is_good());
    rig.stop();
}
