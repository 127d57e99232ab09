//! Contexts of one device whose sessions are on several submitters: one schedules for all of them.

use crate::initiator::Initiator;
use crate::rig::{BLOCK, Rig, cdb, on_both_drivers, pattern, read, write};
use crate::shares::{context_of, limited, mapping, put_reads};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::volume::Kind;
use fairlead_sched::settings::Settings;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const TASK_SET_FULL: u8 = 0x28;
const ABORT_TASK_SET: u8 = 2;
const COMPLETE: u8 = 0;
const NONE: (u32, u32) = (u32::MAX, 0);

on_both_drivers! {
    shares_hold_between_submitters,
    a_lease_ends_when_somebody_comes,
    a_limit_holds_a_context_of_another_submitter,
    what_the_owner_holds_is_aborted_at_once,
    a_session_ends_whose_commands_the_owner_holds,
    a_full_queue_of_the_owner_is_answered_task_set_full,
    a_session_with_units_on_several_devices_is_scheduled_on_each,
    a_request_is_booked_alike_whoever_schedules_it,
}

/// A rig, its unit on a simulated device, and a session on the submitter that owns the device.
fn owned(driver: DriverChoice) -> (Rig, u32, Initiator) {
    let mut rig = Rig::per_context(driver);
    let unit = rig.unit(Kind::Sim, 1 << 20);
    let (_, mut owner) = rig.session(&[Rig::mapping(0, unit, "owner")]);
    assert!(read(&mut owner, 0, 1).is_good());
    (rig, unit, owner)
}

/// Keeps so many reads in flight until so many were answered or `until` says so; how many were.
fn keep_reading(initiator: &mut Initiator, depth: usize, until: impl Fn(u64) -> bool) -> u64 {
    let mut answered = 0;
    let mut tags: std::collections::VecDeque<_> = put_reads(initiator, depth as u64).into();
    while let Some(tag) = tags.pop_front() {
        assert!(initiator.outcome(tag).is_good());
        if until(answered) {
            continue;
        }
        answered += 1;
        tags.extend(put_reads(initiator, 1));
    }
    answered
}

fn shares_hold_between_submitters(driver: DriverChoice) {
    let (mut rig, unit, mut heavy) = owned(driver);
    let settings = Settings { weight: 1, ..Settings::default() };
    let (_, mut light) = rig.session(&[mapping(unit, "light", settings)]);
    let id = context_of(&rig, "owner");
    rig.engine.set_context(id, Settings { weight: 4, ..settings }).expect("it is there");
    let over = std::sync::atomic::AtomicBool::new(false);
    let (heavy, light) = std::thread::scope(|scope| {
        let over = &over;
        let light = scope.spawn(move || keep_reading(&mut light, 32, |_| over.load(Relaxed)));
        let heavy = keep_reading(&mut heavy, 32, |answered| answered >= 2000);
        over.store(true, Relaxed);
        (heavy, light.join().expect("it reads"))
    });
    // A quarter of it, or somewhat more where the other could not always keep 32 in flight. Without
    // the owner it would get as much.
    assert!((400..1000).contains(&light), "{light} beside {heavy}");
    rig.stop();
}

fn a_request_is_booked_alike_whoever_schedules_it(driver: DriverChoice) {
    let (mut rig, unit, mut owner) = owned(driver);
    let (_, mut asker) = rig.session(&[Rig::mapping(0, unit, "asker")]);
    assert!(read(&mut asker, 0, 1).is_good());
    for _ in 0..3 {
        assert!(read(&mut owner, 8, 8).is_good() && read(&mut asker, 8, 8).is_good());
    }
    let booked = |client: &str| {
        let entries = rig.engine.contexts();
        let entry = entries.iter().find(|entry| entry.key.client == client).expect("a context");
        entry.accounts.total(|shard| &shard.cost_ns)
    };
    assert!(booked("owner") > 0);
    assert_eq!(booked("owner"), booked("asker"));
    rig.stop();
}

fn a_lease_ends_when_somebody_comes(driver: DriverChoice) {
    let (mut rig, unit, mut owner) = owned(driver);
    let (_, mut alone) = rig.session(&[Rig::mapping(0, unit, "alone")]);
    let began = Instant::now();
    let mut lba = 0;
    // Long enough to be given a lease, and deep enough that some wait when it is recalled.
    keep_reading(&mut alone, 60, |_| began.elapsed() > Duration::from_millis(250));
    for round in 0..20 {
        let data = pattern(round, 8 * BLOCK);
        let tags: Vec<_> =
            (0..40).map(|i| alone.put_command(0, &cdb(0x8A, 8 * i, 8), 0, &data)).collect();
        alone.send();
        lba = (lba + 8) % 320;
        assert!(read(&mut owner, lba, 8).is_good());
        assert!(tags.into_iter().all(|tag| alone.outcome(tag).is_good()));
        assert_eq!(read(&mut owner, lba, 8).data, data);
    }
    rig.stop();
}

