//! An initiator and a host in memory, steered by bytes, and what must hold whatever they do.
//!
//! The initiator keeps the rules until it is told to break one; from then on only what protects
//! the target is checked. Used by the property tests and by the fuzz target `connection`.

mod choices;
mod host;
mod peer;
mod wire;

pub(crate) use choices::Choices;
use fairlead_proto::iscsi::bhs::opcode;
use fairlead_proto::iscsi::connection::{
    CONTROL_TOTAL_BYTES_MAX, IMMEDIATE_MAX, LOOSE_REPLIES_MAX,
};
use fairlead_proto::iscsi::outbox::Payload;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::task::Task;
use host::{Host, Place};
use peer::Peer;
pub(crate) use wire::{NO_TAG, Pdu, patterns, word};

static ZEROES: [u8; 4096] = [0; 4096];

/// Parameters of every kind, small lengths.
pub(crate) fn parameters(choices: &mut Choices<'_>) -> Parameters {
    Parameters {
        tsih: 1,
        exp_cmd_sn: choices.pick(&[0, 5, u32::MAX - 2]),
        stat_sn: choices.pick(&[0, u32::MAX - 2]),
        max_recv_data_segment_bytes: choices.pick(&[512, 4096]),
        peer_max_recv_data_segment_bytes: choices.pick(&[512, 1000, 4096]),
        max_burst_bytes: choices.pick(&[512, 2048, 8192]),
        first_burst_bytes: choices.pick(&[512, 2048]),
        initial_r2t: choices.below(2) == 1,
        immediate_data: choices.below(2) == 0,
        max_outstanding_r2t: choices.pick(&[1, 2, 8]),
        header_digest: choices.below(4) == 1,
        data_digest: choices.below(4) == 1,
        queue_depth: choices.pick(&[1, 2, 8]),
    }
}

/// Plays until the choices are used up, then brings everything to its end.
pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut game = Game::new(parameters(&mut choices));
    while let Some(choice) = choices.next() {
        game.step(choice, &mut choices);
        game.check_bounds();
        if game.host.is_broken {
            return;
        }
    }
    if !game.host.is_tainted {
        game.finish();
    }
}

struct Game {
    peer: Peer,
    host: Host,
    stat_sn: u32,
    exp_cmd_sn: u32,
    retained_max: usize,
}

impl Game {
    fn new(parameters: Parameters) -> Self {
        let depth = usize::from(parameters.queue_depth);
        // Vectors may have twice the room that they need.
        let slots = 2 * (2 * depth + usize::from(IMMEDIATE_MAX)) * (size_of::<Task>() + 200);
        let replies = (usize::from(LOOSE_REPLIES_MAX) + usize::from(IMMEDIATE_MAX) + depth) * 300;
        Self {
            stat_sn: parameters.stat_sn,
            exp_cmd_sn: parameters.exp_cmd_sn,
            host: Host::new(parameters.clone()),
            peer: Peer::new(parameters),
            retained_max: slots + replies + CONTROL_TOTAL_BYTES_MAX,
        }
    }

    fn step(&mut self, choice: u8, choices: &mut Choices<'_>) {
        match choice % 32 {
            0..=6 => self.command(choices),
            7..=13 => {
                if let Some(pdu) = self.peer.data_out(choices) {
                    self.send(choices, &pdu);
                }
            }
            14 | 15 => {
                if let Some(pdu) = self.peer.request(choices) {
                    self.send(choices, &pdu);
                }
            }
            16..=21 => self.host.work(choices),
            22 => self.host.answer_request(),
            23 => {
                if let Some(command) =
                    self.host.kill(choices).and_then(|tag| self.peer.commands.get_mut(&tag))
                {
                    command.is_aborted = true;
                }
            }
            24..=27 => {
                for _ in 0..choices.below(8) + 1 {
                    self.receive_one();
                }
            }
            28 => self.host.release(),
            29 => self.peer.commands.retain(|_, command| !command.is_aborted),
            _ if choices.one_in(16) => self.break_a_rule(choices),
            _ => {}
        }
    }

    fn send(&mut self, choices: &mut Choices<'_>, pdu: &Pdu) {
        let bytes = pdu.encode(&self.peer.parameters);
        self.host.receive(choices, &bytes);
    }

    fn command(&mut self, choices: &mut Choices<'_>) {
        let Some((tag, pdu, is_numbered)) = self.peer.command(choices) else { return };
        let before = self.host.commands;
        self.send(choices, &pdu);
        if self.host.commands == before {
            assert!(!is_numbered || self.host.is_tainted, "a place that was promised is there");
            self.peer.commands.remove(&tag);
        }
    }

    fn break_a_rule(&mut self, choices: &mut Choices<'_>) {
        self.host.is_tainted = true;
        let bytes = if choices.below(2) == 0 {
            (0..choices.below(200)).map(|_| choices.next().unwrap_or(0)).collect()
        } else {
            let Some((_, pdu, _)) = self.peer.command(choices) else { return };
            let mut bytes = pdu.encode(&self.peer.parameters);
            let at = choices.below(48) as usize;
            bytes[at] = choices.next().unwrap_or(0);
            bytes
        };
        self.host.receive(choices, &bytes);
    }

