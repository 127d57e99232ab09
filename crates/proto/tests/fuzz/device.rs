//! A device server that answers at random, and what must hold for whatever it does.

use crate::initiator::Initiator;
use crate::random::Random;
use fairlead_proto::iscsi::bhs::{Reply, opcode};
use fairlead_proto::iscsi::connection::{Connection, Event, Request};
use fairlead_proto::iscsi::outbox::Payload;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_proto::scsi::sense::Sense;
use std::collections::HashSet;
use zerocopy::FromBytes;

/// Far above what a queue of at most eight commands may take, and far below what a leak reaches.
const RETAINED_BYTES_MAX: usize = 1 << 20;
/// Enough for the longest Data-In segment of the fuzzed parameters.
static ZEROES: [u8; 8192] = [0; 8192];

pub(crate) struct Device {
    connection: Connection,
    queue_depth: u32,
    segment_bytes_max: u32,
    /// Told to execute and not answered yet.
    executing: Vec<(Slot, u32)>,
    requests: Vec<Request>,
    ended: HashSet<(Slot, u32)>,
    stat_sn: u32,
    is_broken: bool,
    answered: usize,
    round: String,
}

impl Device {
    pub(crate) fn new(parameters: Parameters, round: String) -> Self {
        let stat_sn = parameters.stat_sn;
        let connection = Connection::new(parameters);
        let settled = connection.parameters();
        Self {
            queue_depth: u32::from(settled.queue_depth),
            segment_bytes_max: settled.peer_max_recv_data_segment_bytes,
            connection,
            executing: Vec::new(),
            requests: Vec::new(),
            ended: HashSet::new(),
            stat_sn,
            is_broken: false,
            answered: 0,
            round,
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered
    }

    /// Feeds input, and reacts to each event at once.
    pub(crate) fn receive(&mut self, random: &mut Random, input: &mut &[u8]) {
        while let Some(event) = self.connection.poll(input) {
            assert!(!self.is_broken, "told after the end: {event:?}; {}", self.round);
            match event {
                Event::Command(slot) => self.command(random, slot),
                Event::Data { slot, offset_bytes, bytes } => {
                    let task = self.connection.task(slot);
                    let end = offset_bytes as usize + bytes.len();
                    assert!(end <= task.wanted_bytes as usize, "{}", self.round);
                    assert!(task.wanted_bytes <= task.expected_bytes, "{}", self.round);
                }
                Event::Execute(slot) => {
                    let sequence = self.connection.task(slot).sequence;
                    let is_again = self.executing.contains(&(slot, sequence));
                    assert!(!is_again, "told twice without new data; {}", self.round);
                    self.executing.push((slot, sequence));
                }
                Event::Request(request) => self.requests.push(request),
                Event::Rejected(_) => {}
                Event::Broken(_) => self.is_broken = true,
            }
        }
        assert!(input.is_empty(), "input that nobody takes; {}", self.round);
    }

    fn command(&mut self, random: &mut Random, slot: Slot) {
        let task = self.connection.task(slot);
        let (expected, writes) = (task.expected_bytes, task.writes);
        match random.below(8) {
            0 => self.connection.fail(slot, Sense::INVALID_OPCODE),
            1 if writes => {
                let least = self.connection.unsolicited_bytes_max(slot);
                self.connection.want(slot, least);
            }
            2 => {}
            _ => self.connection.want(slot, expected.min(1 << 16)),
        }
    }

    /// Answers some of what it was asked, kills some, and leaves some for later.
    pub(crate) fn work(&mut self, random: &mut Random) {
        for (slot, sequence) in std::mem::take(&mut self.executing) {
            if self.connection.task(slot).sequence != sequence {
                continue;
            }
            let task = self.connection.task(slot);
            let (expected, wanted, writes) = (task.expected_bytes, task.wanted_bytes, task.writes);
            let answer = Answer { status: 0, sense: None, cdb_bytes: random.extreme() >> 20 };
            match random.below(8) {
                0 => self.executing.push((slot, sequence)),
                1 => self.kill(slot),
                2 => {
                    let sense = Some(Sense::READ_ERROR);
                    self.connection.answer(slot, Answer { status: 2, sense, ..answer });
                    // Said twice: the second goes nowhere.
                    self.connection.answer(slot, answer);
                }
                3 if writes && wanted < expected.min(1 << 18) => {
                    self.connection.want(slot, wanted.saturating_add(3000));
                }
                4 => self.connection.answer(slot, answer),
                _ => {
                    let end = expected.min(3000);
                    let middle = random.below(end + 1);
                    self.connection.data_in(slot, 0, middle, None);
                    self.connection.data_in(slot, middle, end, Some(answer));
                }
            }
        }
        for request in std::mem::take(&mut self.requests) {
            match request {
                request if random.one_in(4) => self.requests.push(request),
                Request::Management { initiator_task_tag, referenced_task_tag, .. } => {
                    if let Some(slot) = self.connection.find(referenced_task_tag) {
                        self.kill(slot);
                    }
                    self.connection.answer_management(initiator_task_tag, 0);
                }
                Request::Text { initiator_task_tag, data, .. } => {
                    self.connection.answer_text(initiator_task_tag, u32::MAX, 0x80, &data);
                }
                Request::Logout { initiator_task_tag, .. } => {
                    self.connection.answer_logout(initiator_task_tag, 1);
                }
            }
        }
    }

    /// Aborts a task, whose buffers are free at once here.
    fn kill(&mut self, slot: Slot) {
        self.connection.kill(slot);
        self.executing.retain(|(of, _)| *of != slot);
        self.connection.release(slot);
    }

    /// Sends some of the frames that are ready, and checks each.
    pub(crate) fn send(&mut self, random: &mut Random, initiator: &mut Initiator) {
        for _ in 0..random.below(12) {
            let lend = |_, _, length: u32| ZEROES.get(..length as usize).unwrap_or(&ZEROES);
            let Some(frame) = self.connection.next_frame(lend) else { break };
            let (reply, _) = Reply::read_from_prefix(frame.header()).expect("a whole header");
            let length = match frame.payload {
                Payload::Task { length_bytes, .. } => length_bytes,
                _ => u32::try_from(frame.own_payload().len()).unwrap_or(u32::MAX),
            };
            assert_eq!(reply.data_segment_bytes(), length, "{}", self.round);
            assert!(length <= self.segment_bytes_max, "{}", self.round);
            assert_eq!((length as usize + frame.tail().len()) % 4, 0, "{}", self.round);
            self.check_numbers(&reply);
            initiator.learn_window(reply.max_cmd_sn.get());
            if reply.opcode == opcode::R2T {
                initiator.learn_r2t(
                    reply.initiator_task_tag.get(),
                    reply.word_20.get(),
                    reply.word_40.get(),
                    reply.word_44.get(),
                );
            }
            if let Some(slot) = frame.ends {
                let sequence = self.connection.task(slot).sequence;
                assert!(self.ended.insert((slot, sequence)), "ended twice; {}", self.round);
                self.connection.release(slot);
                self.answered += 1;
            }
        }
    }

    /// StatSN goes up by one with each reply that counts; the window never opens beyond its depth.
    fn check_numbers(&mut self, reply: &Reply) {
        let is_open = reply.max_cmd_sn.get().wrapping_sub(reply.exp_cmd_sn.get()).wrapping_add(1);
        assert!(is_open <= self.queue_depth, "window of {is_open}; {}", self.round);
        let data_without_status = reply.opcode == opcode::DATA_IN && reply.flags & 1 == 0;
        if data_without_status {
            return;
        }
        assert_eq!(reply.stat_sn.get(), self.stat_sn, "{}", self.round);
        let is_counted = match reply.opcode {
            opcode::R2T => false,
            opcode::NOP_IN => reply.initiator_task_tag.get() != u32::MAX,
            _ => true,
        };
        self.stat_sn = self.stat_sn.wrapping_add(u32::from(is_counted));
    }

    /// Memory and slots stay bounded, whatever came.
    pub(crate) fn check(&self) {
        let retained = self.connection.retained_bytes();
        assert!(retained <= RETAINED_BYTES_MAX, "{retained} bytes; {}", self.round);
        assert!(self.connection.slots() <= self.connection.slots_max(), "{}", self.round);
        assert!(self.connection.live_slots().count() <= self.connection.slots(), "{}", self.round);
    }
}
