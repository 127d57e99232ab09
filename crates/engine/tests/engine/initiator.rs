//! An initiator in full-feature phase, as small as it can be.

use fairlead_proto::iscsi::parameters::Parameters;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than anything here takes, short enough for a test to fail by.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// CmdSN of the first command.
pub(crate) const FIRST_CMD_SN: u32 = 100;
const NO_TAG: u32 = u32::MAX;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: u8,
    /// Sense key, ASC and ASCQ.
    pub(crate) sense: Option<(u8, u16)>,
    pub(crate) data: Vec<u8>,
    /// Positive: underflow. Negative: overflow.
    pub(crate) residual: i64,
}

impl Outcome {
    pub(crate) fn is_good(&self) -> bool {
        self.status == 0
    }
}

/// What was negotiated, as these tests like it.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        tsih: 1,
        exp_cmd_sn: FIRST_CMD_SN,
        stat_sn: 1,
        max_recv_data_segment_bytes: 256 << 10,
        peer_max_recv_data_segment_bytes: 64 << 10,
        max_burst_bytes: 256 << 10,
        first_burst_bytes: 64 << 10,
        initial_r2t: true,
        immediate_data: true,
        max_outstanding_r2t: 2,
        header_digest: false,
        data_digest: false,
        queue_depth: 64,
    }
}

#[derive(Default)]
struct Pending {
    data_in: Vec<u8>,
    data_out: Vec<u8>,
}

pub(crate) struct Initiator {
    stream: TcpStream,
    parameters: Parameters,
    pub(crate) cmd_sn: u32,
    max_cmd_sn: u32,
    tag: u32,
    stat_sn: u32,
    unsent: Vec<u8>,
    pending: HashMap<u32, Pending>,
    outcomes: HashMap<u32, Outcome>,
    /// Responses of task management, Text and Logout: second byte and data.
    replies: HashMap<u32, (u8, Vec<u8>)>,
    /// Reasons of Reject PDUs.
    pub(crate) rejects: Vec<u8>,
}

