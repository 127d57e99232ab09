//! Whose I/O was whose.

use crate::initiator::parameters;
use crate::rig::{BLOCK, CONTEXT, Rig, assert_settled, cdb, on_both_drivers, pattern, write};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::volume::Kind;
use fairlead_sched::accounts::Accounts;

on_both_drivers! {
    what_is_refused_was_no_work_of_the_device,
    each_client_is_charged_for_its_own,
    commands_that_came_with_the_login_count,
    pieces_of_a_command_are_submitted_in_its_context,
    a_client_has_a_context_for_each_device,
    sessions_of_one_client_share_a_context,
}

#[derive(Debug, PartialEq, Eq)]
struct Used {
    reads: u64,
    writes: u64,
    others: u64,
    bytes_read: u64,
    bytes_written: u64,
    submitted: u64,
}

fn used(accounts: &Accounts) -> Used {
    Used {
        reads: accounts.total(|shard| &shard.commands_read),
        writes: accounts.total(|shard| &shard.commands_write),
        others: accounts.total(|shard| &shard.commands_other),
        bytes_read: accounts.total(|shard| &shard.bytes_read),
        bytes_written: accounts.total(|shard| &shard.bytes_written),
        submitted: accounts.total(|shard| &shard.submitted),
    }
}

/// Two sessions, two contexts, one submitter: both send everything before either listens.
fn each_client_is_charged_for_its_own(driver: DriverChoice) {
    for kind in [Kind::Memory, Kind::File, Kind::Null, Kind::Sim] {
        let mut rig = Rig::new(driver, 1);
        let unit = rig.unit(kind, 1 << 20);
        let (_, mut first) = rig.session(&[Rig::mapping(0, unit, "first")]);
        let (_, mut second) = rig.session(&[Rig::mapping(0, unit, "second")]);
        let mut firsts = Vec::new();
        for number in 0..20 {
            let data = pattern(number as u8, 8 * BLOCK);
            firsts.push(first.put_command(0, &cdb(0x8A, 8 * number, 8), 0, &data));
        }
        firsts.push(first.put_command(0, &cdb(0x91, 0, 0), 0, &[]));
        let seconds: Vec<_> = (0..30)
            .map(|number| second.put_command(0, &cdb(0x88, 3 * number, 3), 3 * BLOCK as u32, &[]))
            .collect();
        first.send();
        second.send();
        assert!(firsts.into_iter().all(|tag| first.outcome(tag).is_good()));
        assert!(seconds.into_iter().all(|tag| second.outcome(tag).is_good()));
        let of = |client: &str| {
            let accounts = rig.accounts_of(client);
            assert_settled(&accounts);
            used(&accounts)
        };
        let expected = Used {
            reads: 0,
            writes: 20,
            others: 2,
            bytes_read: 0,
            bytes_written: 20 * 8 * BLOCK as u64,
            submitted: 21,
        };
        assert_eq!(of("first"), expected, "{kind:?}");
        let expected = Used {
            reads: 30,
            writes: 0,
            others: 1,
            bytes_read: 30 * 3 * BLOCK as u64,
            bytes_written: 0,
            submitted: 30,
        };
        assert_eq!(of("second"), expected, "{kind:?}");
        rig.stop();
    }
}

fn commands_that_came_with_the_login_count(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (socket, mut initiator) = rig.connect(&parameters());
    let ready = initiator.put_command(0, &[0; 6], 0, &[]);
    let read = initiator.put_command(0, &cdb(0x88, 0, 2), 2 * BLOCK as u32, &[]);
    let mut unread = initiator.take_unsent();
    // The rest of the second command comes by the socket.
    let rest = unread.split_off(48 + 20);
    rig.adopt(socket, parameters(), &[Rig::mapping(0, unit, CONTEXT)], unread);
    initiator.put_raw(&rest);
    initiator.send();
    assert_eq!(initiator.outcome(ready).sense, Some((0x6, 0x2900)));
    assert_eq!(initiator.outcome(read).data, [0; 2 * BLOCK]);
    assert_eq!(used(&rig.accounts_of(CONTEXT)).reads, 1);
    rig.stop();
}

fn pieces_of_a_command_are_submitted_in_its_context(driver: DriverChoice) {
    const PIECES: u64 = 3;
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 8 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let bytes = PIECES << 20;
    let blocks = (bytes / BLOCK as u64) as u32;
    let outcome = initiator.run(0, &cdb(0x88, 0, blocks), bytes as u32, &[]);
    assert!(outcome.is_good() && outcome.data.len() as u64 == bytes);
    let accounts = rig.accounts_of(CONTEXT);
    let used = used(&accounts);
    assert_eq!((used.reads, used.bytes_read, used.submitted), (1, bytes, PIECES));
    assert!(accounts.total(|shard| &shard.entered) >= PIECES);
    assert_eq!(accounts.reading(|shard| &shard.response_time).count(), 2);
    rig.stop();
}

fn a_client_has_a_context_for_each_device(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let (memory, null) = (rig.unit(Kind::Memory, 1 << 20), rig.unit(Kind::Null, 1 << 20));
    let mappings = [Rig::mapping(0, memory, CONTEXT), Rig::mapping(1, null, CONTEXT)];
    let (id, mut initiator) = rig.session(&mappings);
    assert!(initiator.run(1, &cdb(0x88, 0, 1), BLOCK as u32, &[]).is_good());
    let mut reads: Vec<_> = rig
        .engine
        .contexts()
        .iter()
        .map(|entry| (entry.key.device.clone(), used(&entry.accounts).reads))
        .collect();
    reads.sort();
    assert_eq!(reads, [("memory".to_owned(), 0), ("null".to_owned(), 1)]);
    drop(initiator);
    rig.ended(id);
    assert_eq!(rig.released(), [CONTEXT, CONTEXT]);
    rig.stop();
}

fn sessions_of_one_client_share_a_context(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    // On two submitters, each with its own shard.
    let (first_id, mut first) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let (second_id, mut second) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let submitters: Vec<_> = rig.engine.sessions().iter().map(|s| s.submitter).collect();
    assert_eq!(submitters, [0, 1]);
    for initiator in [&mut first, &mut second] {
        assert!(initiator.run(0, &cdb(0x88, 0, 1), BLOCK as u32, &[]).is_good());
    }
    assert_eq!(used(&rig.accounts_of(CONTEXT)).reads, 2);
    drop(first);
    rig.ended(first_id);
    assert!(rig.released().is_empty(), "the second session is still there");
    assert!(second.run(0, &cdb(0x88, 0, 1), BLOCK as u32, &[]).is_good());
    drop(second);
    rig.ended(second_id);
    assert_eq!(rig.released(), [CONTEXT]);
    rig.stop();
}

fn what_is_refused_was_no_work_of_the_device(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Sim, 1 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let data = pattern(1, BLOCK);
    assert!(write(&mut initiator, 0, &data).is_good());
    let accounts = rig.accounts_of(CONTEXT);
    let cost_ns = accounts.total(|shard| &shard.cost_ns);
    assert!(cost_ns > 0);
    rig.engine.volumes()[0].set_fault("as a test wants it".into());
    for _ in 0..20 {
        assert!(!write(&mut initiator, 0, &data).is_good());
    }
    assert_eq!(accounts.total(|shard| &shard.cost_ns), cost_ns);
    rig.stop();
}
