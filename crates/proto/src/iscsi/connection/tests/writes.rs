//! Immediate, unsolicited and solicited data. Spec: RFC 7143 §4.2.5, §11.3, §11.7, §11.8.

use super::initiator::{Got, Pair, Pdu, Seen, parameters, pattern};
use crate::iscsi::bhs::opcode;
use crate::iscsi::connection::Event;
use crate::iscsi::parameters::Parameters;
use crate::iscsi::task::{Answer, State};
use crate::scsi::sense::Sense;
use crate::scsi::status;

#[test]
fn immediate_data_alone() {
    let mut pair = Pair::new(parameters());
    let seen = pair.send(&Pdu::write(7, 10, 600).data(pattern(0, 600)));
    assert_eq!(seen, [Seen::Command(0), Seen::Data(0, 0, pattern(0, 600)), Seen::Execute(0)]);
    assert_eq!(pair.receive(), [], "no R2T");
}

#[test]
fn immediate_then_unsolicited_then_solicited_data() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 3000).open().data(pattern(0, 500)));
    assert_eq!(pair.receive(), [], "unsolicited data is announced");
    let seen = pair.send(&Pdu::unsolicited(7, 0, 500, pattern(500, 300)).open());
    assert_eq!(seen, [Seen::Data(0, 500, pattern(500, 300))]);
    pair.send(&Pdu::unsolicited(7, 1, 800, pattern(800, 224)));
    let r2t = pair.receive_one();
    assert_eq!(r2t.range(), (1024, 1976));
    let seen = pair.send(&Pdu::data_out(7, r2t.ttt(), 0, 1024, pattern(1024, 1976)));
    assert_eq!(seen, [Seen::Data(0, 1024, pattern(1024, 1976)), Seen::Execute(0)]);
}

#[test]
fn less_unsolicited_data_than_allowed_is_completed_by_r2t() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 1000).open());
    pair.send(&Pdu::unsolicited(7, 0, 0, pattern(0, 100)));
    assert_eq!(pair.receive_one().range(), (100, 900));
}

#[test]
fn unsolicited_data_short_of_the_first_burst_fails_a_longer_write() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 3000).open());
    let seen = pair.send(&Pdu::unsolicited(7, 0, 0, pattern(0, 1000)));
    assert_eq!(seen.last(), Some(&Seen::Execute(0)));
    assert_eq!(pair.target.task(0).fault, Some(Sense::INCORRECT_AMOUNT_OF_DATA));
}

#[test]
fn an_answer_to_an_r2t_of_another_length_fails_the_write_when_all_are_answered() {
    for length in [2047, 2049] {
        let mut pair = Pair::new(Parameters { max_outstanding_r2t: 2, ..parameters() });
        pair.send(&Pdu::write(7, 10, 5000));
        let r2ts = pair.receive();
        pair.send(&Pdu::data_out(7, r2ts[0].ttt(), 0, 0, pattern(0, length)));
        assert_eq!(pair.target.task(0).fault, Some(Sense::INCORRECT_AMOUNT_OF_DATA));
        assert_eq!(pair.receive(), [], "neither asked for more nor answered");
        let seen = pair.send(&Pdu::data_out(7, r2ts[1].ttt(), 0, 2048, pattern(2048, 2048)));
        assert_eq!(seen, [Seen::Execute(0)]);
    }
}

#[test]
fn first_burst_covers_immediate_and_unsolicited_data_together() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 3000).open().data(pattern(0, 600)));
    pair.send(&Pdu::unsolicited(7, 0, 600, pattern(600, 600)).open());
    assert_eq!(pair.target.task(0).fault, Some(Sense::INCORRECT_AMOUNT_OF_DATA));
    assert_eq!(pair.receive(), [], "no response before the F bit");
    let seen = pair.send(&Pdu::unsolicited(7, 1, 1200, pattern(1200, 100)));
    assert_eq!(seen, [Seen::Execute(0)], "to be failed; its data goes nowhere");
}

