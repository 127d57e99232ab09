//! Data-In, status and residuals. Spec: RFC 7143 §11.4 and §11.7.

use super::initiator::{Got, Pair, Pdu, Seen, parameters, pattern};
use crate::iscsi::bhs::opcode;
use crate::iscsi::task::Answer;
use crate::scsi::sense::Sense;
use crate::scsi::status;

fn good(cdb_bytes: u64) -> Option<Answer> {
    Some(Answer { status: status::GOOD, sense: None, cdb_bytes })
}

#[test]
fn a_read_is_told_and_executed() {
    let mut pair = Pair::new(parameters());
    assert_eq!(pair.send(&Pdu::read(7, 10, 512)), [Seen::Command(0), Seen::Execute(0)]);
}

#[test]
fn bursts_end_with_f_and_data_sn_counts_through() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 5000));
    pair.target.data_in(slot, 0, 5000, good(5000));
    let got = pair.receive();
    let flags: Vec<u8> = got.iter().map(|reply| reply.bhs[1]).collect();
    assert_eq!(flags, [0x00, 0x80, 0x00, 0x80, 0x81], "MaxBurstLength is two segments");
    let data_sn: Vec<u32> = got.iter().map(|reply| reply.word(36)).collect();
    assert_eq!(data_sn, [0, 1, 2, 3, 4]);
    let data: Vec<u8> = got.iter().flat_map(|reply| reply.data.clone()).collect();
    assert_eq!(data, pattern(0, 5000));
}

#[test]
fn data_in_pieces_before_the_status() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 1000));
    pair.target.data_in(slot, 0, 600, None);
    assert_eq!(pair.receive().last().map(|reply| (reply.bhs[1], reply.ends)), Some((0x80, None)));
    pair.target.data_in(slot, 600, 1000, good(1000));
    let last = pair.receive_one();
    assert_eq!((last.bhs[1], last.word(36), last.word(40)), (0x81, 1, 600));
}

#[test]
fn failure_after_data_needs_a_response_that_counts_the_data_pdus() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 2000));
    pair.target.data_in(slot, 0, 2000, None);
    pair.check_condition(slot, Sense::READ_ERROR);
    let got = pair.receive();
    assert_eq!(got.iter().map(Got::opcode).collect::<Vec<_>>(), [0x25, 0x25, 0x21]);
    assert_eq!((got[1].bhs[1], got[2].word(36)), (0x80, 2), "no status in the data, ExpDataSN 2");
}

#[test]
fn residuals_in_both_directions() {
    // (expected, CDB, flags in Data-In, count)
    for (expected, cdb, residual, count) in
        [(1024, 512, 0x02, 512), (512, 1024, 0x04, 512), (512, 512, 0, 0), (512, 1 << 40, 4, !0)]
    {
        let mut pair = Pair::new(parameters());
        let slot = pair.begin(&Pdu::read(7, 10, expected));
        pair.target.data_in(slot, 0, u32::try_from(cdb).unwrap_or(u32::MAX), good(cdb));
        let got = pair.receive_one();
        assert_eq!((got.bhs[1], got.word(44)), (0x81 | residual, count), "{expected} {cdb}");
        assert_eq!(got.data.len() as u64, cdb.min(u64::from(expected)));
    }
    for (expected, cdb, residual, count) in
        [(512, 1024, 0x04, 512), (0, 512, 0x04, 512), (1024, 512, 0x02, 512)]
    {
        let mut pair = Pair::new(parameters());
        let data = vec![0; expected as usize];
        let slot = pair.begin(&Pdu::write(7, 10, expected).data(data));
        pair.target.answer(slot, good(cdb).expect("an answer"));
        let got = pair.receive_one();
        let fields = (got.opcode(), got.bhs[1], got.word(44));
        assert_eq!(fields, (opcode::SCSI_RESPONSE, 0x80 | residual, count), "{expected} {cdb}");
    }
}

#[test]
fn no_data_for_an_initiator_that_expects_none() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::write(7, 10, 512).data(vec![0; 512]));
    pair.target.data_in(slot, 0, 512, good(512));
    assert_eq!(pair.receive_one().opcode(), opcode::SCSI_RESPONSE, "a READ flagged as a write");
}

#[test]
fn an_answer_to_the_header_waits_for_the_end_of_its_pdu() {
    let mut pair = Pair::new(parameters());
    let bytes = Pdu::write(7, 10, 512).data(vec![0; 512]).encode(false, false);
    assert_eq!(pair.send_bytes(&bytes[..100]).first(), Some(&Seen::Command(0)));
    pair.good(0);
    assert_eq!(pair.receive(), []);
    assert_eq!(pair.send_bytes(&bytes[100..]), [], "answered, so neither told nor executed");
    assert_eq!(pair.receive_one().ends, Some(0));
}

#[test]
fn stat_sn_counts_what_takes_one() {
    let mut pair = Pair::new(parameters());
    for tag in 0..3 {
        let slot = pair.begin(&Pdu::read(tag, 10 + tag, 2048));
        pair.target.data_in(slot, 0, 2048, good(2048));
        pair.target.ping(1);
    }
    let got = pair.receive();
    let stat_sns: Vec<u32> = got.iter().map(Got::stat_sn).collect();
    assert_eq!(stat_sns, [0, 100, 101, 0, 101, 102, 0, 102, 103]);
}

#[test]
fn sense_data_of_a_device_goes_out_as_it_is() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::read(7, 10, 512));
    let said: Vec<u8> = (0x72..0x72 + 96).collect();
    pair.target.set_sense_data(slot, &said);
    let answer = Answer { status: status::CHECK_CONDITION, sense: None, cdb_bytes: 0 };
    pair.target.answer(slot, answer);
    let got = pair.receive_one();
    assert_eq!((got.opcode(), got.bhs[3]), (opcode::SCSI_RESPONSE, status::CHECK_CONDITION));
    assert_eq!(got.data, [&[0, 96][..], &said].concat());
}
