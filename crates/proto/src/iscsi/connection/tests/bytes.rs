//! Every PDU that the target sends, byte for byte.

use super::initiator::{Pair, Pdu, hex, parameters};
use crate::iscsi::bhs::opcode;
use crate::iscsi::task::Answer;
use crate::scsi::sense::Sense;
use crate::scsi::status;

#[test]
fn data_in_and_status_in_the_last_one() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(0xAABB_CCDD, 10, 1500));
    let answer = Answer { status: status::GOOD, sense: None, cdb_bytes: 1500 };
    pair.target.data_in(slot, 0, 1500, Some(answer));
    let got = pair.receive();
    assert_eq!(
        got[0].bhs,
        hex("25 00 00 00 00 00 04 00 00 00 00 00 00 00 00 00  # no F, 1024 bytes
             aa bb cc dd ff ff ff ff 00 00 00 00 00 00 00 0b  # ITT, TTT, no StatSN, ExpCmdSN
             00 00 00 12 00 00 00 00 00 00 00 00 00 00 00 00  # MaxCmdSN, DataSN 0, offset 0")
    );
    assert_eq!(
        got[1].bhs,
        hex("25 81 00 00 00 00 01 dc 00 00 00 00 00 00 00 00  # F, S, GOOD, 476 bytes
             aa bb cc dd ff ff ff ff 00 00 00 64 00 00 00 0b  # StatSN 100
             00 00 00 12 00 00 00 01 00 00 04 00 00 00 00 00  # DataSN 1, offset 1024")
    );
    assert_eq!((got.len(), got[0].ends, got[1].ends), (2, None, Some(slot)));
}

#[test]
fn scsi_response_with_sense() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 512));
    pair.check_condition(slot, Sense::MISCOMPARE.with_information(0x55));
    let got = pair.receive_one();
    assert_eq!(
        got.bhs,
        hex("21 82 00 02 00 00 00 14 00 00 00 00 00 00 00 00  # U, CHECK CONDITION, 20 bytes
             00 00 00 07 00 00 00 00 00 00 00 64 00 00 00 0b
             00 00 00 12 00 00 00 00 00 00 00 00 00 00 02 00  # ExpDataSN 0, residual 512")
    );
    assert_eq!(got.data, hex("0012 f0 00 0e 00000055 0a 00000000 1d00 00 000000"));
}

#[test]
fn r2t() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::write(7, 10, 5000).word(8, 0x0003_0000));
    let got = pair.receive_one();
    let ttt = u32::from(slot) << 20 | 0x9E5;
    assert_eq!(got.ttt(), ttt);
    assert_eq!(
        got.bhs,
        hex("31 80 00 00 00 00 00 00 00 03 00 00 00 00 00 00  # LUN of the command
             00 00 00 07 00 00 09 e5 00 00 00 64 00 00 00 0b  # TTT, StatSN to come next
             00 00 00 11 00 00 00 00 00 00 00 00 00 00 08 00  # R2TSN 0, offset 0, 2048 bytes")
    );
}

#[test]
fn nop_in_that_answers_and_nop_in_that_asks() {
    let mut pair = Pair::new(parameters());
    assert_eq!(pair.send(&Pdu::nop(9, 10).word(8, 0x0001_0000).data(b"abcde".to_vec())), []);
    let got = pair.receive_one();
    assert_eq!(
        got.bhs,
        hex("20 80 00 00 00 00 00 05 00 00 00 00 00 00 00 00  # LUN is reserved without TTT
             00 00 00 09 ff ff ff ff 00 00 00 64 00 00 00 0b
             00 00 00 12 00 00 00 00 00 00 00 00 00 00 00 00")
    );
    assert_eq!(got.data, b"abcde");
    pair.target.ping(0x1234);
    assert_eq!(
        pair.receive_one().bhs,
        hex("20 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00
             ff ff ff ff 00 00 12 34 00 00 00 65 00 00 00 0b  # StatSN 101 is not taken
             00 00 00 12 00 00 00 00 00 00 00 00 00 00 00 00")
    );
    pair.target.tell_async(1, [0, 2, 3]);
    assert_eq!(
        pair.receive_one().bhs,
        hex("32 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00
             ff ff ff ff 00 00 00 00 00 00 00 65 00 00 00 0b  # StatSN 101
             00 00 00 12 01 00 00 00 00 02 00 03 00 00 00 00  # AsyncEvent 1, Parameter2 and 3")
    );
}

#[test]
fn answers_to_requests() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::management(1, 1, 10, 99, 9).immediate());
    pair.target.answer_management(1, 1);
    pair.send(&Pdu::text(2, 10, b"A=B\0"));
    pair.target.answer_text(2, 0xFFFF_FFFF, 0x80, b"A=C\0");
    pair.send(&Pdu::new(opcode::LOGOUT_REQUEST, 3).word(24, 11));
    pair.target.answer_logout(3, 0);
    let got = pair.receive();
    let sequence = |stat_sn: &str| format!("000000{stat_sn} 0000000c 00000011");
    let rest = "0000 0000 0000 0000 0000 0000";
    let expected = [
        format!("22 80 01 00 00 000000 00000000 00000000 00000001 00000000 {}", sequence("64")),
        format!("24 80 00 00 00 000004 00000000 00000000 00000002 ffffffff {}", sequence("65")),
        format!("26 80 00 00 00 000000 00000000 00000000 00000003 00000000 {}", sequence("66")),
    ];
    // The places of two numbered requests come back one after the other.
    for ((got, expected), max_cmd_sn) in got.iter().zip(expected).zip([0x11, 0x12, 0x13]) {
        let mut expected = hex(&format!("{expected} {rest}"));
        expected[32..36].copy_from_slice(&u32::to_be_bytes(max_cmd_sn));
        assert_eq!(got.bhs, expected);
    }
    assert_eq!(got.iter().map(|reply| reply.closes).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(got[1].data, b"A=C\0");
}

#[test]
fn reject_carries_the_rejected_header() {
    let mut pair = Pair::new(parameters());
    let snack = Pdu::new(opcode::SNACK_REQUEST, 5);
    pair.send(&snack);
    let got = pair.receive_one();
    assert_eq!(
        got.bhs,
        hex("3f 80 03 00 00 00 00 30 00 00 00 00 00 00 00 00
             ff ff ff ff 00 00 00 00 00 00 00 64 00 00 00 0a
             00 00 00 11 00 00 00 00 00 00 00 00 00 00 00 00")
    );
    assert_eq!(got.data, snack.bhs);
}

#[test]
fn digests_cover_header_and_padded_data() {
    let on = crate::iscsi::parameters::Parameters {
        header_digest: true,
        data_digest: true,
        ..parameters()
    };
    let mut pair = Pair::new(on);
    let slot = pair.begin(&Pdu::read(7, 10, 3));
    let answer = Answer { status: status::GOOD, sense: None, cdb_bytes: 3 };
    pair.target.data_in(slot, 0, 3, Some(answer));
    let frame = pair.target.next_frame(|_, offset, length| {
        assert_eq!((offset, length), (0, 3));
        b"abc"
    });
    let frame = frame.expect("a Data-In");
    let (header, digest) = frame.header().split_at(48);
    assert_eq!(digest, crate::iscsi::digest::of(&[header]));
    assert_eq!(frame.tail(), [&[0][..], &crate::iscsi::digest::of(&[b"abc\0"])].concat());
}