#[test]
fn data_that_was_not_agreed_fails_the_command_but_not_the_connection() {
    let without =
        |immediate_data, initial_r2t| Parameters { immediate_data, initial_r2t, ..parameters() };
    for (parameters, pdu) in [
        (without(false, true), Pdu::write(7, 10, 600).data(pattern(0, 600))),
        (parameters(), Pdu::write(7, 10, 3000).data(pattern(0, 1025))),
        (parameters(), Pdu::write(7, 10, 100).data(pattern(0, 101))),
        (parameters(), Pdu::read(7, 10, 600).data(pattern(0, 600))),
    ] {
        let mut pair = Pair::new(parameters);
        assert_eq!(pair.send(&pdu), [Seen::Command(0), Seen::Execute(0)]);
        assert_eq!(pair.target.task(0).fault, Some(Sense::UNEXPECTED_UNSOLICITED_DATA));
    }
    let mut pair = Pair::new(without(true, true));
    assert_eq!(pair.send(&Pdu::write(7, 10, 3000).open()), [Seen::Command(0)]);
    assert_eq!(pair.send(&Pdu::unsolicited(7, 0, 0, pattern(0, 512)).open()), []);
    assert_eq!(pair.send(&Pdu::unsolicited(7, 1, 512, pattern(0, 512))), [Seen::Execute(0)]);
}

#[test]
fn bursts_are_numbered_and_no_more_than_agreed_are_outstanding() {
    let mut pair = Pair::new(Parameters { max_outstanding_r2t: 2, ..parameters() });
    pair.send(&Pdu::write(7, 10, 7000));
    let first = pair.receive();
    assert_eq!(first.iter().map(Got::range).collect::<Vec<_>>(), [(0, 2048), (2048, 2048)]);
    assert_ne!(first[0].ttt(), first[1].ttt());
    pair.send(&Pdu::data_out(7, first[0].ttt(), 0, 0, pattern(0, 1000)).open());
    pair.send(&Pdu::data_out(7, first[0].ttt(), 1, 1000, pattern(1000, 1048)));
    let third = pair.receive_one();
    assert_eq!((third.range(), third.word(36)), ((4096, 2048), 2));
    pair.send(&Pdu::data_out(7, first[1].ttt(), 0, 2048, pattern(2048, 2048)));
    let fourth = pair.receive_one();
    assert_eq!((fourth.range(), fourth.word(36)), ((6144, 856), 3));
    pair.send(&Pdu::data_out(7, third.ttt(), 0, 4096, pattern(4096, 2048)));
    let seen = pair.send(&Pdu::data_out(7, fourth.ttt(), 0, 6144, pattern(6144, 856)));
    assert_eq!(seen.last(), Some(&Seen::Execute(0)));
    pair.good(0);
    assert_eq!(pair.receive_one().word(36), 0, "no ExpDataSN where there was no Data-In");
}

#[test]
fn a_large_write_is_wanted_piece_by_piece() {
    let mut pair = Pair::new(parameters());
    pair.want = 1024;
    pair.send(&Pdu::write(7, 10, 4000));
    let r2t = pair.receive_one();
    assert_eq!(r2t.range(), (0, 1024));
    let seen = pair.send(&Pdu::data_out(7, r2t.ttt(), 0, 0, pattern(0, 1024)));
    assert_eq!(seen.last(), Some(&Seen::Execute(0)));
    assert_eq!(pair.target.task(0).state, State::Executing);
    pair.target.want(0, 2500);
    assert_eq!(pair.target.task(0).state, State::Collecting);
    let r2t = pair.receive_one();
    assert_eq!((r2t.range(), r2t.word(36)), ((1024, 1476), 1));
    let seen = pair.send(&Pdu::data_out(7, r2t.ttt(), 0, 1024, pattern(1024, 1476)));
    assert_eq!(seen.last(), Some(&Seen::Execute(0)));
    pair.target.want(0, 100);
    assert_eq!(pair.target.task(0).state, State::Executing, "the end never goes back");
    pair.target.want(0, u32::MAX);
    assert_eq!(pair.receive_one().range(), (2500, 1500));
}

#[test]
fn wanting_more_while_r2ts_are_outstanding_asks_for_nothing_twice() {
    let mut pair = Pair::new(Parameters { max_outstanding_r2t: 2, ..parameters() });
    pair.want = 1024;
    pair.send(&Pdu::write(7, 10, 4000));
    let first = pair.receive_one();
    pair.target.want(0, 3000);
    let second = pair.receive_one();
    assert_eq!((first.range(), second.range()), ((0, 1024), (1024, 1976)));
    let seen = pair.send(&Pdu::data_out(7, first.ttt(), 0, 0, pattern(0, 1024)));
    assert_eq!(seen, [Seen::Data(0, 0, pattern(0, 1024))], "more is wanted: not told yet");
    pair.target.want(0, 4000);
    let third = pair.receive_one();
    assert_eq!(third.range(), (3000, 1000));
    let seen = pair.send(&Pdu::data_out(7, second.ttt(), 0, 1024, pattern(1024, 1976)));
    assert_eq!(seen.len(), 1);
    let seen = pair.send(&Pdu::data_out(7, third.ttt(), 0, 3000, pattern(3000, 1000)));
    assert_eq!(seen.last(), Some(&Seen::Execute(0)));
}

