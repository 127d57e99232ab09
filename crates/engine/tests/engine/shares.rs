//! What a context is due, in the whole engine: limits that hold one context and nobody else, changes
//! while commands wait, and their end.

use crate::initiator::Initiator;
use crate::rig::{BLOCK, CONTEXT, Rig, cdb, on_both_drivers, pattern, read, write};
use fairlead_engine::engine::{DriverChoice, LunMapping};
use fairlead_engine::volume::Kind;
use fairlead_sched::ContextId;
use fairlead_sched::cost::{CostModel, Line};
use fairlead_sched::settings::{Rate, Settings};
use std::time::{Duration, Instant};

const TASK_SET_FULL: u8 = 0x28;
const ABORT_TASK_SET: u8 = 2;
const COMPLETE: u8 = 0;
const NONE: (u32, u32) = (u32::MAX, 0);

on_both_drivers! {
    a_limit_holds_its_context_and_nobody_else,
    a_limit_that_is_lifted_lets_go_what_it_held,
    what_is_held_is_aborted_at_once,
    a_session_ends_whose_commands_are_held,
    a_full_queue_is_answered_task_set_full,
    large_requests_are_right_while_others_want_the_device,
    a_large_write_that_waited_for_a_locked_range_is_written_whole,
    requests_are_booked_at_what_they_cost_their_device,
}

pub(crate) fn limited(iops: u64) -> Settings {
    let limit = Rate { iops: Some(iops), bytes_per_s: None };
    Settings { limit, burst_ns: 0, ..Settings::default() }
}

pub(crate) fn mapping(unit: u32, context: &str, settings: Settings) -> LunMapping {
    LunMapping { settings, ..Rig::mapping(0, unit, context) }
}

/// Commands that read a block each, sent together.
pub(crate) fn put_reads(initiator: &mut Initiator, count: u64) -> Vec<u32> {
    let read = |lba| cdb(0x88, lba, 1);
    let tags = (0..count).map(|lba| initiator.put_command(0, &read(lba), BLOCK as u32, &[]));
    let tags = tags.collect();
    initiator.send();
    tags
}

pub(crate) fn context_of(rig: &Rig, client: &str) -> ContextId {
    let entries = rig.engine.contexts();
    entries.iter().find(|entry| entry.key.client == client).expect("a context").id
}

fn a_limit_holds_its_context_and_nobody_else(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    for kind in [Kind::Null, Kind::File, Kind::Direct] {
        let unit = rig.unit(kind, 1 << 20);
        let (_, mut held) = rig.session(&[mapping(unit, "held", limited(50))]);
        let (_, mut free) = rig.session(&[Rig::mapping(0, unit, "free")]);
        let began = Instant::now();
        let tags = put_reads(&mut held, 8);
        for _ in 0..200 {
            assert!(read(&mut free, 0, 1).is_good());
        }
        let last = *tags.last().expect("eight");
        if began.elapsed() < Duration::from_millis(100) {
            held.receive();
            assert!(held.is_unanswered(last), "200 reads of the other did not wait for it");
        }
        assert!(tags.into_iter().all(|tag| held.outcome(tag).is_good()));
        assert!(began.elapsed() >= Duration::from_millis(140), "8 at 50 a second");
    }
    rig.stop();
}

fn a_limit_that_is_lifted_lets_go_what_it_held(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Null, 1 << 20);
    let (_, mut initiator) = rig.session(&[mapping(unit, CONTEXT, limited(1))]);
    let began = Instant::now();
    let tags = put_reads(&mut initiator, 30);
    let id = context_of(&rig, CONTEXT);
    rig.engine.set_context(id, Settings::default()).expect("it is there");
    assert!(tags.into_iter().all(|tag| initiator.outcome(tag).is_good()));
    assert!(began.elapsed() < Duration::from_secs(20), "not one a second");
    rig.stop();
}

fn what_is_held_is_aborted_at_once(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.session(&[mapping(unit, CONTEXT, limited(1))]);
    let data = pattern(7, BLOCK);
    assert!(write(&mut initiator, 0, &pattern(1, BLOCK)).is_good());
    let tags: Vec<_> =
        (0..9).map(|_| initiator.put_command(0, &cdb(0x8A, 0, 1), 0, &data)).collect();
    initiator.send();
    assert_eq!(initiator.manage(ABORT_TASK_SET, 0, NONE), COMPLETE);
    let id = context_of(&rig, CONTEXT);
    rig.engine.set_context(id, Settings::default()).expect("it is there");
    assert_eq!(read(&mut initiator, 0, 1).data, pattern(1, BLOCK), "it was never written");
    assert!(tags.into_iter().all(|tag| initiator.is_unanswered(tag)));
    rig.stop();
}

