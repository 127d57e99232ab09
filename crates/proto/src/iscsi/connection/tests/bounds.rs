//! What a peer that does not keep its side can make us hold.

use super::initiator::{Pair, Pdu, Seen, parameters};
use crate::iscsi::bhs::{opcode, reject};
use crate::iscsi::connection::{
    CONTROL_BYTES_MAX, CONTROL_TOTAL_BYTES_MAX, IMMEDIATE_MAX, LOOSE_REPLIES_MAX, QUEUE_DEPTH_MAX,
};
use crate::iscsi::parameters::Parameters;
use crate::iscsi::task::SLOTS_MAX;

fn big() -> Parameters {
    Parameters {
        queue_depth: 128,
        max_recv_data_segment_bytes: 1 << 20,
        peer_max_recv_data_segment_bytes: 1 << 20,
        ..parameters()
    }
}

#[test]
fn rejects_to_a_peer_that_does_not_read_end_the_connection() {
    let mut pair = Pair::new(parameters());
    for round in 0..LOOSE_REPLIES_MAX {
        assert!(matches!(pair.send(&Pdu::new(0x1C, 1))[..], [Seen::Rejected(_)]), "{round}");
    }
    let seen = pair.send(&Pdu::new(0x1C, 1));
    assert!(matches!(&seen[..], [Seen::Broken(why), ..] if why.contains("does not read")));
    assert!(pair.target.retained_bytes() < 128 * 1024, "{}", pair.target.retained_bytes());
}

#[test]
fn rejects_to_a_peer_that_reads_go_on_for_ever() {
    let mut pair = Pair::new(parameters());
    for _ in 0..2 * LOOSE_REPLIES_MAX {
        pair.send(&Pdu::new(0x1C, 1));
        assert_eq!(pair.receive_one().opcode(), opcode::REJECT);
    }
}

#[test]
fn immediate_requests_and_commands_share_a_bound() {
    let mut pair = Pair::new(parameters());
    for tag in 0..u32::from(IMMEDIATE_MAX) / 2 {
        pair.send(&Pdu::nop(tag, 10).immediate());
        let slot = pair.begin(&Pdu::read(1000 + tag, 10, 0).immediate());
        pair.good(slot);
    }
    for pdu in [Pdu::nop(99, 10).immediate(), Pdu::read(99, 10, 0).immediate()] {
        assert!(matches!(pair.send(&pdu)[..], [Seen::Rejected(_)]));
    }
    let got = pair.receive();
    let reasons: Vec<u8> = got.iter().rev().take(2).map(|reply| reply.bhs[2]).collect();
    assert_eq!(reasons, [reject::TOO_MANY_IMMEDIATE; 2]);
    assert_eq!(pair.send(&Pdu::nop(99, 10).immediate()), [], "pings are answered, slots not free");
    assert_eq!(pair.receive_one().opcode(), opcode::NOP_IN);
    pair.sent(&got);
    assert_eq!(pair.send(&Pdu::read(10, 10, 0)).len(), 2, "numbered commands have their own");
}

#[test]
fn unsent_answers_to_immediate_commands_take_no_place_from_numbered_ones() {
    let mut pair = Pair::new(Parameters { queue_depth: 1, ..parameters() });
    for tag in 0..200 {
        if let [Seen::Command(slot), ..] = pair.send(&Pdu::read(tag, 10, 0).immediate())[..] {
            pair.good(slot);
        }
    }
    assert_eq!(pair.send(&Pdu::read(999, 10, 0)).len(), 2);
}

#[test]
fn ping_data_that_is_not_read_back_is_bounded() {
    let mut pair = Pair::new(big());
    let data = vec![0; CONTROL_BYTES_MAX];
    let mut rejected = 0;
    for number in 0..100 {
        // Half of them wait for a missing number, half for the peer to read.
        let cmd_sn = if number % 2 == 0 { 20 + number } else { 10 };
        let pdu = Pdu::nop(number, cmd_sn).data(data.clone());
        let seen = pair.send(&if number % 2 == 0 { pdu } else { pdu.immediate() });
        rejected += seen.len();
    }
    let held = pair.target.retained_bytes();
    assert!(held < CONTROL_TOTAL_BYTES_MAX + 64 * 1024, "{held}");
    assert_eq!(rejected, 100 - CONTROL_TOTAL_BYTES_MAX / CONTROL_BYTES_MAX);
    let more = Pdu::nop(999, 10).data(vec![0; CONTROL_BYTES_MAX + 1]);
    assert!(matches!(pair.send(&more)[..], [Seen::Rejected(_)]), "too long for any one");
}

#[test]
fn empty_data_outs_pile_up_nothing() {
    let mut pair = Pair::new(parameters());
    pair.send(&Pdu::write(7, 10, 1000).open());
    pair.send(&Pdu::write(8, 11, 4000));
    let ttt = pair.receive_one().ttt();
    let before = pair.target.retained_bytes();
    for sn in 0..10_000 {
        pair.send(&Pdu::unsolicited(7, sn, 0, vec![]).open());
        pair.send(&Pdu::data_out(8, ttt, sn, 0, vec![]).open());
    }
    assert_eq!(pair.target.retained_bytes(), before);
}

#[test]
fn a_peer_that_aborts_and_never_reads_piles_up_nothing() {
    let mut pair = Pair::new(parameters());
    let mut cmd_sn = 10;
    let mut most = 0;
    for round in 0..1000 {
        if let [Seen::Command(slot), ..] = pair.send(&Pdu::read(round, cmd_sn, 4000))[..] {
            cmd_sn += 1;
            pair.target.data_in(slot, 0, 4000, None);
            pair.target.release(slot);
        }
        most = most.max(pair.target.retained_bytes());
    }
    assert_eq!(cmd_sn, 18, "the window was told once and never opened");
    assert!(most < 16 * 1024, "{most}");
}

#[test]
fn the_deepest_window_fits_the_slots() {
    let mut pair = Pair::new(Parameters { queue_depth: u16::MAX, ..parameters() });
    assert_eq!(pair.target.parameters().queue_depth, QUEUE_DEPTH_MAX);
    assert!(pair.target.slots_max() <= usize::from(SLOTS_MAX));
    for number in 0..u32::from(QUEUE_DEPTH_MAX) {
        pair.begin(&Pdu::write(number, 10 + number, 512));
    }
    let next = 10 + u32::from(QUEUE_DEPTH_MAX);
    assert_eq!(pair.send(&Pdu::read(9_999, next, 0)), [], "the window is closed");
    assert_eq!(pair.receive().len(), usize::from(QUEUE_DEPTH_MAX));
}

#[test]
fn out_of_range_parameters_are_brought_into_range() {
    let zero = Parameters {
        queue_depth: 0,
        max_burst_bytes: 0,
        max_outstanding_r2t: 0,
        peer_max_recv_data_segment_bytes: 0,
        ..parameters()
    };
    let mut pair = Pair::new(zero);
    pair.begin(&Pdu::write(1, 10, 1000));
    assert_eq!(pair.receive_one().range(), (0, 512));
}