#[test]
fn wanting_more_before_execute_is_told_takes_it_back() {
    let mut pair = Pair::new(parameters());
    pair.want = 512;
    // Both wait for number 10; when it comes, both are due at once.
    pair.send(&Pdu::read(1, 11, 0));
    pair.send(&Pdu::write(2, 12, 1024).data(pattern(0, 512)));
    let bytes = Pdu::nop(9, 10).encode(false, false);
    let mut input = &bytes[..];
    assert!(matches!(pair.target.poll(&mut input), Some(Event::Execute(0))));
    pair.target.want(1, 1024);
    assert_eq!(pair.send_bytes(input), [], "not executed before its data is there");
    let r2t = pair.receive().into_iter().find(|got| got.opcode() == opcode::R2T);
    assert_eq!(r2t.map(|r2t| r2t.range()), Some((512, 512)));
}

#[test]
fn data_that_was_thrown_away_cannot_be_wanted_later() {
    let mut pair = Pair::new(parameters());
    pair.want = 100;
    pair.send(&Pdu::write(7, 10, 3000).data(pattern(0, 1000)));
    assert_eq!(pair.target.unsolicited_bytes_max(0), 1024);
    pair.target.want(0, 3000);
    assert_eq!(pair.target.task(0).fault, Some(Sense::INTERNAL_FAILURE));
    assert_eq!(pair.send_bytes(&[]), [Seen::Execute(0)]);
}

#[test]
fn data_beyond_what_the_command_needs_is_thrown_away() {
    let mut pair = Pair::new(parameters());
    pair.want = 512;
    let seen = pair.send(&Pdu::write(7, 10, 1024).data(pattern(0, 1024)));
    assert_eq!(seen, [Seen::Command(0), Seen::Data(0, 0, pattern(0, 512)), Seen::Execute(0)]);
}

#[test]
fn a_wrong_place_tag_or_number_fails_the_task_and_nothing_else() {
    for (pdu, about) in [
        (Pdu::data_out(7, 0, 0, 4, vec![0; 4]), "offset"),
        (Pdu::data_out(7, 0, 27, 0, vec![0; 4]), "DataSN"),
        (Pdu::data_out(7, 1, 0, 0, vec![0; 4]), "Target Transfer Tag"),
        (Pdu::unsolicited(7, 0, 0, vec![0; 4]), "not announced"),
    ] {
        let mut pair = Pair::new(parameters());
        pair.send(&Pdu::write(7, 10, 4000));
        let ttt = pair.receive_one().ttt();
        let unchanged = pdu.bhs[20..24] == [0xFF; 4];
        let named = u32::from_be_bytes(pdu.bhs[20..24].try_into().expect("four"));
        let pdu = if unchanged { pdu } else { pdu.word(20, ttt + named) };
        let seen = pair.send(&pdu);
        let [Seen::Rejected(what), Seen::Execute(0)] = &seen[..] else { panic!("{seen:?}") };
        assert!(what.contains(about), "{about}: {what}");
        assert_eq!(pair.target.task(0).fault, Some(Sense::DATA_PHASE_ERROR));
        let late = Pdu::data_out(7, ttt, 0, 0, pattern(0, 2048));
        assert_eq!(pair.send(&late), [], "what still comes for it is thrown away");
    }
}

#[test]
fn a_burst_is_over_with_its_f_bit_and_not_before() {
    let mut pair = Pair::new(parameters());
    pair.want = 512;
    pair.send(&Pdu::write(7, 10, 1024));
    let ttt = pair.receive_one().ttt();
    let seen = pair.send(&Pdu::data_out(7, ttt, 0, 0, pattern(0, 512)).open());
    assert_eq!(seen.len(), 1, "not executed");
    assert_eq!(pair.send(&Pdu::data_out(7, ttt, 1, 512, vec![])), [Seen::Execute(0)]);
    pair.target.want(0, 1024);
    assert_eq!(pair.receive_one().range(), (512, 512), "nothing is outstanding");
}

#[test]
fn a_failing_write_waits_for_outstanding_data() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 4000));
    let ttt = pair.receive_one().ttt();
    pair.target.fail(0, Sense::WRITE_PROTECTED);
    pair.target.fail(0, Sense::WRITE_ERROR);
    assert_eq!(pair.send_bytes(&[]), []);
    let seen = pair.send(&Pdu::data_out(7, ttt, 0, 0, pattern(0, 2048)));
    assert_eq!(seen, [Seen::Execute(0)]);
    assert_eq!(pair.target.task(0).fault, Some(Sense::WRITE_PROTECTED));
    assert_eq!(pair.receive(), [], "no further R2T");
}