impl Initiator {
    pub(crate) fn new(stream: TcpStream, parameters: Parameters) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            stream,
            cmd_sn: parameters.exp_cmd_sn,
            max_cmd_sn: parameters.exp_cmd_sn + u32::from(parameters.queue_depth) - 1,
            tag: 0x1000,
            stat_sn: parameters.stat_sn,
            parameters,
            unsent: Vec::new(),
            pending: HashMap::new(),
            outcomes: HashMap::new(),
            replies: HashMap::new(),
            rejects: Vec::new(),
        }
    }

    fn put(&mut self, mut bhs: [u8; 48], data: &[u8]) {
        bhs[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        self.unsent.extend_from_slice(&bhs);
        self.unsent.extend_from_slice(data);
        self.unsent.resize(self.unsent.len().next_multiple_of(4), 0);
    }

    /// Sends what was put together, in one piece.
    pub(crate) fn send(&mut self) {
        let unsent = std::mem::take(&mut self.unsent);
        self.stream.write_all(&unsent).expect("the target takes it");
    }

    /// The bytes that were put together, for the target to find as read already.
    pub(crate) fn take_unsent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unsent)
    }

    /// Puts bytes together that are no whole PDU.
    pub(crate) fn put_raw(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    fn header(&mut self, opcode: u8, flags: u8, lun: u16) -> [u8; 48] {
        self.tag += 1;
        let mut bhs = [0; 48];
        (bhs[0], bhs[1]) = (opcode, flags);
        bhs[8..10].copy_from_slice(&lun.to_be_bytes());
        bhs[16..20].copy_from_slice(&self.tag.to_be_bytes());
        bhs[24..28].copy_from_slice(&self.cmd_sn.to_be_bytes());
        bhs[28..32].copy_from_slice(&self.stat_sn.to_be_bytes());
        bhs
    }

    /// Puts a command together; its tag.
    pub(crate) fn put_command(&mut self, lun: u16, cdb: &[u8], in_bytes: u32, out: &[u8]) -> u32 {
        let flags =
            0x81 | if in_bytes > 0 { 0x40 } else { 0 } | if out.is_empty() { 0 } else { 0x20 };
        let mut bhs = self.header(0x01, flags, lun);
        let expected = in_bytes.max(out.len() as u32);
        bhs[20..24].copy_from_slice(&expected.to_be_bytes());
        bhs[32..32 + cdb.len()].copy_from_slice(cdb);
        self.cmd_sn += 1;
        let most =
            self.parameters.first_burst_bytes.min(self.parameters.max_recv_data_segment_bytes);
        let most = if self.parameters.immediate_data { most as usize } else { 0 };
        self.put(bhs, &out[..out.len().min(most)]);
        let data_out = out.to_vec();
        self.pending.insert(self.tag, Pending { data_in: Vec::new(), data_out });
        self.tag
    }

    /// Puts a task management request together, immediate as they mostly are; its tag.
    pub(crate) fn put_management(&mut self, function: u8, lun: u16, about: (u32, u32)) -> u32 {
        let mut bhs = self.header(0x42, 0x80 | function, lun);
        bhs[20..24].copy_from_slice(&about.0.to_be_bytes());
        bhs[32..36].copy_from_slice(&about.1.to_be_bytes());
        self.put(bhs, &[]);
        self.tag
    }

    /// Task management; its response.
    pub(crate) fn manage(&mut self, function: u8, lun: u16, about: (u32, u32)) -> u8 {
        let tag = self.put_management(function, lun, about);
        self.send();
        self.reply(tag).0
    }

    /// Puts a Text Request together; its tag.
    pub(crate) fn put_text(&mut self, data: &[u8]) -> u32 {
        let mut bhs = self.header(0x04, 0x80, 0);
        bhs[20..24].copy_from_slice(&NO_TAG.to_be_bytes());
        self.cmd_sn += 1;
        self.put(bhs, data);
        self.tag
    }

    /// Logs out; the response.
    pub(crate) fn log_out(&mut self) -> u8 {
        let bhs = self.header(0x06, 0x80, 0);
        self.cmd_sn += 1;
        self.put(bhs, &[]);
        let tag = self.tag;
        self.send();
        self.reply(tag).0
    }

    /// Carries one command out.
    pub(crate) fn run(&mut self, lun: u16, cdb: &[u8], in_bytes: u32, out: &[u8]) -> Outcome {
        let tag = self.put_command(lun, cdb, in_bytes, out);
        self.send();
        self.outcome(tag)
    }

    /// Waits for the end of a command.
    pub(crate) fn outcome(&mut self, tag: u32) -> Outcome {
        loop {
            if let Some(outcome) = self.outcomes.remove(&tag) {
                return outcome;
            }
            self.receive();
        }
    }

    /// Waits for the reply to a request.
    pub(crate) fn reply(&mut self, tag: u32) -> (u8, Vec<u8>) {
        loop {
            if let Some(reply) = self.replies.remove(&tag) {
                return reply;
            }
            self.receive();
        }
    }

    /// True when nothing was heard of this command. Call it after an answer that comes later.
    pub(crate) fn is_unanswered(&self, tag: u32) -> bool {
        self.pending.contains_key(&tag)
    }

    /// Waits for the commands that are under way, or forgets those that were aborted.
    pub(crate) fn settle(&mut self, were_aborted: bool) {
        if were_aborted {
            self.pending.clear();
        }
        while !self.pending.is_empty() {
            self.receive();
        }
        self.outcomes.clear();
    }

    /// Commands that the target takes now.
    pub(crate) fn window(&self) -> u32 {
        self.max_cmd_sn.wrapping_sub(self.cmd_sn).wrapping_add(1)
    }

    /// Waits for the target to close the connection.
    pub(crate) fn expect_end(mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("the end of the connection");
    }

    fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut there = vec![0; bytes];
        self.stream.read_exact(&mut there).expect("a PDU of the target, in time");
        there
    }

    /// Receives one PDU.
    pub(crate) fn receive(&mut self) {
        let bhs = self.read(48);
        let word = |at: usize| u32::from_be_bytes([bhs[at], bhs[at + 1], bhs[at + 2], bhs[at + 3]]);
        let length = (word(4) & 0xFF_FFFF) as usize;
        let mut data = self.read(length.next_multiple_of(4));
        data.truncate(length);
        let tag = word(16);
        self.max_cmd_sn = word(36 - 4);
        match bhs[0] & 0x3F {
            0x20 if tag == NO_TAG => {}
            0x21 => {
                assert_eq!(word(24), self.stat_sn, "StatSN");
                self.stat_sn += 1;
                let sense = data
                    .get(2..20)
                    .map(|sense| (sense[2] & 0x0F, u16::from_be_bytes([sense[12], sense[13]])));
                self.end(tag, bhs[1], bhs[3], sense, word(44));
            }
            0x22 | 0x24 | 0x26 => {
                self.stat_sn += 1;
                assert!(self.replies.insert(tag, (bhs[2], data)).is_none(), "told twice");
            }
            0x25 => {
                let pending = self.pending.get_mut(&tag).expect("data of a command of ours");
                assert_eq!(word(40) as usize, pending.data_in.len(), "Buffer Offset");
                pending.data_in.extend_from_slice(&data);
                if bhs[1] & 0x01 != 0 {
                    assert_eq!(word(24), self.stat_sn, "StatSN");
                    self.stat_sn += 1;
                    self.end(tag, bhs[1], bhs[3], None, word(44));
                }
            }
            0x31 => self.answer_r2t(tag, word(20), word(40) as usize, word(44) as usize),
            0x3F => {
                self.stat_sn += 1;
                self.rejects.push(bhs[2]);
            }
            opcode => panic!("PDU {opcode:#x} that nobody waits for: {bhs:02x?}"),
        }
    }

    fn end(&mut self, tag: u32, flags: u8, status: u8, sense: Option<(u8, u16)>, residual: u32) {
        let pending = self.pending.remove(&tag).expect("a command of ours, ended once");
        let residual = match flags & 0x06 {
            0x02 => i64::from(residual),
            0x04 => -i64::from(residual),
            _ => 0,
        };
        let outcome = Outcome { status, sense, data: pending.data_in, residual };
        assert!(self.outcomes.insert(tag, outcome).is_none(), "answered twice");
    }

    fn answer_r2t(&mut self, tag: u32, target_tag: u32, offset: usize, length: usize) {
        let data = self.pending.get(&tag).expect("a command of ours").data_out.clone();
        let most = self.parameters.max_recv_data_segment_bytes as usize;
        let burst = &data[offset..offset + length];
        let last = burst.len().div_ceil(most) - 1;
        for (number, part) in burst.chunks(most).enumerate() {
            let mut bhs = [0; 48];
            (bhs[0], bhs[1]) = (0x05, if number == last { 0x80 } else { 0 });
            bhs[16..20].copy_from_slice(&tag.to_be_bytes());
            bhs[20..24].copy_from_slice(&target_tag.to_be_bytes());
            bhs[28..32].copy_from_slice(&self.stat_sn.to_be_bytes());
            bhs[36..40].copy_from_slice(&(number as u32).to_be_bytes());
            bhs[40..44].copy_from_slice(&((offset + number * most) as u32).to_be_bytes());
            self.put(bhs, part);
        }
        self.send();
    }
}
