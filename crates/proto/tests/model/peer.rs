//! The initiator's side: what it may send next, by the rules, and what it was told.

use super::choices::Choices;
use super::wire::{NO_TAG, Pdu, patterns};
use fairlead_proto::iscsi::bhs::opcode;
use fairlead_proto::iscsi::parameters::Parameters;
use std::collections::{BTreeMap, VecDeque};

/// A burst that the initiator owes.
struct Burst {
    target_transfer_tag: u32,
    offset: u32,
    end: u32,
    data_sn: u32,
}

/// A command as its initiator sees it.
#[derive(Default)]
pub(crate) struct Command {
    bursts: VecDeque<Burst>,
    /// Aborted: its data goes on for a while, its tag is not used again before that ends.
    pub(crate) is_aborted: bool,
}

impl Command {
    pub(crate) fn owes_data(&self) -> bool {
        !self.bursts.is_empty()
    }
}

pub(crate) struct Peer {
    pub(crate) parameters: Parameters,
    pub(crate) commands: BTreeMap<u32, Command>,
    /// Numbers that were left out, to be used later.
    pub(crate) gaps: Vec<u32>,
    pub(crate) cmd_sn: u32,
    pub(crate) max_cmd_sn: u32,
    next_request: u32,
}

impl Peer {
    pub(crate) fn new(parameters: Parameters) -> Self {
        let cmd_sn = parameters.exp_cmd_sn;
        let max_cmd_sn = cmd_sn.wrapping_add(u32::from(parameters.queue_depth)).wrapping_sub(1);
        let (commands, gaps) = (BTreeMap::new(), Vec::new());
        Self { parameters, commands, gaps, cmd_sn, max_cmd_sn, next_request: 1000 }
    }

    fn has_place(&self) -> bool {
        self.max_cmd_sn.wrapping_sub(self.cmd_sn).wrapping_add(1) as i32 > 0
    }

    /// A number to use, left out before or the next; `None`: the window is closed.
    fn number(&mut self, choices: &mut Choices<'_>) -> Option<u32> {
        if !self.gaps.is_empty() && choices.below(2) == 0 {
            return self.gaps.pop();
        }
        if choices.one_in(8) && self.has_place() {
            self.gaps.push(self.cmd_sn);
            self.cmd_sn = self.cmd_sn.wrapping_add(1);
        }
        let number = self.has_place().then_some(self.cmd_sn)?;
        self.cmd_sn = number.wrapping_add(1);
        Some(number)
    }

    /// A command and whether it is numbered.
    pub(crate) fn command(&mut self, choices: &mut Choices<'_>) -> Option<(u32, Pdu, bool)> {
        let tag = (0..24).find(|tag| !self.commands.contains_key(tag))?;
        let is_immediate = choices.one_in(6);
        let number = if is_immediate { self.cmd_sn } else { self.number(choices)? };
        let writes = choices.below(2) == 1;
        let expected = choices.pick(&[0, 1, 511, 512, 1500, 4096, 9000]);
        let flags = 0x80 | if writes { 0x20 } else { 0x40 };
        let pdu = Pdu::new(opcode::SCSI_COMMAND, flags, tag).word(20, expected).word(24, number);
        let mut pdu = pdu.immediate(is_immediate);
        let mut command = Command::default();
        if writes {
            let allowed = self.parameters.first_burst_bytes.min(expected);
            let mut sent = 0;
            if self.parameters.immediate_data {
                let most = allowed.min(self.parameters.max_recv_data_segment_bytes);
                sent = choices.below(most + 1);
                pdu = pdu.data(patterns(tag, 0, sent));
            }
            if !self.parameters.initial_r2t && sent < allowed && choices.below(2) == 0 {
                pdu.bhs[1] &= 0x7F;
                let (target_transfer_tag, data_sn) = (NO_TAG, 0);
                let burst = Burst { target_transfer_tag, offset: sent, end: allowed, data_sn };
                command.bursts.push_back(burst);
            }
        }
        self.commands.insert(tag, command);
        Some((tag, pdu, !is_immediate))
    }

    /// Data that is owed: of any command, in order within it.
    pub(crate) fn data_out(&mut self, choices: &mut Choices<'_>) -> Option<Pdu> {
        let owing: Vec<u32> = self.owing().collect();
        let tag = *owing.get(choices.below(owing.len() as u32) as usize)?;
        let most = self.parameters.max_recv_data_segment_bytes;
        let command = self.commands.get_mut(&tag)?;
        let burst = command.bursts.front_mut()?;
        let left = burst.end - burst.offset;
        // Zero bytes are allowed; everything is the most frequent.
        let length = if choices.one_in(3) { choices.below(left + 1) } else { left }.min(most);
        let is_last = length == left;
        let flags = if is_last { 0x80 } else { 0 };
        let pdu = Pdu::new(opcode::DATA_OUT, flags, tag)
            .word(20, burst.target_transfer_tag)
            .word(36, burst.data_sn)
            .word(40, burst.offset)
            .data(patterns(tag, burst.offset, length));
        burst.offset += length;
        burst.data_sn += 1;
        if is_last {
            command.bursts.pop_front();
        }
        Some(pdu)
    }

    pub(crate) fn owing(&self) -> impl Iterator<Item = u32> + '_ {
        self.commands.iter().filter(|(_, command)| command.owes_data()).map(|(tag, _)| *tag)
    }

    pub(crate) fn request(&mut self, choices: &mut Choices<'_>) -> Option<Pdu> {
        let is_immediate = choices.below(2) == 0;
        let number = if is_immediate { self.cmd_sn } else { self.number(choices)? };
        self.next_request += 1;
        let code = choices.pick(&[
            opcode::NOP_OUT,
            opcode::TEXT_REQUEST,
            opcode::TASK_MANAGEMENT_REQUEST,
            opcode::LOGOUT_REQUEST,
        ]);
        let code = if is_immediate { code } else { opcode::NOP_OUT };
        let pdu = Pdu::new(code, 0x81, self.next_request).word(20, NO_TAG).word(24, number);
        let pdu = pdu.immediate(is_immediate);
        Some(if code == opcode::NOP_OUT {
            pdu.data(vec![1; choices.below(40) as usize])
        } else {
            pdu
        })
    }

    pub(crate) fn learn_r2t(
        &mut self,
        tag: u32,
        target_transfer_tag: u32,
        offset: u32,
        length: u32,
    ) {
        if let Some(command) = self.commands.get_mut(&tag) {
            let burst = Burst { target_transfer_tag, offset, end: offset + length, data_sn: 0 };
            command.bursts.push_back(burst);
        }
    }
}
