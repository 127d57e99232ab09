//! The kernel's own contexts: rings with their keepers, from the first request to the last trace.

use crate::initiator::{Initiator, PATIENCE};
use crate::rig::{BLOCK, CONTEXT, Rig, cdb, has_uring, pattern, read, write};
use fairlead_engine::kernel::{KernelOptions, Mode, Record};
use fairlead_engine::shared::Event;
use fairlead_engine::volume::Kind;
use fairlead_sched::ContextId;
use fairlead_sched::settings::Settings;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

const SIZE: u64 = 1 << 20;

fn context_of(rig: &Rig, client: &str) -> ContextId {
    let found = rig.engine.contexts().into_iter().find(|entry| entry.key.client == client);
    found.expect("a context").id
}

fn record_of(rig: &Rig, client: &str) -> Record {
    rig.engine.kernel().record(context_of(rig, client)).expect("the kernel has something of it")
}

fn steered(rig: &Rig, client: &str) -> u64 {
    rig.accounts_of(client).total(|shard| &shard.steered)
}

/// Reads until a request has gone by the context's own means: beside somebody else, because who has
/// a device to himself needs none.
fn read_until_steered(rig: &Rig, initiator: &mut Initiator, client: &str, beside: &mut Initiator) {
    let (before, deadline) = (steered(rig, client), Instant::now() + PATIENCE);
    while steered(rig, client) == before {
        assert!(Instant::now() < deadline, "no request of {client} goes by a ring");
        assert_eq!(read(beside, 0, 1).status, 0);
        assert_eq!(read(initiator, 0, 1).status, 0);
    }
}

/// Sends 60 reads; their tags.
fn put_reads(initiator: &mut Initiator) -> Vec<u32> {
    let put = |number: u64| initiator.put_command(0, &cdb(0x88, number * 8, 8), 8 * 512, &[]);
    let tags = (0..60).map(put).collect();
    initiator.send();
    tags
}