    /// The initiator reads one PDU, if there is one, and checks it.
    fn receive_one(&mut self) -> bool {
        let lend = |_, _, length: u32| &ZEROES[..length as usize];
        let Some(frame) = self.host.connection.next_frame(lend) else { return false };
        let bhs = frame.header();
        let (code, flags, tag) = (bhs[0], bhs[1], word(bhs, 16));
        self.check_numbers(bhs);
        match frame.payload {
            Payload::Task { slot, length_bytes, .. } => {
                let place = self.host.jobs.get(&slot).map(|job| job.place);
                assert!(matches!(place, Some(Place::Executing | Place::Answered)), "{place:?}");
                assert!(length_bytes <= self.peer.parameters.peer_max_recv_data_segment_bytes);
                assert!(length_bytes <= self.peer.parameters.max_burst_bytes);
            }
            _ => assert_eq!(frame.own_payload().len() as u32, word(bhs, 4) & 0xFF_FFFF),
        }
        if code == opcode::R2T {
            let (ttt, offset, length) = (word(bhs, 20), word(bhs, 40), word(bhs, 44));
            let task = self.host.connection.task((ttt >> 20) as u16);
            let most = self.host.connection.parameters().max_outstanding_r2t;
            assert!(task.r2ts_outstanding() <= u32::from(most));
            assert!(length > 0 && length <= self.peer.parameters.max_burst_bytes);
            assert!(offset + length <= task.wanted_bytes, "only data that has a place");
            self.peer.learn_r2t(tag, ttt, offset, length);
        }
        if let Some(slot) = frame.ends {
            let job = self.host.jobs.get_mut(&slot).expect("a task that was told");
            assert_eq!((job.place, job.tag), (Place::Answered, tag), "answered once");
            assert!(code == opcode::SCSI_RESPONSE || flags & 0x81 == 0x81);
            job.place = Place::Ended;
            let command = self.peer.commands.remove(&tag);
            let owes = command.is_some_and(|command| command.owes_data());
            assert!(!owes || self.host.is_tainted, "no response while data is owed");
        }
        true
    }

    /// StatSN counts up, ExpCmdSN and MaxCmdSN never go back.
    fn check_numbers(&mut self, bhs: &[u8]) {
        let (exp_cmd_sn, max_cmd_sn) = (word(bhs, 28), word(bhs, 32));
        assert!((exp_cmd_sn.wrapping_sub(self.exp_cmd_sn) as i32) >= 0);
        assert!((max_cmd_sn.wrapping_sub(self.peer.max_cmd_sn) as i32) >= 0);
        (self.exp_cmd_sn, self.peer.max_cmd_sn) = (exp_cmd_sn, max_cmd_sn);
        let places = max_cmd_sn.wrapping_sub(exp_cmd_sn).wrapping_add(1);
        assert!(places <= u32::from(self.peer.parameters.queue_depth));
        if bhs[0] == opcode::DATA_IN && bhs[1] & 1 == 0 {
            assert_eq!(word(bhs, 24), 0);
            return;
        }
        assert_eq!(word(bhs, 24), self.stat_sn);
        let is_ours = bhs[0] == opcode::NOP_IN && word(bhs, 16) == NO_TAG;
        let counts = bhs[0] != opcode::R2T && !is_ours;
        self.stat_sn = self.stat_sn.wrapping_add(u32::from(counts));
    }

    fn check_bounds(&self) {
        let connection = &self.host.connection;
        let retained = connection.retained_bytes();
        assert!(retained <= self.retained_max, "{retained} of {}", self.retained_max);
        assert!(connection.slots() <= connection.slots_max());
    }

    /// Everybody does what is left to do: then nothing is left.
    fn finish(&mut self) {
        let mut all = Choices::new(&[]);
        for _ in 0..10_000 {
            while self.receive_one() {}
            self.host.release();
            let mut is_idle = self.host.connection.is_quiet();
            while let Some(number) = self.peer.gaps.pop() {
                self.send(&mut all, &Pdu::nop(0x1_0000 ^ number, number));
                is_idle = false;
            }
            if let Some(pdu) = self.peer.data_out(&mut all) {
                self.send(&mut all, &pdu);
                is_idle = false;
            }
            for slot in self.host.slots(&[Place::Executing]) {
                self.host.answer(slot, None);
                is_idle = false;
            }
            while !self.host.requests.is_empty() {
                self.host.answer_request();
                is_idle = false;
            }
            if is_idle {
                break;
            }
        }
        assert!(self.host.jobs.is_empty(), "answered and released: {:?}", self.host.jobs);
        assert_eq!(self.host.connection.live_slots().count(), 0);
        assert!(self.host.connection.is_quiet());
        let places = self.peer.max_cmd_sn.wrapping_sub(self.exp_cmd_sn).wrapping_add(1);
        assert!(places > 0, "the initiator knows an open window");
        self.send(&mut all, &Pdu::nop(5001, self.peer.cmd_sn));
        assert!(self.receive_one(), "and can use it");
    }
}
