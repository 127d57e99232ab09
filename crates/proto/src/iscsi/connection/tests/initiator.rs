//! An initiator in memory: builds PDUs, feeds them to a connection, reads what it sends.

use crate::iscsi::bhs::{BHS_BYTES, NO_TAG, opcode, padding_bytes};
use crate::iscsi::connection::{Connection, Event, Request};
use crate::iscsi::digest;
use crate::iscsi::outbox::Payload;
use crate::iscsi::parameters::Parameters;
use crate::iscsi::task::{Answer, Slot};
use crate::scsi::sense::Sense;
use crate::scsi::status;

/// What tests start from: everything the initiator likes, small lengths.
pub(super) fn parameters() -> Parameters {
    Parameters {
        tsih: 1,
        exp_cmd_sn: 10,
        stat_sn: 100,
        max_recv_data_segment_bytes: 8192,
        peer_max_recv_data_segment_bytes: 1024,
        max_burst_bytes: 2048,
        first_burst_bytes: 1024,
        initial_r2t: false,
        immediate_data: true,
        max_outstanding_r2t: 1,
        header_digest: false,
        data_digest: false,
        queue_depth: 8,
    }
}

/// A PDU of the initiator.
#[derive(Debug, Clone)]
pub(super) struct Pdu {
    pub(super) bhs: [u8; BHS_BYTES],
    pub(super) data: Vec<u8>,
}

impl Pdu {
    pub(super) fn new(code: u8, tag: u32) -> Self {
        let mut pdu = Self { bhs: [0; BHS_BYTES], data: Vec::new() };
        (pdu.bhs[0], pdu.bhs[1]) = (code, 0x80);
        pdu.word(16, tag)
    }

    pub(super) fn read(tag: u32, cmd_sn: u32, expected: u32) -> Self {
        let pdu = Self::new(opcode::SCSI_COMMAND, tag).word(20, expected).word(24, cmd_sn);
        pdu.flags(if expected > 0 { 0xC1 } else { 0x81 })
    }

    pub(super) fn write(tag: u32, cmd_sn: u32, expected: u32) -> Self {
        Self::read(tag, cmd_sn, expected).flags(0xA1)
    }

    pub(super) fn data_out(tag: u32, ttt: u32, sn: u32, offset: u32, data: Vec<u8>) -> Self {
        let pdu = Self::new(opcode::DATA_OUT, tag).word(20, ttt).word(36, sn).word(40, offset);
        pdu.data(data)
    }

    pub(super) fn unsolicited(tag: u32, sn: u32, offset: u32, data: Vec<u8>) -> Self {
        Self::data_out(tag, NO_TAG, sn, offset, data)
    }

    pub(super) fn nop(tag: u32, cmd_sn: u32) -> Self {
        Self::new(opcode::NOP_OUT, tag).word(20, NO_TAG).word(24, cmd_sn)
    }

    pub(super) fn management(function: u8, tag: u32, cmd_sn: u32, of: u32, ref_sn: u32) -> Self {
        let pdu = Self::new(opcode::TASK_MANAGEMENT_REQUEST, tag).flags(0x80 | function);
        pdu.word(20, of).word(24, cmd_sn).word(32, ref_sn)
    }

    pub(super) fn text(tag: u32, cmd_sn: u32, data: &[u8]) -> Self {
        let pdu = Self::new(opcode::TEXT_REQUEST, tag).word(20, NO_TAG).word(24, cmd_sn);
        pdu.data(data.to_vec())
    }

    pub(super) fn word(mut self, at: usize, value: u32) -> Self {
        self.bhs[at..at + 4].copy_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn flags(mut self, flags: u8) -> Self {
        self.bhs[1] = flags;
        self
    }

    pub(super) fn open(mut self) -> Self {
        self.bhs[1] &= 0x7F;
        self
    }

    pub(super) fn immediate(mut self) -> Self {
        self.bhs[0] |= 0x40;
        self
    }

    pub(super) fn data(mut self, data: Vec<u8>) -> Self {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        self.bhs[5..8].copy_from_slice(&length[1..]);
        self.data = data;
        self
    }

    pub(super) fn encode(&self, header_digest: bool, data_digest: bool) -> Vec<u8> {
        let mut bytes = self.bhs.to_vec();
        if header_digest {
            bytes.extend(digest::of(&[&self.bhs]));
        }
        let padding = padding_bytes(self.data.len() as u32) as usize;
        let data = [self.data.as_slice(), &[0; 3][..padding]].concat();
        bytes.extend(&data);
        if data_digest && !data.is_empty() {
            bytes.extend(digest::of(&[&data]));
        }
        bytes
    }
}

/// An event that outlives its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Command(Slot),
    Data(Slot, u32, Vec<u8>),
    Execute(Slot),
    Request(Request),
    Rejected(&'static str),
    Broken(String),
}

/// A PDU of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) bhs: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) ends: Option<Slot>,
    pub(super) closes: bool,
}