/// Two clients of one unit, the second a neighbour, whose contexts the kernel is told of.
fn two_clients(
    options: KernelOptions,
    kind: Kind,
    mode: Mode,
) -> (Rig, u32, u64, Initiator, Initiator) {
    let mut rig = Rig::with_kernel(1, options);
    let unit = rig.steered_unit(kind, SIZE, mode);
    let (id, initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let beside = neighbour(&mut rig, unit);
    (rig, unit, id, initiator, beside)
}

/// A session of another context.
fn neighbour(rig: &mut Rig, unit: u32) -> Initiator {
    rig.session(&[Rig::mapping(0, unit, "neighbour")]).1
}

fn task(thread: i32) -> bool {
    Path::new(&format!("/proc/self/task/{thread}")).exists()
}

fn failed(rig: &mut Rig) -> String {
    rig.event(|event| match event {
        Event::KernelContextFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

fn data_goes_by_the_ring_and_nothing_is_left(options: KernelOptions, kind: Kind) {
    if !has_uring() {
        return;
    }
    let is_polled = options.polled_ms.is_some();
    let (mut rig, _, id, mut initiator, mut beside) = two_clients(options, kind, Mode::Ring);
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    let data = pattern(7, 256 * BLOCK);
    assert_eq!(write(&mut initiator, 8, &data).status, 0);
    assert_eq!(read(&mut initiator, 8, 256).data, data);
    let record = record_of(&rig, CONTEXT);
    let keeper = record.keeper.expect("a keeper");
    assert!(task(keeper));
    assert_eq!(record.polling.len(), usize::from(is_polled), "{record:?}");
    assert!(record.polling.iter().all(|thread| task(*thread)));
    rig.engine.end_session(id);
    rig.ended(id);
    let released = rig.event(|event| match event {
        Event::ContextReleased(entry) => Some(entry.key.client.clone()),
        _ => None,
    });
    assert_eq!(released, CONTEXT);
    drop(beside);
    rig.event(|event| matches!(event, Event::ContextReleased(_)).then_some(()));
    // Released: it is not only closed, its threads are gone.
    assert!(!task(keeper), "the keeper");
    assert!(record.polling.iter().all(|thread| !task(*thread)), "the kernel's thread");
    assert_eq!((rig.engine.kernel().rings(), rig.engine.kernel().len()), (0, 0));
    rig.stop();
}

#[test]
fn direct_requests_go_by_a_ring_that_its_keeper_enters() {
    data_goes_by_the_ring_and_nothing_is_left(KernelOptions::default(), Kind::Direct);
}

#[test]
fn direct_requests_go_by_a_ring_that_the_kernel_polls() {
    let options = KernelOptions { polled_ms: Some(1), ..KernelOptions::default() };
    data_goes_by_the_ring_and_nothing_is_left(options, Kind::Direct);
}

#[test]
fn reads_through_the_page_cache_go_by_a_ring() {
    data_goes_by_the_ring_and_nothing_is_left(KernelOptions::default(), Kind::File);
}

#[test]
fn more_than_a_ring_holds_waits_beside_it_and_a_context_closes_with_it_full() {
    if !has_uring() {
        return;
    }
    let mut rig = Rig::with_kernel(1, KernelOptions::default());
    let unit = rig.steered_unit(Kind::Direct, SIZE, Mode::Ring);
    let mapping = Rig::mapping(0, unit, CONTEXT);
    let mut sessions: Vec<_> =
        (0..6).map(|_| rig.session(std::slice::from_ref(&mapping))).collect();
    let mut beside = neighbour(&mut rig, unit);
    let (_, first) = sessions.first_mut().expect("six");
    read_until_steered(&rig, first, CONTEXT, &mut beside);
    // 6 times 60 commands: three times what a ring has room for.
    let tags: Vec<_> = sessions.iter_mut().map(|(_, initiator)| put_reads(initiator)).collect();
    let (kept, given_up) = sessions.split_at_mut(3);
    for (id, _) in given_up.iter() {
        rig.engine.end_session(*id);
    }
    for ((_, initiator), tags) in kept.iter_mut().zip(tags) {
        tags.iter().for_each(|tag| assert_eq!(initiator.outcome(*tag).status, 0));
    }
    drop(sessions);
    rig.stop();
}

#[test]
fn a_ring_gives_way_to_another_context_and_is_made_anew() {
    if !has_uring() {
        return;
    }
    let mut rig = Rig::with_kernel(1, KernelOptions { rings_max: 2, ..KernelOptions::default() });
    let unit = rig.steered_unit(Kind::Direct, SIZE, Mode::Ring);
    let (_, mut a) = rig.session(&[Rig::mapping(0, unit, "a")]);
    let (_, mut b) = rig.session(&[Rig::mapping(0, unit, "b")]);
    // The neighbour's own ring is always in use.
    let mut beside = neighbour(&mut rig, unit);
    read_until_steered(&rig, &mut beside, "neighbour", &mut a);
    read_until_steered(&rig, &mut a, "a", &mut beside);
    let keeper = record_of(&rig, "a").keeper;
    read_until_steered(&rig, &mut b, "b", &mut beside);
    assert_eq!(record_of(&rig, "a").rings.load(Relaxed), 0);
    read_until_steered(&rig, &mut a, "a", &mut beside);
    assert_eq!(record_of(&rig, "a").keeper, keeper, "in the same io_context");
    assert_eq!(rig.engine.kernel().rings(), 2);
    rig.stop();
}

#[test]
fn a_context_at_two_submitters_has_two_rings_and_one_keeper() {
    if !has_uring() {
        return;
    }
    let mut rig = Rig::with_kernel(2, KernelOptions::default());
    let unit = rig.steered_unit(Kind::Direct, SIZE, Mode::Ring);
    let mapping = [Rig::mapping(0, unit, CONTEXT)];
    let (first, mut a) = rig.session(&mapping);
    let (second, mut b) = rig.session(&mapping);
    let (mut beside_a, mut beside_b) = (neighbour(&mut rig, unit), neighbour(&mut rig, unit));
    let submitters: Vec<_> = rig.engine.sessions().iter().map(|record| record.submitter).collect();
    assert_ne!(submitters.first(), submitters.last(), "on two submitters");
    read_until_steered(&rig, &mut a, CONTEXT, &mut beside_a);
    let deadline = Instant::now() + PATIENCE;
    let rings = |rig: &Rig| record_of(rig, CONTEXT).rings.load(Relaxed);
    while rings(&rig) < 2 {
        assert!(Instant::now() < deadline, "the second has no ring");
        assert_eq!(read(&mut beside_b, 0, 1).status, 0);
        assert_eq!(read(&mut b, 0, 1).status, 0);
    }
    let keeper = record_of(&rig, CONTEXT).keeper.expect("a keeper");
    rig.engine.end_session(first);
    rig.ended(first);
    read_until_steered(&rig, &mut b, CONTEXT, &mut beside_b);
    assert!(task(keeper), "the other submitter needs it");
    rig.engine.end_session(second);
    rig.ended(second);
    rig.stop();
    assert!(!task(keeper));
}

#[test]
fn contexts_beyond_the_keepers_go_as_everybodys_and_it_is_told() {
    if !has_uring() {
        return;
    }
    let mut rig = Rig::with_kernel(1, KernelOptions { keepers_max: 1, ..KernelOptions::default() });
    let unit = rig.steered_unit(Kind::Direct, SIZE, Mode::Ring);
    let (_, mut a) = rig.session(&[Rig::mapping(0, unit, "a")]);
    let (_, mut b) = rig.session(&[Rig::mapping(0, unit, "b")]);
    read_until_steered(&rig, &mut a, "a", &mut b);
    assert_eq!(read(&mut b, 0, 1).status, 0);
    assert_eq!(failed(&mut rig), "1 contexts have a keeper or a cgroup already");
    assert_eq!(read(&mut b, 0, 1).status, 0);
    assert_eq!(steered(&rig, "b"), 0);
    rig.stop();
}

/// Weights that are not all the same need groups.
fn weigh(rig: &Rig, client: &str, weight: u32) {
    let settings = Settings { weight, ..Settings::default() };
    rig.engine.set_context(context_of(rig, client), settings).expect("a context");
}

#[test]
fn a_context_without_its_cgroup_has_a_ring_all_the_same() {
    if !has_uring() {
        return;
    }
    let cgroup = Some("/nowhere".into());
    let (mut rig, _, _, mut initiator, mut beside) =
        two_clients(KernelOptions { cgroup, ..KernelOptions::default() }, Kind::Direct, Mode::Ring);
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    read_until_steered(&rig, &mut beside, "neighbour", &mut initiator);
    weigh(&rig, CONTEXT, 4);
    let reason = failed(&mut rig);
    assert!(reason.starts_with("it has no cgroup: No such file"), "{reason}");
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    rig.stop();
}

const BLKIO: &str = "/sys/fs/cgroup/blkio";

/// Where groups can be made, or `None` with the reason told.
fn groups() -> Option<PathBuf> {
    let parent = Path::new(BLKIO).join(format!("fairlead-test-{}", std::process::id()));
    match std::fs::create_dir(&parent) {
        Ok(()) if parent.join("blkio.bfq.weight").exists() => Some(parent),
        made => {
            println!("skipped: no blkio groups with weights here: {made:?}");
            let _ = std::fs::remove_dir(&parent);
            None
        }
    }
}

/// The threads in the groups of this weight.
fn threads_in(parent: &Path, weight: &str) -> Vec<i32> {
    let groups = std::fs::read_dir(parent).expect("the parent").filter_map(|entry| {
        let path = entry.ok()?.path();
        let own = std::fs::read_to_string(path.join("blkio.bfq.weight")).ok()?;
        let is_wanted = own.split_whitespace().last() == Some(weight);
        is_wanted.then(|| std::fs::read_to_string(path.join("tasks")).ok())?
    });
    let ids = |tasks: String| tasks.lines().filter_map(|id| id.parse().ok()).collect::<Vec<_>>();
    let mut threads: Vec<i32> = groups.flat_map(ids).collect();
    threads.sort_unstable();
    threads
}

#[test]
fn unequal_weights_are_weights_of_groups_that_keepers_are_in() {
    let Some(parent) = has_uring().then(groups).flatten() else { return };
    for polled_ms in [None, Some(1)] {
        let cgroup = Some(parent.clone());
        let options = KernelOptions { cgroup, polled_ms, ..KernelOptions::default() };
        let (rig, _, _, mut initiator, mut beside) = two_clients(options, Kind::Direct, Mode::Ring);
        read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
        read_until_steered(&rig, &mut beside, "neighbour", &mut initiator);
        assert!(!std::fs::read_dir(&parent).expect("it").any(|e| e.expect("one").path().is_dir()));
        weigh(&rig, CONTEXT, 4);
        let threads = |client| {
            let record = record_of(&rig, client);
            let mut threads: Vec<_> = record.keeper.into_iter().chain(record.polling).collect();
            threads.sort_unstable();
            threads
        };
        let (heavy, light) = (threads(CONTEXT), threads("neighbour"));
        let deadline = Instant::now() + PATIENCE;
        while threads_in(&parent, "1000") != heavy || threads_in(&parent, "250") != light {
            assert!(
                Instant::now() < deadline,
                "{heavy:?} and {light:?} are not where they belong: {:?}",
                threads_in(&parent, "250")
            );
            std::thread::yield_now();
        }
        rig.stop();
    }
    // Every group is gone.
    std::fs::remove_dir(&parent).expect("an empty group");
}

/// A thread that gets this signal ends, and nobody else does.
fn end_threads_by(signal: libc::c_int) {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: ends the thread; what it held is what this is a test of.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let handler: extern "C" fn(libc::c_int) = end;
    // SAFETY: the handler only makes a system call.
    unsafe { libc::signal(signal, handler as libc::sighandler_t) };
}

#[test]
fn a_killed_keeper_loses_nothing() {
    if !has_uring() {
        return;
    }
    let (mut rig, unit, id, mut initiator, mut beside) =
        two_clients(KernelOptions::default(), Kind::Direct, Mode::Ring);
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    let keeper = record_of(&rig, CONTEXT).keeper.expect("a keeper");
    let signal = libc::SIGRTMIN() + 3;
    end_threads_by(signal);
    // SAFETY: plain integers.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), keeper, signal) };
    assert_eq!(sent, 0);
    let deadline = Instant::now() + PATIENCE;
    while task(keeper) {
        assert!(Instant::now() < deadline, "the keeper lives");
        std::thread::yield_now();
    }
    // What is published now has nobody to enter it but the submitter: more than a ring holds, too.
    let mapping = [Rig::mapping(0, unit, CONTEXT)];
    let mut more: Vec<_> = (0..6).map(|_| rig.session(&mapping)).collect();
    let tags: Vec<_> = more.iter_mut().map(|(_, initiator)| put_reads(initiator)).collect();
    assert_eq!(failed(&mut rig), "its keeper is gone");
    for ((_, initiator), tags) in more.iter_mut().zip(tags) {
        tags.iter().for_each(|tag| assert_eq!(initiator.outcome(*tag).status, 0));
    }
    let data = pattern(3, 8 * BLOCK);
    assert_eq!(write(&mut initiator, 0, &data).status, 0);
    assert_eq!(read(&mut initiator, 0, 8).data, data);
    for id in more.iter().map(|(id, _)| *id).chain([id]) {
        rig.engine.end_session(id);
        rig.ended(id);
    }
    drop(beside);
    (0..2)
        .for_each(|_| rig.event(|event| matches!(event, Event::ContextReleased(_)).then_some(())));
    assert_eq!((rig.engine.kernel().rings(), rig.engine.kernel().len()), (0, 0));
    rig.stop();
}

#[test]
fn programs_started_meanwhile_keep_no_ring_open() {
    if !has_uring() {
        return;
    }
    let (mut rig, _, id, mut initiator, mut beside) =
        two_clients(KernelOptions::default(), Kind::Direct, Mode::Ring);
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a program");
    let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).expect("its descriptors");
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    assert_eq!(links.filter(|link| link.to_string_lossy().contains("io_uring")).count(), 0);
    rig.engine.end_session(id);
    rig.ended(id);
    drop(beside);
    (0..2)
        .for_each(|_| rig.event(|event| matches!(event, Event::ContextReleased(_)).then_some(())));
    assert_eq!(rig.engine.kernel().rings(), 0);
    rig.stop();
    child.kill().and_then(|()| child.wait()).expect("it ends");
}

/// The level of a thread's I/O priority, 0 to 7.
fn level(thread: i32) -> i64 {
    // SAFETY: plain integers: IOPRIO_WHO_PROCESS and a thread.
    unsafe { libc::syscall(libc::SYS_ioprio_get, 1, thread) & 0x1FFF }
}

#[test]
fn keepers_have_the_priority_of_their_contexts_weight_beside_the_heaviest() {
    if !has_uring() {
        return;
    }
    let (rig, _, _, mut initiator, mut beside) =
        two_clients(KernelOptions::default(), Kind::Direct, Mode::Ring);
    weigh(&rig, CONTEXT, 4);
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    read_until_steered(&rig, &mut beside, "neighbour", &mut initiator);
    let keeper = |rig: &Rig, client| record_of(rig, client).keeper.expect("a keeper");
    let (heavy, light) = (keeper(&rig, CONTEXT), keeper(&rig, "neighbour"));
    assert_eq!([level(heavy), level(light)], [0, 6], "8 and 2 eighths");
    weigh(&rig, CONTEXT, 1);
    let deadline = Instant::now() + PATIENCE;
    while level(light) != 0 {
        assert!(Instant::now() < deadline, "it has the same weight");
        std::thread::yield_now();
    }
    rig.stop();
}

#[test]
fn priorities_need_no_keeper() {
    if !has_uring() {
        return;
    }
    for mode in [Mode::Priority, Mode::SetPriority] {
        let (rig, _, _, mut initiator, mut beside) =
            two_clients(KernelOptions::default(), Kind::Direct, mode);
        read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
        let settings = Settings { weight: 7, ..Settings::default() };
        rig.engine.set_context(context_of(&rig, CONTEXT), settings).expect("a context");
        read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
        let data = pattern(9, 16 * BLOCK);
        assert_eq!(write(&mut initiator, 0, &data).status, 0);
        assert_eq!(read(&mut initiator, 0, 16).data, data);
        assert_eq!(rig.engine.kernel().rings(), 0);
        rig.stop();
    }
}

#[test]
fn who_is_alone_or_above_a_blind_elevator_goes_as_everybody() {
    if !has_uring() {
        return;
    }
    let (rig, _, _, mut initiator, mut beside) =
        two_clients(KernelOptions::default(), Kind::Direct, Mode::Ring);
    (0..100).for_each(|_| assert_eq!(read(&mut initiator, 0, 1).status, 0));
    assert_eq!(steered(&rig, CONTEXT), 0, "alone");
    rig.engine.set_elevator_sees(Kind::Direct.name(), false);
    for _ in 0..100 {
        assert_eq!(read(&mut beside, 0, 1).status, 0);
        assert_eq!(read(&mut initiator, 0, 1).status, 0);
    }
    assert_eq!(steered(&rig, CONTEXT), 0, "nobody looks");
    rig.engine.set_elevator_sees(Kind::Direct.name(), true);
    read_until_steered(&rig, &mut initiator, CONTEXT, &mut beside);
    rig.stop();
}
