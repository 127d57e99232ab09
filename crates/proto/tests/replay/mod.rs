//! The same bytes, cut differently.

use crate::model::{Choices, NO_TAG, Pdu, parameters, patterns, word};
use fairlead_proto::iscsi::bhs::opcode;
use fairlead_proto::iscsi::connection::{Connection, Event, Request};
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;

static ZEROES: [u8; 4096] = [0; 4096];

/// What happened: events with their data put together, and what was sent after each.
pub(crate) type Log = Vec<String>;

/// A burst that the target has asked for.
struct R2t {
    tag: u32,
    target_transfer_tag: u32,
    offset: u32,
    length: u32,
}

/// A target whose host answers every event at once, and sends only then.
struct Target {
    connection: Connection,
    log: Log,
    data: Vec<u8>,
    r2ts: Vec<R2t>,
}

impl Target {
    fn new(parameters: Parameters) -> Self {
        let connection = Connection::new(parameters);
        Self { connection, log: Vec::new(), data: Vec::new(), r2ts: Vec::new() }
    }

    fn receive(&mut self, mut input: &[u8]) {
        while let Some(event) = self.connection.poll(&mut input) {
            if let Event::Data { bytes, .. } = event {
                self.data.extend_from_slice(bytes);
                continue;
            }
            self.log.push(format!("{event:?} after {:?}", std::mem::take(&mut self.data)));
            match event {
                Event::Command(slot) => self.connection.want(slot, u32::MAX),
                Event::Execute(slot) => self.execute(slot),
                Event::Request(Request::Management { initiator_task_tag, .. }) => {
                    self.connection.answer_management(initiator_task_tag, 0);
                }
                Event::Request(Request::Text { initiator_task_tag, data, .. }) => {
                    self.connection.answer_text(initiator_task_tag, NO_TAG, 0x80, &data);
                }
                Event::Request(Request::Logout { initiator_task_tag, .. }) => {
                    self.connection.answer_logout(initiator_task_tag, 2);
                }
                Event::Data { .. } | Event::Rejected(_) | Event::Broken(_) => {}
            }
            self.send();
        }
    }

    fn execute(&mut self, slot: Slot) {
        let task = self.connection.task(slot);
        let (end, fault) = (task.expected_bytes, task.fault);
        let answer = match fault {
            None => Answer { status: status::GOOD, sense: None, cdb_bytes: u64::from(end) },
            Some(_) => Answer {
                status: status::CHECK_CONDITION,
                sense: Some(Sense::CRC_ERROR),
                cdb_bytes: 0,
            },
        };
        self.connection.data_in(slot, 0, end.min(1 << 16), Some(answer));
    }

    fn send(&mut self) {
        while let Some(frame) = self.connection.next_frame(|_, _, n| &ZEROES[..n as usize]) {
            let bhs = frame.header();
            self.log.push(format!("{bhs:?} {:?} {:?}", frame.payload, frame.tail()));
            if bhs[0] == opcode::R2T {
                let (tag, target_transfer_tag) = (word(bhs, 16), word(bhs, 20));
                let (offset, length) = (word(bhs, 40), word(bhs, 44));
                self.r2ts.push(R2t { tag, target_transfer_tag, offset, length });
            }
            if let Some(slot) = frame.ends {
                self.connection.release(slot);
            }
        }
    }
}

/// An initiator that sends PDUs whole and keeps what it has sent.
struct Recorder {
    target: Target,
    parameters: Parameters,
    stream: Vec<u8>,
    tag: u32,
}

impl Recorder {
    fn send(&mut self, pdu: &Pdu) {
        let bytes = pdu.encode(&self.parameters);
        self.send_bytes(&bytes);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
        self.target.receive(bytes);
    }

    fn tag(&mut self) -> u32 {
        self.tag += 1;
        self.tag
    }

    /// Makes the target send, with a request, and gives it what it asks for.
    fn serve_r2ts(&mut self) {
        for _ in 0..20 {
            let request = Pdu::new(opcode::TASK_MANAGEMENT_REQUEST, 0x81, self.tag());
            self.send(&request.immediate(true));
            let r2ts = std::mem::take(&mut self.target.r2ts);
            if r2ts.is_empty() {
                return;
            }
            for r2t in r2ts {
                self.data_out(r2t);
            }
        }
    }

    fn data_out(&mut self, r2t: R2t) {
        let (mut offset, mut left, mut data_sn) = (r2t.offset, r2t.length, 0);
        while left > 0 {
            let length = left.min(512);
            let flags = if length == left { 0x80 } else { 0 };
            let pdu = Pdu::new(opcode::DATA_OUT, flags, r2t.tag)
                .word(20, r2t.target_transfer_tag)
                .word(36, data_sn)
                .word(40, offset)
                .data(patterns(r2t.tag, offset, length));
            self.send(&pdu);
            (offset, left, data_sn) = (offset + length, left - length, data_sn + 1);
        }
    }
}

/// Whole PDUs, as the choices say: most by the rules, some of any kind, some damaged.
pub(crate) fn record(bytes: &[u8]) -> (Vec<u8>, Log) {
    let mut choices = Choices::new(bytes);
    let parameters = parameters(&mut choices);
    let mut cmd_sn = parameters.exp_cmd_sn;
    let target = Target::new(parameters.clone());
    let mut recorder = Recorder { target, parameters, stream: Vec::new(), tag: 0 };
    while let Some(choice) = choices.next() {
        let tag = recorder.tag();
        let kind = if choice > 240 { 3 } else { choice % 3 };
        let pdu = match kind {
            0 => Pdu::nop(tag, cmd_sn).data(patterns(tag, 0, choices.below(50))),
            1 => Pdu::new(opcode::SCSI_COMMAND, 0xC1, tag).word(20, choices.below(6000)),
            2 => {
                let expected = choices.below(6000);
                let most = if recorder.parameters.immediate_data { expected.min(512) } else { 0 };
                let data = patterns(tag, 0, choices.below(most + 1));
                Pdu::new(opcode::SCSI_COMMAND, 0xA1, tag).word(20, expected).data(data)
            }
            _ => Pdu::new(choices.next().unwrap_or(0), 0x80, tag).word(20, NO_TAG),
        };
        let mut bytes = pdu.word(24, cmd_sn).encode(&recorder.parameters);
        if choices.one_in(60) {
            let at = choices.below(bytes.len() as u32) as usize;
            bytes[at] ^= 0x11;
        }
        cmd_sn = cmd_sn.wrapping_add(u32::from(kind < 3));
        recorder.send_bytes(&bytes);
        recorder.serve_r2ts();
    }
    (recorder.stream, recorder.target.log)
}

/// The same stream, cut at other places.
pub(crate) fn replay(choices: &[u8], mut stream: &[u8], cuts: &[usize]) -> Log {
    let mut target = Target::new(parameters(&mut Choices::new(choices)));
    for cut in cuts.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at((cut + 1).min(stream.len()));
        target.receive(piece);
        stream = rest;
    }
    target.log
}
