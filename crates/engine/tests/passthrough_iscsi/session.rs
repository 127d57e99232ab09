//! How sessions come and go.

use crate::link_contract::{Answer, Bench, Device, Scene, command, pattern};
use crate::target::Target;
use fairlead_engine::clock::{self, SECOND};
use fairlead_engine::passthrough::iscsi::{IscsiLink, Isid, OpenError};
use fairlead_engine::passthrough::{Direction, Failure};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;
use std::net::TcpListener;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const INITIATOR: &str = "iqn.2026-01.net.fairlead:gateway";
const READ: u8 = 0x28;
const WRITE: u8 = 0x2A;
const TEST_UNIT_READY: u8 = 0x00;

/// `None`: there is no libiscsi.
fn link(url: &str, qualifier: u16) -> Option<IscsiLink> {
    let isid = Isid { random: 0x12_3456, qualifier };
    match IscsiLink::open(url, INITIATOR, isid, clock::now()) {
        Ok(link) => Some(link),
        Err(error @ OpenError::NoLibrary(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn bench(url: &str) -> Option<Bench> {
    Some(Bench::new(Scene::new(link(url, 7)?, true, ())))
}

fn scene(device: Box<dyn Device>) -> Option<Scene> {
    let target = Target::new(device);
    Some(Scene::new(link(&target.url(), 7)?, true, target))
}

crate::link_contract::link_contract!(super::scene);

/// TEST UNIT READY is answered, everything else is held.
fn holds(cdb: &[u8], _: &[u8]) -> Answer {
    if cdb[0] == TEST_UNIT_READY { Answer::good(&[]) } else { Answer::Holds }
}

fn is_ready(bench: &mut Bench) {
    let outcome = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!((outcome.status, outcome.failure), (status::GOOD, None));
}

#[test]
fn a_login_says_who_we_are_and_every_session_has_its_isid() {
    let target = Target::new(Box::new(holds));
    for qualifier in [1, 0x0102] {
        let Some(link) = link(&target.url(), qualifier) else { return };
        let mut bench = Bench::new(Scene::new(link, true, ()));
        is_ready(&mut bench);
        target.cut();
        bench.until("the loss of the session", |bench| !bench.is_watching());
        bench.skip(SECOND);
        is_ready(&mut bench);
    }
    let logins = target.script.logins.lock().expect("nobody panics");
    let isids: Vec<[u8; 6]> = logins.iter().map(|(isid, _)| *isid).collect();
    let isid = |high, low| [0x80, 0x12, 0x34, 0x56, high, low];
    assert_eq!(isids, [isid(0, 1), isid(0, 1), isid(1, 2), isid(1, 2)]);
    for (_, keys) in &*logins {
        let keys: Vec<&str> = keys.split('\0').collect();
        for key in [
            "InitiatorName=iqn.2026-01.net.fairlead:gateway",
            "TargetName=iqn.2026-01.net.fairlead:scripted",
            "SessionType=Normal",
            "HeaderDigest=None,CRC32C",
        ] {
            assert!(keys.contains(&key), "{key} is not in {keys:?}");
        }
    }
}

#[test]
fn the_first_unit_attention_is_not_eaten_by_the_login() {
    let attention = Sense::unit_attention(0x2900).encode();
    let mut is_first = true;
    let target = Target::new(Box::new(move |_: &[u8], _: &[u8]| {
        if std::mem::take(&mut is_first) { Answer::check(&attention) } else { Answer::good(&[]) }
    }));
    let Some(mut bench) = bench(&target.url()) else { return };
    let outcome = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!(outcome.unit_attention(), Some(0x2900));
    is_ready(&mut bench);
    assert_eq!(target.script.commands.load(SeqCst), 2, "nobody else has sent a command");
}

#[test]
fn a_refused_login_ends_those_who_wait_and_is_tried_again() {
    let target = Target::new(Box::new(holds));
    target.script.login_status.store(0x0202, SeqCst);
    let Some(mut bench) = bench(&target.url()) else { return };
    let outcome = bench.run(command(READ, Direction::In), vec![0; 512]);
    assert_eq!(outcome.failure, Some(Failure::Gone));
    target.script.login_status.store(0, SeqCst);
    let token = bench.submit(command(TEST_UNIT_READY, Direction::None), Vec::new()).expect("room");
    bench.skip(SECOND);
    assert_eq!(bench.end_of(token).status, status::GOOD);
}

#[test]
fn a_login_without_an_answer_is_given_up() {
    let target = Target::new(Box::new(holds));
    target.script.is_mute.store(true, SeqCst);
    let Some(mut bench) = bench(&target.url()) else { return };
    let token = bench.submit(command(READ, Direction::In), vec![0; 512]).expect("room");
    let script = std::sync::Arc::clone(&target.script);
    bench.until("a login", move |_| !script.logins.lock().expect("nobody panics").is_empty());
    assert_eq!(bench.out(), 1);
    bench.skip(15 * SECOND);
    assert_eq!(bench.end_of(token).failure, Some(Failure::Gone));
}

#[test]
fn a_redirected_login_goes_there() {
    let (first, second) = (Target::new(Box::new(holds)), Target::new(Box::new(holds)));
    *first.script.elsewhere.lock().expect("nobody panics") = Some(format!("{},1", second.address));
    let Some(mut bench) = bench(&first.url()) else { return };
    is_ready(&mut bench);
    assert_eq!(second.script.commands.load(SeqCst), 1);
    // In circles.
    *second.script.elsewhere.lock().expect("nobody panics") = Some(first.address.to_string());
    second.cut();
    let token = bench.submit(command(READ, Direction::In), vec![0; 512]).expect("room");
    let ends = [Some(Failure::Aborted), Some(Failure::Gone)];
    assert!(ends.contains(&bench.end_of(token).failure));
    bench.skip(SECOND);
    let token = bench.submit(command(READ, Direction::In), vec![0; 512]).expect("room");
    assert_eq!(bench.end_of(token).failure, Some(Failure::Gone));
}

#[test]
fn commands_out_when_the_connection_is_cut_are_not_sent_again() {
    let target = Target::new(Box::new(holds));
    let Some(mut bench) = bench(&target.url()) else { return };
    let tokens: Vec<u64> = [Direction::In, Direction::Out, Direction::Out]
        .into_iter()
        .map(|direction| bench.submit(command(READ, direction), vec![0; 300_000]).expect("room"))
        .collect();
    is_ready(&mut bench);
    assert_eq!(target.script.commands.load(SeqCst), 4);
    target.cut();
    for token in tokens {
        assert_eq!(bench.end_of(token).failure, Some(Failure::Aborted));
    }
    // These wait for the next session.
    let token = bench.submit(command(TEST_UNIT_READY, Direction::None), Vec::new()).expect("room");
    bench.step(Duration::ZERO);
    assert_eq!(bench.out(), 1);
    bench.skip(SECOND);
    assert_eq!(bench.end_of(token).status, status::GOOD);
    assert_eq!(target.script.commands.load(SeqCst), 5);
}

#[test]
fn who_waits_for_a_target_that_is_not_there_waits_no_longer_than_it_says() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = closed.local_addr().expect("its address");
    drop(closed);
    let Some(mut bench) = bench(&format!("iscsi://{address}/iqn/0")) else { return };
    let token = bench.submit(command(READ, Direction::In), vec![0; 512]).expect("room");
    // Every failure makes the pause longer, up to its limit.
    for pause_s in [1, 2, 4, 5, 5] {
        bench.until("a refused connection", |bench| {
            let at = bench.scene.link.next_at().expect("something is due");
            !bench.is_watching() && at > bench.now() + pause_s * SECOND - SECOND / 2
        });
        assert_eq!(bench.out(), 1, "pause of {pause_s} s");
        bench.skip(pause_s * SECOND);
        bench.step(Duration::ZERO);
    }
    bench.skip(30 * SECOND);
    assert_eq!(bench.end_of(token).failure, Some(Failure::Gone));
}

#[test]
fn a_target_that_does_not_let_go_loses_the_session() {
    let target = Target::new(Box::new(holds));
    target.script.is_deaf.store(true, SeqCst);
    let Some(mut bench) = bench(&target.url()) else { return };
    let late = bench.submit(command(WRITE, Direction::Out), vec![0; 4096]).expect("room");
    is_ready(&mut bench);
    bench.skip(30 * SECOND);
    let other = bench.submit(command(READ, Direction::In), vec![0; 4096]).expect("room");
    is_ready(&mut bench);
    bench.skip(30 * SECOND);
    let script = std::sync::Arc::clone(&target.script);
    bench.until("ABORT TASK", move |_| script.aborts.load(SeqCst) == 1);
    assert_eq!(bench.out(), 2, "its memory may still be written to");
    bench.skip(5 * SECOND);
    assert_eq!(bench.end_of(late).failure, Some(Failure::TimedOut));
    assert_eq!(bench.end_of(other).failure, Some(Failure::Aborted));
    bench.skip(SECOND);
    is_ready(&mut bench);
}

#[test]
fn a_command_that_waits_for_its_window_can_be_aborted() {
    let target = Target::new(Box::new(holds));
    let Some(mut bench) = bench(&target.url()) else { return };
    is_ready(&mut bench);
    // The target has said how many may come; it reads them when the link next writes.
    let tokens: Vec<u64> = (0..100)
        .map(|_| bench.submit(command(READ, Direction::In), vec![0; 512]).expect("room"))
        .collect();
    for token in &tokens {
        bench.abort(*token);
    }
    for token in tokens {
        assert_eq!(bench.end_of(token).failure, Some(Failure::Aborted));
    }
    assert_eq!(target.script.aborts.load(SeqCst), 100);
    assert_eq!(target.script.commands.load(SeqCst), 101, "none is aborted before it is there");
    assert_eq!(target.script.logins.lock().expect("nobody panics").len(), 1, "one session");
}

#[test]
fn a_rejected_command_is_broken_and_the_session_goes_on() {
    let target = Target::new(Box::new(|_: &[u8], _: &[u8]| Answer::good(&[])));
    let Some(mut bench) = bench(&target.url()) else { return };
    is_ready(&mut bench);
    target.script.rejects.store(true, SeqCst);
    for (direction, room) in [(Direction::None, 0), (Direction::In, 512), (Direction::Out, 60_000)]
    {
        let outcome = bench.run(command(READ, direction), vec![0; room]);
        assert_eq!(outcome.failure, Some(Failure::Broken), "{direction:?}");
    }
    target.script.rejects.store(false, SeqCst);
    is_ready(&mut bench);
}

#[test]
fn an_answer_before_all_data_has_gone_out_frees_nothing_too_early() {
    let sense = Sense::WRITE_PROTECTED.encode();
    let target = Target::new(Box::new(move |cdb: &[u8], _: &[u8]| {
        if cdb[0] == WRITE { Answer::check(&sense) } else { Answer::good(&[]) }
    }));
    target.script.answers_early.store(true, SeqCst);
    let Some(mut bench) = bench(&target.url()) else { return };
    // More than sockets take at once: most of it is still libiscsi's when the answer comes.
    let bytes = (16 << 20) - 8192;
    for _ in 0..2 {
        let outcome = bench.run(command(WRITE, Direction::Out), pattern(bytes));
        assert_eq!((outcome.status, outcome.failure), (status::CHECK_CONDITION, None));
        assert_eq!((outcome.sense(), outcome.transferred_bytes), (&sense[..], 0));
        // The memory of the write is gone with the end of this one.
        is_ready(&mut bench);
        let late = std::mem::take(&mut *target.script.late_data.lock().expect("nobody panics"));
        assert!(late == pattern(bytes)[bytes - late.len()..], "{} bytes", late.len());
        assert_eq!(late.len(), bytes - 8192, "all but what went with the command");
    }
    assert_eq!(target.script.logins.lock().expect("nobody panics").len(), 1, "one session");
}

#[test]
fn what_libiscsi_cannot_send_is_refused() {
    let target = Target::new(Box::new(holds));
    let Some(mut bench) = bench(&target.url()) else { return };
    let mut long = command(0x7F, Direction::None);
    long.cdb_bytes = 32;
    assert_eq!(bench.submit(long, Vec::new()), Err(Failure::Unsendable));
    long.cdb_bytes = 16;
    assert!(bench.submit(long, Vec::new()).is_ok());
}

#[test]
fn a_url_or_a_name_that_is_none_is_an_error_that_shows_no_password() {
    let isid = Isid { random: 1, qualifier: 1 };
    let open = |url: &str, name: &str| IscsiLink::open(url, name, isid, 0).err();
    match open("iscsi://user%secret@127.0.0.1/iqn", INITIATOR) {
        Some(OpenError::NoLibrary(why)) => return println!("skipped: no libiscsi: {why}"),
        Some(error) => {
            assert_eq!(error, OpenError::Url);
            assert!(!error.to_string().contains("secret"));
        }
        None => panic!("that is no URL"),
    }
    assert_eq!(open("iscsi://127.0.0.1/iqn/0", ""), Some(OpenError::InitiatorName));
}
