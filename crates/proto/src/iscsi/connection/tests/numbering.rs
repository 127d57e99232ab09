//! Order of commands and the command window. Spec: RFC 7143 §4.2.2.1.

use super::initiator::{Pair, Pdu, Seen, parameters, pattern};
use crate::iscsi::bhs::{NO_TAG, opcode, reject};
use crate::iscsi::parameters::Parameters;

#[test]
fn a_gap_holds_commands_and_requests_until_it_is_filled() {
    let mut pair = Pair::new(parameters());
    assert_eq!(pair.send(&Pdu::read(3, 13, 0)), [Seen::Command(0)]);
    assert_eq!(pair.send(&Pdu::nop(2, 12)), []);
    assert_eq!(pair.send(&Pdu::read(1, 11, 0)), [Seen::Command(1)]);
    assert_eq!(pair.receive(), []);
    let seen = pair.send(&Pdu::read(0, 10, 0));
    assert_eq!(seen, [Seen::Command(2), Seen::Execute(2), Seen::Execute(1), Seen::Execute(0)]);
    let echo = pair.receive_one();
    assert_eq!((echo.tag(), echo.exp_cmd_sn()), (2, 14));
}

#[test]
fn a_held_write_is_not_asked_for_data() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(1, 11, 600));
    assert_eq!(pair.receive(), []);
    pair.send(&Pdu::nop(0, 10));
    assert_eq!(pair.receive().iter().filter(|got| got.opcode() == opcode::R2T).count(), 1);
}

#[test]
fn a_held_command_takes_its_immediate_data_at_once() {
    let mut pair = Pair::new(parameters());
    let seen = pair.send(&Pdu::write(1, 11, 100).data(pattern(0, 100)));
    assert_eq!(seen, [Seen::Command(0), Seen::Data(0, 0, pattern(0, 100))]);
    assert_eq!(pair.send(&Pdu::nop(0, 10)), [Seen::Execute(0)]);
}

#[test]
fn outside_the_window_everything_is_ignored_with_its_data() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::read(0, 10, 0));
    pair.send(&Pdu::nop(50, 12));
    for cmd_sn in [9, 10, 12, 18, 0x8000_000A] {
        let write = Pdu::write(0, cmd_sn, 600).data(pattern(0, 600));
        assert_eq!(pair.send(&write), [], "{cmd_sn}: also no Reject for the tag in use");
        assert_eq!(pair.send(&Pdu::nop(51, cmd_sn)), []);
    }
    assert_eq!(pair.receive(), []);
    assert_eq!(pair.send(&Pdu::read(1, 11, 0)).len(), 2);
}

#[test]
fn a_rejected_command_uses_up_no_number() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::read(1, 10, 512));
    for (pdu, reason) in [
        (Pdu::read(1, 11, 0), reject::TASK_IN_PROGRESS),
        (Pdu::nop(1, 11), reject::TASK_IN_PROGRESS),
        (Pdu::read(NO_TAG, 11, 0), reject::INVALID_PDU_FIELD),
        (Pdu::text(NO_TAG, 11, b""), reject::INVALID_PDU_FIELD),
        (Pdu::read(2, 11, 0).open(), reject::INVALID_PDU_FIELD),
        (Pdu::new(0x1C, 3).word(24, 11), reject::COMMAND_NOT_SUPPORTED),
        (Pdu::new(opcode::LOGIN_REQUEST, 3).word(24, 11), reject::PROTOCOL_ERROR),
    ] {
        assert!(matches!(pair.send(&pdu)[..], [Seen::Rejected(_)]), "{pdu:?}");
        let got = pair.receive_one();
        assert_eq!((got.opcode(), got.bhs[2], got.exp_cmd_sn()), (opcode::REJECT, reason, 11));
    }
    assert_eq!(pair.send(&Pdu::read(2, 11, 0)), [Seen::Command(1), Seen::Execute(1)]);
}

