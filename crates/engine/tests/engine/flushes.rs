//! Flushes that meet, and flushes that fail.

use crate::rig::{BLOCK, CONTEXT, Rig, cdb, on_both_drivers, pattern, read};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::shared::Event;
use fairlead_engine::volume::Kind;

on_both_drivers! {
    flushes_of_two_submitters_are_all_answered,
    after_a_failed_flush_nothing_is_taken_for_stable,
}

fn flush() -> [u8; 16] {
    cdb(0x91, 0, 0)
}

/// Sessions on two submitters name their requests alike.
fn flushes_of_two_submitters_are_all_answered(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::File, 8 << 20);
    let initiators: Vec<_> =
        ["first", "second"].map(|context| rig.session(&[Rig::mapping(0, unit, context)]).1).into();
    std::thread::scope(|scope| {
        for (place, mut initiator) in (0_u64..).zip(initiators) {
            scope.spawn(move || {
                for round in 0..100_u8 {
                    let data = pattern(round, 32 * BLOCK);
                    let write = initiator.put_command(0, &cdb(0x8A, 64 * place, 32), 0, &data);
                    initiator.send();
                    assert!(initiator.outcome(write).is_good());
                    let tags: Vec<_> =
                        (0..4).map(|_| initiator.put_command(0, &flush(), 0, &[])).collect();
                    initiator.send();
                    assert!(tags.into_iter().all(|tag| initiator.outcome(tag).is_good()));
                    assert!(read(&mut initiator, 64 * place, 32).data == data);
                }
            });
        }
    });
    rig.stop();
}

fn fault(rig: &mut Rig) -> (u32, String) {
    rig.event(|event| match event {
        Event::VolumeFault { volume, reason } => Some((*volume, reason.clone())),
        _ => None,
    })
}

/// The kernel cannot synchronize `/dev/full`, which serves as a device that loses data.
fn after_a_failed_flush_nothing_is_taken_for_stable(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit_at(Kind::File, Some("/dev/full".into()), 0);
    let volume = rig.engine.volumes()[0].id;
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    for _ in 0..2 {
        // Those that wait for the one that fails fail as well.
        let tags: Vec<_> = (0..10).map(|_| initiator.put_command(0, &flush(), 0, &[])).collect();
        initiator.send();
        let senses: Vec<_> = tags.into_iter().map(|tag| initiator.outcome(tag).sense).collect();
        assert_eq!(senses[0], Some((0x3, 0x0C00)), "{senses:x?}");
        let known = [Some((0x3, 0x0C00)), Some((0x2, 0x0412))];
        assert!(senses.iter().all(|sense| known.contains(sense)), "{senses:x?}");
        assert_eq!(initiator.run(0, &flush(), 0, &[]).sense, Some((0x2, 0x0412)));
        let (of, reason) = fault(&mut rig);
        assert!(of == volume && reason.starts_with("flush failed"), "{reason}");
        assert!(rig.engine.volumes()[0].refuses_writes());
        rig.engine.clear_fault(volume).expect("the volume");
        assert!(!rig.engine.volumes()[0].refuses_writes());
    }
    let events = rig.stop();
    assert!(!events.iter().any(|event| matches!(event, Event::VolumeFault { .. })), "told once");
}