fn a_session_ends_whose_commands_are_held(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::File, 1 << 20);
    let (id, mut initiator) = rig.session(&[mapping(unit, CONTEXT, limited(1))]);
    put_reads(&mut initiator, 20);
    assert!(rig.engine.set_context(context_of(&rig, CONTEXT), limited(2)).is_ok());
    let context = context_of(&rig, CONTEXT);
    drop(initiator);
    rig.ended(id);
    assert_eq!(rig.released(), [CONTEXT]);
    assert!(rig.engine.set_context(context, limited(3)).is_err(), "the name is stale");
    rig.stop();
}

fn a_full_queue_is_answered_task_set_full(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Null, 1 << 20);
    let settings = Settings { queued_max: 2, ..limited(1) };
    let (_, mut initiator) = rig.session(&[mapping(unit, CONTEXT, settings)]);
    let tags = put_reads(&mut initiator, 6);
    // One goes, two wait, the rest find no room.
    let refused: Vec<_> = tags[3..].iter().map(|tag| initiator.outcome(*tag).status).collect();
    assert_eq!(refused, [TASK_SET_FULL; 3]);
    rig.engine.set_context(context_of(&rig, CONTEXT), Settings::default()).expect("it is there");
    assert!(tags[..3].iter().all(|tag| initiator.outcome(*tag).is_good()));
    rig.stop();
}

fn large_requests_are_right_while_others_want_the_device(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Direct, 4 << 20);
    let (_, mut large) = rig.session(&[Rig::mapping(0, unit, "large")]);
    let (_, mut small) = rig.session(&[Rig::mapping(0, unit, "small")]);
    // Not a whole number of the pieces that it is cut into.
    let bytes = 700 * BLOCK;
    for round in 0..20 {
        assert!(read(&mut small, 8000, 8).is_good());
        let data = pattern(round, bytes);
        let written = large.put_command(0, &cdb(0x8A, 0, 700), 0, &data);
        large.send();
        assert!(write(&mut small, 4000, &pattern(round, 8 * BLOCK)).is_good());
        assert!(large.outcome(written).is_good());
        assert!(read(&mut large, 0, 700).data == data, "round {round}");
        assert_eq!(read(&mut small, 4000, 8).data, pattern(round, 8 * BLOCK));
    }
    rig.stop();
}

fn a_large_write_that_waited_for_a_locked_range_is_written_whole(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Direct, 4 << 20);
    let (_, mut large) = rig.session(&[Rig::mapping(0, unit, "large")]);
    let (_, mut locking) = rig.session(&[Rig::mapping(0, unit, "locking")]);
    let compared = 8_u8;
    let compare_and_write = {
        let mut cdb = cdb(0x89, 0, 0);
        cdb[13] = compared;
        cdb
    };
    for round in 0..100 {
        // Not equal, so nothing is written; but the range is locked until that is known.
        let blocks = vec![0xEE; 2 * usize::from(compared) * BLOCK];
        let locks: Vec<_> =
            (0..4).map(|_| locking.put_command(0, &compare_and_write, 0, &blocks)).collect();
        let data = pattern(round, 500 * BLOCK);
        let written = large.put_command(0, &cdb(0x8A, 0, 500), 0, &data);
        locking.send();
        large.send();
        assert!(large.outcome(written).is_good());
        locks.into_iter().for_each(|tag| assert!(!locking.outcome(tag).is_good()));
        assert!(read(&mut large, 0, 500).data == data, "round {round}");
    }
    rig.stop();
}

fn requests_are_booked_at_what_they_cost_their_device(driver: DriverChoice) {
    let line = |base_ns, per_kib_ns| Line { base_ns, per_kib_ns };
    let costs = CostModel { read: line(1_000_000, 1_000), write: line(7_000_000, 0) };
    let kinds = [Kind::Direct, Kind::File, Kind::Null];
    let costs = kinds.iter().map(|kind| (kind.name().to_owned(), costs)).collect();
    let mut rig = Rig::with_costs(driver, costs);
    let mut booked = |kind| {
        let unit = rig.unit(kind, 1 << 20);
        let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, kind.name())]);
        for _ in 0..3 {
            assert!(read(&mut initiator, 0, 8).is_good());
            assert!(write(&mut initiator, 0, &pattern(0, 8 * BLOCK)).is_good());
        }
        let entries = rig.engine.contexts();
        let entry = entries.iter().find(|entry| entry.key.client == kind.name());
        entry.expect("a context").accounts.total(|shard| &shard.cost_ns)
    };
    assert_eq!(booked(Kind::Direct), 3 * (1_004_000 + 7_000_000));
    // What memory answers costs our own time, whatever the device below.
    assert_eq!(booked(Kind::File), 6 * 3_360);
    assert_eq!(booked(Kind::Null), 6 * 3_360);
    rig.stop();
}