#[test]
fn immediate_commands_overtake_and_take_no_number() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::read(1, 11, 0));
    let seen = pair.send(&Pdu::read(2, 99, 0).immediate());
    assert_eq!(seen, [Seen::Command(1), Seen::Execute(1)]);
    pair.good(1);
    assert_eq!(pair.receive_one().exp_cmd_sn(), 10);
}

#[test]
fn a_tag_changes_between_immediate_and_numbered() {
    let mut pair = Pair::new(Parameters { queue_depth: 2, ..parameters() });
    for round in 0..200 {
        let pdu = Pdu::read(5, 10 + round / 2, 0);
        let pdu = if round % 2 == 0 { pdu.immediate() } else { pdu };
        let slot = pair.begin(&pdu);
        pair.good(slot);
        let got = pair.receive();
        pair.sent(&got);
    }
    assert!(pair.target.slots() <= 2);
}

#[test]
fn the_tag_is_free_with_the_response_though_the_slot_is_not() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(5, 10, 0));
    pair.good(slot);
    let got = pair.receive();
    assert_eq!(pair.target.find(5), None);
    assert_eq!(pair.send(&Pdu::read(5, 11, 0)), [Seen::Command(1), Seen::Execute(1)]);
    pair.sent(&got);
    assert_eq!(pair.target.find(5), Some(1));
}

#[test]
fn a_full_window_closes_and_opens_with_the_answers() {
    let mut pair = Pair::new(Parameters { queue_depth: 2, ..parameters() });
    pair.send(&Pdu::read(0, 10, 0));
    pair.send(&Pdu::read(1, 11, 0));
    assert_eq!(pair.send(&Pdu::read(2, 12, 0)), [], "beyond MaxCmdSN");
    pair.target.ping(1);
    let got = pair.receive_one();
    assert_eq!((got.exp_cmd_sn(), got.max_cmd_sn()), (12, 11));
    pair.good(1);
    let got = pair.receive_one();
    assert_eq!((got.exp_cmd_sn(), got.max_cmd_sn()), (12, 12));
}

#[test]
fn an_initiator_that_knows_a_closed_window_hears_when_it_opens() {
    let mut pair = Pair::new(Parameters { queue_depth: 1, ..parameters() });
    let mut unsent = Vec::new();
    for cmd_sn in 10..12 {
        let slot = pair.begin(&Pdu::read(cmd_sn, cmd_sn, 0));
        pair.good(slot);
        unsent.extend(pair.receive());
    }
    // Both slots are held by answers on their way: the second one told a closed window.
    assert_eq!((unsent[1].exp_cmd_sn(), unsent[1].max_cmd_sn()), (12, 11));
    assert_eq!(pair.send(&Pdu::read(12, 12, 0)), []);
    pair.sent(&unsent[..1]);
    assert!(!pair.target.is_quiet());
    let nop = pair.receive_one();
    assert_eq!((nop.opcode(), nop.tag(), nop.ttt()), (opcode::NOP_IN, NO_TAG, NO_TAG));
    assert_eq!((nop.exp_cmd_sn(), nop.max_cmd_sn()), (12, 12));
    pair.sent(&unsent[1..]);
    assert_eq!(pair.receive(), [], "told once");
}

#[test]
fn abort_of_a_command_that_has_not_come_fills_its_gap() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::read(2, 12, 0));
    assert!(!pair.target.skip(11), "nobody asked for it");
    pair.send(&Pdu::management(1, 90, 13, 1, 11).immediate());
    assert!(!pair.target.skip(13), "not before the request");
    assert!(!pair.target.skip(9) && !pair.target.skip(12));
    assert!(pair.target.skip(11));
    assert_eq!(pair.send(&Pdu::read(1, 11, 0)), [], "it counts as received");
    let seen = pair.send(&Pdu::read(0, 10, 0));
    assert_eq!(seen, [Seen::Command(1), Seen::Execute(1), Seen::Execute(0)]);
    pair.send(&Pdu::read(4, 14, 0));
    pair.send(&Pdu::management(1, 91, 15, 3, 13).immediate());
    assert!(pair.target.skip(13));
    assert_eq!(pair.send_bytes(&[]), [Seen::Execute(2)], "the skipped number was the next one");
}
