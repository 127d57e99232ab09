//! How sessions end, and that nothing is left of them.

use crate::initiator::parameters;
use crate::rig::{BLOCK, CONTEXT, Rig, cdb, on_both_drivers, pattern};
use fairlead_engine::engine::{DriverChoice, EngineError, Login};
use fairlead_engine::shared::Event;
use fairlead_engine::volume::Kind;

on_both_drivers! {
    a_session_that_ends_with_commands_in_flight_releases_its_contexts_once,
    an_initiator_that_vanishes_in_the_middle_of_its_data_leaves_nothing,
    a_session_is_ended_by_logout_and_by_the_target,
    stopping_ends_sessions_with_commands_in_flight,
    what_cannot_be_adopted_leaves_nothing,
    a_volume_is_removed_when_its_last_session_is_over,
    a_peer_that_breaks_the_rules_is_told_of_and_ended,
}

fn ends_in(events: &[Event], id: u64) -> usize {
    let is_end =
        |event: &&Event| matches!(event, Event::SessionEnded { session, .. } if *session == id);
    events.iter().filter(is_end).count()
}

fn releases_in(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::ContextReleased(_))).count()
}

fn a_session_that_ends_with_commands_in_flight_releases_its_contexts_once(driver: DriverChoice) {
    for round in 0..30 {
        let mut rig = Rig::new(driver, 1);
        let (file, memory) = (rig.unit(Kind::File, 32 << 20), rig.unit(Kind::Memory, 32 << 20));
        let mappings = [Rig::mapping(0, file, CONTEXT), Rig::mapping(1, memory, CONTEXT)];
        let (id, mut initiator) = rig.session(&mappings);
        let (other_id, mut other) = rig.session(&[Rig::mapping(0, file, "other")]);
        for number in 0..24 {
            let lba = 2048 * (number % 16);
            initiator.put_command((number % 2) as u16, &cdb(0x88, lba, 2048), 1 << 20, &[]);
            initiator.put_command(0, &cdb(0x8A, lba, 64), 0, &pattern(number as u8, 64 * BLOCK));
        }
        initiator.put_command(0, &cdb(0x91, 0, 0), 0, &[]);
        initiator.put_command(0, &cdb(0x93, 0, 20_000), 0, &pattern(1, BLOCK));
        initiator.put_command(0, &[0xA3], 64, &[]);
        initiator.send();
        // At different moments: at once, after the first answer, when the target says so.
        match round % 3 {
            0 => drop(initiator),
            1 => {
                initiator.receive();
                drop(initiator);
            }
            _ => rig.engine.end_session(id),
        }
        rig.ended(id);
        // Told before the session's end, and once for each of its contexts.
        assert_eq!(rig.released(), [CONTEXT, CONTEXT]);
        assert!(other.run(0, &cdb(0x88, 0, 1), BLOCK as u32, &[]).is_good());
        let events = rig.stop();
        assert_eq!((ends_in(&events, id), ends_in(&events, other_id)), (0, 1));
        assert_eq!(releases_in(&events), 1, "that of the other session");
    }
}

fn an_initiator_that_vanishes_in_the_middle_of_its_data_leaves_nothing(driver: DriverChoice) {
    let data = pattern(1, 1 << 20);
    for cut in [20, 48, 100, 60_000, (64 << 10) + 48] {
        let mut rig = Rig::new(driver, 1);
        let unit = rig.unit(Kind::Memory, 8 << 20);
        let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
        initiator.put_command(0, &cdb(0x8A, 0, 2048), 0, &data);
        let mut bytes = initiator.take_unsent();
        bytes.truncate(cut);
        initiator.put_raw(&bytes);
        initiator.send();
        drop(initiator);
        rig.ended(id);
        assert_eq!(rig.released(), [CONTEXT]);
        rig.stop();
    }
}