#[test]
fn a_failing_write_that_expects_nothing_executes_at_once() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 4000));
    pair.target.fail(0, Sense::WRITE_PROTECTED);
    assert_eq!(pair.send_bytes(&[]), [Seen::Execute(0)]);
    assert_eq!(pair.receive(), [], "the R2T was not sent yet");
}

#[test]
fn an_early_response_waits_for_outstanding_data() {
    let mut pair = Pair::new(Parameters { max_outstanding_r2t: 2, ..parameters() });
    pair.send(&Pdu::write(7, 10, 4096));
    let r2ts = pair.receive();
    let busy = Answer { status: status::BUSY, sense: None, cdb_bytes: 0 };
    pair.target.answer(0, busy);
    assert_eq!(pair.receive(), []);
    assert_eq!(pair.send(&Pdu::data_out(7, r2ts[0].ttt(), 0, 0, pattern(0, 2048))), []);
    assert_eq!(pair.receive(), []);
    assert_eq!(pair.send(&Pdu::data_out(7, r2ts[1].ttt(), 0, 2048, pattern(0, 2048))), []);
    let got = pair.receive_one();
    assert_eq!((got.bhs[3], got.ends), (status::BUSY, Some(0)));
}

#[test]
fn data_for_an_answered_task_is_thrown_away() {
    let mut pair = Pair::new(parameters());
    let slot = pair.begin(&Pdu::write(7, 10, 512).data(vec![0; 512]));
    pair.good(slot);
    let late = Pdu::unsolicited(7, 0, 512, vec![0; 4]);
    assert_eq!(pair.send(&late), []);
    let got = pair.receive();
    assert_eq!(pair.send(&late), []);
    pair.sent(&got);
    assert_eq!(pair.send(&late), []);
    assert_eq!(pair.send(&Pdu::data_out(99, 0x0FF0_0000, 0, 0, vec![0; 4])), [], "never known");
}

#[test]
fn data_in_place_counts_like_data_in_the_stream() {
    let mut pair = Pair::new(parameters());
    let bytes = Pdu::write(7, 10, 600).data(pattern(0, 600)).encode(false, false);
    pair.send_bytes(&bytes[..148]);
    assert_eq!(pair.target.due(), Some((0, 100, 500)));
    pair.target.received_in_place(&bytes[148..648]);
    assert_eq!(pair.target.due(), None);
    assert_eq!(pair.send_bytes(&[]), [Seen::Execute(0)]);
}

#[test]
fn data_without_a_place_is_not_due() {
    for want in [0, 599] {
        let mut pair = Pair::new(parameters());
        pair.want = want;
        let bytes = Pdu::write(7, 10, 600).data(pattern(0, 600)).encode(false, false);
        pair.send_bytes(&bytes[..48]);
        assert_eq!(pair.target.due(), None);
    }
}

#[test]
fn a_damaged_data_out_is_rejected_and_fails_its_task_at_the_end_of_data() {
    let mut pair = Pair::new(Parameters { data_digest: true, ..parameters() });
    pair.send(&Pdu::write(7, 10, 4000));
    let ttt = pair.receive_one().ttt();
    let mut bytes = Pdu::data_out(7, ttt, 0, 0, pattern(0, 1024)).open().encode(false, true);
    bytes[60] ^= 1;
    let seen = pair.send_bytes(&bytes);
    assert_eq!(seen.last(), Some(&Seen::Rejected("data digest does not match")));
    let reject = pair.receive_one();
    assert_eq!((reject.opcode(), reject.bhs[2], &reject.data[..]), (0x3F, 0x02, &bytes[..48]));
    let seen = pair.send(&Pdu::data_out(7, ttt, 1, 1024, pattern(1024, 1024)));
    assert_eq!(seen, [Seen::Execute(0)]);
    assert_eq!(pair.target.task(0).fault, Some(Sense::CRC_ERROR));
}

#[test]
fn a_damaged_command_is_rejected_and_ends_the_connection() {
    let mut pair = Pair::new(Parameters { data_digest: true, ..parameters() });
    let mut bytes = Pdu::write(7, 10, 600).data(pattern(0, 600)).encode(false, true);
    bytes[60] ^= 1;
    let seen = pair.send_bytes(&bytes);
    assert!(matches!(seen.last(), Some(Seen::Broken(_))));
    assert!(!seen.contains(&Seen::Execute(0)));
    assert_eq!(pair.receive_one().opcode(), opcode::REJECT);
}
