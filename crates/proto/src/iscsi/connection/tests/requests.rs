//! Requests that are not commands. Spec: RFC 7143 §11.5, §11.10, §11.14, §11.18.

use super::initiator::{Pair, Pdu, Seen, parameters};
use crate::iscsi::bhs::{NO_TAG, opcode, reject};
use crate::iscsi::connection::Request;

#[test]
fn task_management_is_told_with_all_its_fields() {
    let mut pair = Pair::new(parameters());
    let pdu = Pdu::management(1, 5, 10, 77, 9).word(8, 0x0003_0000).immediate();
    let expected = Request::Management {
        function: 1,
        lun_field: 0x0003_0000_0000_0000,
        initiator_task_tag: 5,
        referenced_task_tag: 77,
        ref_cmd_sn: 9,
    };
    assert_eq!(pair.send(&pdu), [Seen::Request(expected)]);
}

#[test]
fn text_and_logout_are_told_with_all_their_fields() {
    let mut pair = Pair::new(parameters());
    let expected = Request::Text {
        initiator_task_tag: 5,
        target_transfer_tag: NO_TAG,
        flags: 0x80,
        data: Box::from(&b"A=B\0"[..]),
    };
    assert_eq!(pair.send(&Pdu::text(5, 10, b"A=B\0")), [Seen::Request(expected)]);
    let logout = Pdu::new(opcode::LOGOUT_REQUEST, 6).flags(0x81).word(24, 11);
    let expected = Request::Logout { initiator_task_tag: 6, reason: 1 };
    assert_eq!(pair.send(&logout), [Seen::Request(expected)]);
}

#[test]
fn the_answer_to_our_ping_is_not_answered() {
    let mut pair = Pair::new(parameters());
    let pong = Pdu::nop(NO_TAG, 10).word(20, 0x1234);
    assert_eq!(pair.send(&pong.clone().immediate().data(vec![1; 40])), []);
    assert_eq!(pair.send(&pong), []);
    assert_eq!(pair.receive(), []);
    assert_eq!(pair.send(&Pdu::read(1, 10, 0)).len(), 2, "no number was used");
}

#[test]
fn ping_data_is_cut_to_what_the_initiator_takes() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::nop(1, 10).data(vec![7; 2000]));
    assert_eq!(pair.receive_one().data, vec![7; 1024]);
}

#[test]
fn one_text_request_at_a_time() {
    let mut pair = Pair::new(parameters());
    assert_eq!(pair.send(&Pdu::text(5, 10, b"A=B\0")).len(), 1);
    assert!(matches!(pair.send(&Pdu::text(6, 11, b"A=B\0"))[..], [Seen::Rejected(_)]));
    assert_eq!(pair.receive_one().bhs[2], reject::PROTOCOL_ERROR);
    pair.target.answer_text(5, NO_TAG, 0x80, b"");
    assert_eq!(pair.send(&Pdu::text(6, 11, b"A=B\0")).len(), 1);
}

#[test]
fn a_request_is_answered_once() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::text(5, 10, b""));
    pair.target.reject_request(5, opcode::TEXT_REQUEST, reject::OUT_OF_RESOURCES);
    pair.target.answer_text(5, NO_TAG, 0x80, b"");
    pair.target.answer_logout(5, 0);
    let got = pair.receive_one();
    assert_eq!((got.opcode(), got.bhs[2]), (opcode::REJECT, reject::OUT_OF_RESOURCES));
    assert_eq!(got.data, Pdu::text(5, 10, b"").bhs, "the whole header");
}

#[test]
fn a_request_whose_digest_does_not_match_is_rejected_and_uses_up_no_number() {
    let mut pair =
        Pair::new(crate::iscsi::parameters::Parameters { data_digest: true, ..parameters() });
    let mut bytes = Pdu::text(5, 10, b"A=B\0").encode(false, true);
    bytes[50] ^= 1;
    assert!(matches!(pair.send_bytes(&bytes)[..], [Seen::Rejected(_)]));
    let got = pair.receive_one();
    assert_eq!((got.bhs[2], got.exp_cmd_sn()), (reject::DATA_DIGEST_ERROR, 10));
    assert_eq!(pair.send(&Pdu::text(5, 10, b"A=B\0")).len(), 1);
}