fn a_session_is_ended_by_logout_and_by_the_target(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    assert_eq!(initiator.log_out(), 0);
    initiator.expect_end();
    assert_eq!(rig.ended(id), "logout");
    assert_eq!(rig.released(), [CONTEXT]);
    let (id, initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    rig.engine.end_session(id);
    rig.engine.end_session(id);
    rig.engine.end_session(u64::MAX);
    initiator.expect_end();
    assert_eq!(rig.ended(id), "ended by the target");
    let events = rig.stop();
    assert_eq!((ends_in(&events, id), releases_in(&events)), (0, 1));
}

fn stopping_ends_sessions_with_commands_in_flight(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::File, 8 << 20);
    let mut ids = Vec::new();
    let mut initiators = Vec::new();
    for context in ["first", "second", "third"] {
        let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, context)]);
        for number in 0..30 {
            initiator.put_command(0, &cdb(0x8A, number, 128), 0, &pattern(2, 128 * BLOCK));
        }
        initiator.put_command(0, &cdb(0x91, 0, 0), 0, &[]);
        initiator.put_command(0, &cdb(0x93, 0, 10_000), 0, &pattern(1, BLOCK));
        initiator.send();
        ids.push(id);
        initiators.push(initiator);
    }
    let events = rig.stop();
    assert!(ids.iter().all(|id| ends_in(&events, *id) == 1));
    assert_eq!(releases_in(&events), 3);
}

fn login() -> Login {
    Login {
        initiator_name: "iqn.2008-12.org.example:late".into(),
        target_name: "iqn.2008-12.org.example:target".into(),
        isid: [0; 6],
        peer: "127.0.0.1".into(),
        parameters: parameters(),
        report_luns: Vec::new(),
        unread: Vec::new(),
    }
}

fn what_cannot_be_adopted_leaves_nothing(driver: DriverChoice) {
    let rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let mappings = [Rig::mapping(0, unit, CONTEXT), Rig::mapping(1, 999, CONTEXT)];
    let (socket, initiator) = rig.connect(&parameters());
    let refused = rig.engine.adopt(socket.into(), login(), &mappings).err();
    assert!(matches!(refused, Some(EngineError::Unknown("logical unit", 999))), "{refused:?}");
    initiator.expect_end();
    assert!(rig.engine.contexts().is_empty() && rig.engine.sessions().is_empty());
    assert!(rig.engine.stop(crate::initiator::PATIENCE));
    let (socket, initiator) = rig.connect(&parameters());
    let refused = rig.engine.adopt(socket.into(), login(), &mappings[..1]).err();
    assert!(matches!(refused, Some(EngineError::Stopping)), "{refused:?}");
    initiator.expect_end();
    assert!(rig.engine.contexts().is_empty() && rig.engine.sessions().is_empty());
}

fn a_volume_is_removed_when_its_last_session_is_over(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let volume = rig.engine.volumes()[0].id;
    let (id, initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let refused = rig.engine.remove_volume(volume).err();
    assert!(matches!(refused, Some(EngineError::InUse(_))), "{refused:?}");
    drop(initiator);
    rig.ended(id);
    rig.engine.remove_volume(volume).expect("nobody uses it");
    assert!(rig.engine.volumes().is_empty());
    let gone = rig.engine.remove_volume(volume).err();
    assert!(matches!(gone, Some(EngineError::Unknown("volume", _))), "{gone:?}");
    rig.stop();
}

fn a_peer_that_breaks_the_rules_is_told_of_and_ended(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (id, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    // SNACK is of no use here: rejected, and the session goes on.
    let mut bhs = [0; 48];
    (bhs[0], bhs[1]) = (0x10, 0x80);
    (0..9).for_each(|_| initiator.put_raw(&bhs));
    assert!(initiator.run(0, &cdb(0x88, 0, 1), BLOCK as u32, &[]).is_good());
    assert_eq!(initiator.rejects, [0x03; 9]);
    let note = |event: &Event| match event {
        Event::ProtocolNote { session, reason, .. } if *session == id => Some(*reason),
        _ => None,
    };
    let reason = rig.event(note);
    assert!(reason.contains("SNACK"), "{reason}");
    // The same nine times is one line; another fault is a line of its own.
    let beyond = initiator.run(0, &cdb(0x88, 1 << 40, 1), BLOCK as u32, &[]);
    assert!(!beyond.is_good());
    assert_eq!(rig.event(note), "command beyond the last LBA");
    // A data segment of 16 MiB: there is no way on.
    bhs = [0; 48];
    bhs[5..8].fill(0xFF);
    initiator.put_raw(&bhs);
    initiator.send();
    assert_eq!(rig.ended(id), "data segment of 16777215 bytes, limit 262144");
    initiator.expect_end();
    rig.stop();
}
