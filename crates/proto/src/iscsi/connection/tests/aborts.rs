//! Tasks that are aborted, at every point of their life. Spec: RFC 7143 §4.2.3, §11.5.

use super::initiator::{Pair, Pdu, Seen, parameters, pattern};
use crate::iscsi::task::{Answer, State};
use crate::scsi::status;

/// The slot and its tag can be used again, and nothing of the old task comes out.
fn is_gone(pair: &mut Pair, slot: u16, next_cmd_sn: u32) {
    assert_eq!(pair.target.task(slot).state, State::Dead);
    assert_eq!(pair.target.find(7), None);
    pair.good(slot);
    pair.target.data_in(slot, 0, 512, None);
    pair.target.want(slot, 4000);
    assert_eq!(pair.receive(), [], "what is said about it goes nowhere");
    assert_eq!(pair.target.live_slots().count(), 0);
    pair.target.release(slot);
    pair.target.release(slot);
    assert_eq!(pair.begin(&Pdu::read(7, next_cmd_sn, 0)), slot);
    pair.good(slot);
    let got = pair.receive_one();
    assert_eq!((got.tag(), got.ends), (7, Some(slot)));
}

#[test]
fn while_executing() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 512));
    pair.target.kill(slot);
    is_gone(&mut pair, slot, 11);
}

#[test]
fn while_held_for_a_missing_number() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::write(7, 11, 512).data(pattern(0, 512)));
    pair.target.kill(slot);
    pair.target.release(slot);
    // The slot is used again while the old turn still waits: number 12 is missing for the new.
    assert_eq!(pair.begin(&Pdu::write(7, 13, 512)), slot);
    assert_eq!(pair.send(&Pdu::nop(1, 10)), []);
    let echo = pair.receive_one();
    assert_eq!((echo.tag(), echo.exp_cmd_sn()), (1, 12), "the aborted one counts as received");
    pair.send(&Pdu::nop(2, 12));
    assert_eq!(pair.receive().len(), 2, "now the new one's R2T, and an echo");
}

#[test]
fn while_its_immediate_data_is_arriving() {
    let mut pair = Pair::new(parameters());
    let bytes = Pdu::write(7, 10, 512).data(pattern(0, 512)).encode(false, false);
    pair.send_bytes(&bytes[..100]);
    pair.target.kill(0);
    assert_eq!(pair.target.due(), None);
    assert_eq!(pair.send_bytes(&bytes[100..200]), []);
    pair.target.release(0);
    assert_eq!(pair.send_bytes(&bytes[200..]), []);
    assert_eq!(pair.begin(&Pdu::read(7, 11, 0)), 0);
}

#[test]
fn while_data_is_received_in_place() {
    let mut pair = Pair::new(parameters());
    let bytes = Pdu::write(7, 10, 512).data(pattern(0, 512)).encode(false, false);
    pair.send_bytes(&bytes[..48]);
    assert_eq!(pair.target.due(), Some((0, 0, 512)));
    pair.target.kill(0);
    pair.target.received_in_place(&bytes[48..]);
    assert_eq!(pair.send_bytes(&[]), []);
    is_gone(&mut pair, 0, 11);
}

#[test]
fn while_data_is_received_that_nobody_looks_at() {
    let mut pair =
        Pair::new(crate::iscsi::parameters::Parameters { data_digest: true, ..parameters() });
    let bytes = Pdu::write(7, 10, 512).data(pattern(0, 512)).encode(false, true);
    pair.send_bytes(&bytes[..48]);
    pair.target.kill(0);
    pair.target.skip_in_place(512);
    assert_eq!(pair.send_bytes(&bytes[560..]), []);
    is_gone(&mut pair, 0, 11);
}

#[test]
fn while_unsolicited_data_is_due() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::write(7, 10, 1024).open().data(pattern(0, 512)));
    pair.target.kill(slot);
    assert_eq!(pair.send(&Pdu::unsolicited(7, 0, 512, pattern(512, 512))), []);
    is_gone(&mut pair, slot, 11);
}

#[test]
fn while_r2ts_wait_and_are_outstanding() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::write(7, 10, 4000));
    pair.target.kill(slot);
    assert_eq!(pair.receive(), [], "the R2T that waited is taken back");
    pair.target.release(slot);
    let slot = pair.begin(&Pdu::write(7, 11, 4000));
    let old = pair.receive_one().ttt();
    pair.target.kill(slot);
    assert_eq!(pair.send(&Pdu::data_out(7, old, 0, 0, pattern(0, 2048))), []);
    pair.target.release(slot);
    pair.begin(&Pdu::write(8, 12, 4000));
    let new = pair.receive_one().ttt();
    assert_ne!(old, new);
    assert_eq!(pair.send(&Pdu::data_out(7, old, 0, 0, pattern(0, 2048))), [], "another's slot");
}

#[test]
fn while_answered_and_not_sent() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 4000));
    let answer = Answer { status: status::GOOD, sense: None, cdb_bytes: 4000 };
    pair.target.data_in(slot, 0, 4000, Some(answer));
    assert!(pair.target.next_frame(|_, _, _| &[]).is_some(), "the first Data-In is out");
    pair.target.kill(slot);
    is_gone(&mut pair, slot, 11);
}

#[test]
fn before_execute_is_told() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::read(7, 11, 0));
    pair.send(&Pdu::read(8, 12, 0));
    let bytes = Pdu::nop(1, 10).encode(false, false);
    let mut input = &bytes[..];
    let event = pair.target.poll(&mut input);
    assert!(matches!(event, Some(crate::iscsi::connection::Event::Execute(0))));
    pair.target.kill(1);
    assert_eq!(pair.send_bytes(&[]), []);
}

#[test]
fn in_the_command_event_itself_the_order_goes_on() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::read(8, 11, 0));
    let bytes = Pdu::read(7, 10, 0).encode(false, false);
    let mut input = &bytes[..];
    let event = pair.target.poll(&mut input);
    assert!(matches!(event, Some(crate::iscsi::connection::Event::Command(1))));
    pair.target.release(1);
    assert_eq!(pair.send_bytes(input), [Seen::Execute(0)]);
}

#[test]
fn the_window_opens_for_aborted_tasks() {
    let mut pair = Pair::new(parameters());
    for cmd_sn in 10..18 {
        pair.begin(&Pdu::read(cmd_sn, cmd_sn, 0));
    }
    pair.send(&Pdu::management(2, 90, 18, 0, 0).immediate());
    for slot in 0..8 {
        pair.target.kill(slot);
        pair.target.release(slot);
    }
    pair.target.answer_management(90, 0);
    let got = pair.receive_one();
    assert_eq!((got.exp_cmd_sn(), got.max_cmd_sn()), (18, 25));
}