impl Got {
    pub(super) fn opcode(&self) -> u8 {
        self.bhs[0]
    }

    pub(super) fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bhs[at..at + 4].try_into().expect("four bytes"))
    }

    pub(super) fn tag(&self) -> u32 {
        self.word(16)
    }

    pub(super) fn ttt(&self) -> u32 {
        self.word(20)
    }

    pub(super) fn stat_sn(&self) -> u32 {
        self.word(24)
    }

    pub(super) fn exp_cmd_sn(&self) -> u32 {
        self.word(28)
    }

    pub(super) fn max_cmd_sn(&self) -> u32 {
        self.word(32)
    }

    /// Offset and length of an R2T.
    pub(super) fn range(&self) -> (u32, u32) {
        (self.word(40), self.word(44))
    }
}

/// An initiator, and a target whose device server wants all data, up to `want`.
pub(super) struct Pair {
    pub(super) target: Connection,
    pub(super) want: u32,
    parameters: Parameters,
}

impl Pair {
    pub(super) fn new(parameters: Parameters) -> Self {
        Self { target: Connection::new(parameters.clone()), want: u32::MAX, parameters }
    }

    pub(super) fn send(&mut self, pdu: &Pdu) -> Vec<Seen> {
        let bytes = pdu.encode(self.parameters.header_digest, self.parameters.data_digest);
        self.send_bytes(&bytes)
    }

    pub(super) fn send_bytes(&mut self, mut input: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(event) = self.target.poll(&mut input) {
            seen.push(match event {
                Event::Command(slot) => {
                    self.target.want(slot, self.want);
                    Seen::Command(slot)
                }
                Event::Data { slot, offset_bytes, bytes } => {
                    Seen::Data(slot, offset_bytes, bytes.to_vec())
                }
                Event::Execute(slot) => Seen::Execute(slot),
                Event::Request(request) => Seen::Request(request),
                Event::Rejected(reason) => Seen::Rejected(reason),
                Event::Broken(violation) => Seen::Broken(violation.to_string()),
            });
        }
        assert!(input.is_empty(), "all input is consumed");
        seen
    }

    /// Sends a command and returns its slot; it must be told.
    pub(super) fn begin(&mut self, pdu: &Pdu) -> Slot {
        match self.send(pdu).first() {
            Some(Seen::Command(slot)) => *slot,
            other => panic!("no command was told, but {other:?}"),
        }
    }

    /// All that the target has to send. Data-In of a byte at offset n is n modulo 251.
    pub(super) fn receive(&mut self) -> Vec<Got> {
        let mut got = Vec::new();
        while let Some(frame) = self.target.next_frame(|_, _, _| unreachable!("no data digest")) {
            let data = match frame.payload {
                Payload::Task { offset_bytes, length_bytes, .. } => {
                    pattern(offset_bytes, length_bytes)
                }
                _ => frame.own_payload().to_vec(),
            };
            let bhs = frame.header().to_vec();
            got.push(Got { bhs, data, ends: frame.ends, closes: frame.closes });
        }
        assert!(self.target.is_quiet(), "nothing is left to send");
        got
    }

    /// The one PDU that the target has to send.
    pub(super) fn receive_one(&mut self) -> Got {
        let mut got = self.receive();
        assert_eq!(got.len(), 1, "one PDU: {got:?}");
        got.remove(0)
    }

    pub(super) fn good(&mut self, slot: Slot) {
        let cdb_bytes = u64::from(self.target.task(slot).expected_bytes);
        self.target.answer(slot, Answer { status: status::GOOD, sense: None, cdb_bytes });
    }

    pub(super) fn check_condition(&mut self, slot: Slot, sense: Sense) {
        let answer = Answer { status: status::CHECK_CONDITION, sense: Some(sense), cdb_bytes: 0 };
        self.target.answer(slot, answer);
    }

    /// Releases the slots of all these replies.
    pub(super) fn sent(&mut self, got: &[Got]) {
        for slot in got.iter().filter_map(|reply| reply.ends) {
            self.target.release(slot);
        }
    }
}

pub(super) fn pattern(offset: u32, length: u32) -> Vec<u8> {
    (offset..offset + length).map(|at| (at % 251) as u8).collect()
}

/// Bytes of hexadecimal text; spaces and everything after `#` do not count.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or("").bytes())
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}