fn a_limit_holds_a_context_of_another_submitter(driver: DriverChoice) {
    let (mut rig, unit, mut owner) = owned(driver);
    let (_, mut held) = rig.session(&[mapping(unit, "held", limited(50))]);
    let began = Instant::now();
    let tags = put_reads(&mut held, 8);
    for _ in 0..100 {
        assert!(read(&mut owner, 0, 1).is_good());
    }
    assert!(tags.into_iter().all(|tag| held.outcome(tag).is_good()));
    assert!(began.elapsed() >= Duration::from_millis(140), "8 at 50 a second");
    rig.stop();
}

fn what_the_owner_holds_is_aborted_at_once(driver: DriverChoice) {
    let (mut rig, unit, mut owner) = owned(driver);
    let (_, mut held) = rig.session(&[mapping(unit, "held", limited(1))]);
    assert!(write(&mut held, 0, &pattern(1, BLOCK)).is_good());
    let data = pattern(7, BLOCK);
    let tags: Vec<_> = (0..9).map(|_| held.put_command(0, &cdb(0x8A, 0, 1), 0, &data)).collect();
    held.send();
    let began = Instant::now();
    assert_eq!(held.manage(ABORT_TASK_SET, 0, NONE), COMPLETE);
    assert!(began.elapsed() < Duration::from_secs(5), "not one a second");
    assert_eq!(read(&mut owner, 0, 1).data, pattern(1, BLOCK), "it was never written");
    rig.engine.set_context(context_of(&rig, "held"), Settings::default()).expect("there");
    assert_eq!(read(&mut held, 0, 1).data, pattern(1, BLOCK));
    assert!(tags.into_iter().all(|tag| held.is_unanswered(tag)));
    rig.stop();
}

fn a_session_ends_whose_commands_the_owner_holds(driver: DriverChoice) {
    let (mut rig, unit, mut owner) = owned(driver);
    for round in 0..20 {
        let (id, mut held) = rig.session(&[mapping(unit, "held", limited(1 + round))]);
        put_reads(&mut held, 20);
        assert!(read(&mut owner, 0, 1).is_good());
        drop(held);
        rig.ended(id);
        assert_eq!(rig.released(), ["held"]);
    }
    // The one who owned it goes, and the device is used on.
    drop(owner);
    let (_, mut other) = rig.session(&[Rig::mapping(0, unit, "other")]);
    assert!(read(&mut other, 0, 1).is_good());
    rig.stop();
}

fn a_full_queue_of_the_owner_is_answered_task_set_full(driver: DriverChoice) {
    let (mut rig, unit, _owner) = owned(driver);
    let settings = Settings { queued_max: 2, ..limited(1) };
    let (_, mut held) = rig.session(&[mapping(unit, "held", settings)]);
    let tags = put_reads(&mut held, 6);
    let refused: Vec<_> = tags[3..].iter().map(|tag| held.outcome(*tag).status).collect();
    assert_eq!(refused, [TASK_SET_FULL; 3]);
    rig.engine.set_context(context_of(&rig, "held"), Settings::default()).expect("there");
    assert!(tags[..3].iter().all(|tag| held.outcome(*tag).is_good()));
    rig.stop();
}

fn a_session_with_units_on_several_devices_is_scheduled_on_each(driver: DriverChoice) {
    let mut rig = Rig::per_context(driver);
    let units = [rig.unit(Kind::Sim, 1 << 20), rig.unit(Kind::Direct, 1 << 20)];
    let (_, mut first) = rig.session(&[Rig::mapping(0, units[0], "first")]);
    let (_, mut second) = rig.session(&[Rig::mapping(0, units[1], "second")]);
    assert!(read(&mut first, 0, 1).is_good() && read(&mut second, 0, 1).is_good());
    let both = [Rig::mapping(0, units[0], "both"), Rig::mapping(1, units[1], "both")];
    let (_, mut both) = rig.session(&both);
    for round in 0..50 {
        let data = pattern(round, 8 * BLOCK);
        let tags = [0, 1].map(|lun| both.put_command(lun, &cdb(0x8A, 0, 8), 0, &data));
        both.send();
        assert!(read(&mut first, 8, 8).is_good() && read(&mut second, 8, 8).is_good());
        assert!(tags.into_iter().all(|tag| both.outcome(tag).is_good()));
        assert_eq!(read(&mut first, 0, 8).data, data);
        assert_eq!(read(&mut second, 0, 8).data, data);
    }
    rig.stop();
}
