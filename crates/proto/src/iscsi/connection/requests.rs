//! What is not a SCSI command: ping, task management, Text, Logout; Reject and Asynchronous
//! Message. Spec: RFC 7143 §11.5, §11.6, §11.9 to §11.11, §11.14 to §11.19.

use super::{
    CONTROL_BYTES_MAX, CONTROL_TOTAL_BYTES_MAX, Connection, Item, Kind, LOOSE_REPLIES_MAX, Other,
    Pending, Request, Sink, Turn,
};
use crate::iscsi::bhs::{Bhs, NO_TAG, Reply, opcode, reject};
use crate::iscsi::reader::Violation;
use crate::iscsi::window::Place;
use zerocopy::IntoBytes;
use zerocopy::big_endian::U32;

impl Connection {
    /// A request is checked before its data arrives and before its number is taken.
    pub(super) fn request_arrived(&mut self, bhs: &Bhs) {
        let (tag, opcode) = (bhs.initiator_task_tag.get(), bhs.opcode());
        // A NOP-Out that answers our ping uses up no number and is not answered.
        if self.place_of(bhs).is_none() || (opcode == opcode::NOP_OUT && tag == NO_TAG) {
            return;
        }
        let data = bhs.data_segment_bytes() as usize;
        let has_room = data == 0
            || data <= CONTROL_BYTES_MAX && self.control_bytes() + data <= CONTROL_TOTAL_BYTES_MAX;
        let refusal = if tag == NO_TAG {
            Some((reject::INVALID_PDU_FIELD, "request with the reserved tag"))
        } else if self.is_tag_in_use(tag) {
            Some((reject::TASK_IN_PROGRESS, "Initiator Task Tag in use"))
        } else if opcode == opcode::TEXT_REQUEST && self.is_text_in_work() {
            Some((reject::PROTOCOL_ERROR, "second Text Request before the first is answered"))
        } else if bhs.is_immediate() && self.is_full_of_immediate() {
            Some((reject::TOO_MANY_IMMEDIATE, "too many immediate requests"))
        } else if !has_room {
            Some((reject::OUT_OF_RESOURCES, "requests with more data than is kept"))
        } else {
            None
        };
        match refusal {
            Some((reason, what)) => self.reject(bhs, reason, what),
            None => self.sink = Sink::Control,
        }
    }

    pub(super) fn is_tag_in_use(&self, tag: u32) -> bool {
        self.find(tag).is_some() || self.unanswered().any(|bhs| bhs.initiator_task_tag.get() == tag)
    }

    fn is_text_in_work(&self) -> bool {
        self.unanswered().any(|bhs| bhs.opcode() == opcode::TEXT_REQUEST)
    }

    fn unanswered(&self) -> impl Iterator<Item = &Bhs> {
        let held = self.window.held().filter_map(|turn| match turn {
            Turn::Request(bhs, _) => Some(bhs),
            Turn::Command { .. } | Turn::Nothing => None,
        });
        self.requests.iter().map(|(bhs, _)| bhs).chain(held)
    }

    pub(super) fn request_complete(&mut self, bhs: &Bhs) {
        let data = std::mem::take(&mut self.control).into_boxed_slice();
        if bhs.is_immediate() {
            self.request_in_order(bhs, data);
            return;
        }
        match self.window.arrive(bhs.cmd_sn.get()) {
            Place::Outside => {}
            Place::Early => self.window.hold(bhs.cmd_sn.get(), Turn::Request(*bhs, data)),
            Place::Next => self.request_in_order(bhs, data),
        }
    }

    pub(super) fn request_in_order(&mut self, bhs: &Bhs, data: Box<[u8]>) {
        let initiator_task_tag = bhs.initiator_task_tag.get();
        let kind = Kind::of(bhs.is_immediate());
        self.in_work.request_begins(kind);
        if bhs.opcode() == opcode::NOP_OUT {
            self.echo(initiator_task_tag, kind, data);
            return;
        }
        self.requests.push((*bhs, kind));
        let request = match bhs.opcode() {
            opcode::TASK_MANAGEMENT_REQUEST => Request::Management {
                function: bhs.flags & 0x7F,
                lun_field: bhs.lun.get(),
                initiator_task_tag,
                referenced_task_tag: bhs.word_20.get(),
                ref_cmd_sn: bhs.word_32(),
            },
            opcode::TEXT_REQUEST => Request::Text {
                initiator_task_tag,
                target_transfer_tag: bhs.word_20.get(),
                flags: bhs.flags,
                data,
            },
            _ => Request::Logout { initiator_task_tag, reason: bhs.flags & 0x7F },
        };
        self.pending.push_back(Pending::Request(request));
    }

    /// Answers a ping with its own data, as much as the initiator takes.
    fn echo(&mut self, initiator_task_tag: u32, kind: Kind, mut data: Box<[u8]>) {
        let most = self.parameters.peer_max_recv_data_segment_bytes as usize;
        if data.len() > most {
            data = Box::from(data.get(..most).unwrap_or_default());
        }
        let mut reply = Reply::new(opcode::NOP_IN, initiator_task_tag);
        reply.word_20 = U32::new(NO_TAG);
        self.push_other(Other { reply, data, counts: true, closes: false, over: Some(kind) });
    }

    /// Answers a task management request. Spec: RFC 7143 §11.6.
    pub fn answer_management(&mut self, initiator_task_tag: u32, response: u8) {
        let mut reply = Reply::new(opcode::TASK_MANAGEMENT_RESPONSE, initiator_task_tag);
        reply.byte_2 = response;
        self.answer_request(initiator_task_tag, reply, Box::default(), false);
    }

    /// Answers Text. Spec: RFC 7143 §11.11.
    pub fn answer_text(&mut self, initiator_task_tag: u32, tag: u32, flags: u8, data: &[u8]) {
        let mut reply = Reply::new(opcode::TEXT_RESPONSE, initiator_task_tag);
        reply.flags = flags;
        reply.word_20 = U32::new(tag);
        self.answer_request(initiator_task_tag, reply, Box::from(data), false);
    }

    /// Answers Logout; with response 0 the connection closes after it. Spec: RFC 7143 §11.15.
    pub fn answer_logout(&mut self, initiator_task_tag: u32, response: u8) {
        let mut reply = Reply::new(opcode::LOGOUT_RESPONSE, initiator_task_tag);
        reply.byte_2 = response;
        self.answer_request(initiator_task_tag, reply, Box::default(), response == 0);
    }

    /// Rejects a request that was told as an event, e.g. when nobody can answer it now.
    pub fn reject_request(&mut self, initiator_task_tag: u32, request: u8, reason: u8) {
        if let Some((bhs, kind)) = self.take_request(initiator_task_tag) {
            debug_assert_eq!(bhs.opcode(), request, "the request that has this tag");
            self.push_reject(&bhs, reason, Some(kind));
        }
    }

    /// Each request is answered once; an answer to none goes nowhere.
    fn answer_request(&mut self, tag: u32, reply: Reply, data: Box<[u8]>, closes: bool) {
        if let Some((_, kind)) = self.take_request(tag) {
            self.push_other(Other { reply, data, counts: true, closes, over: Some(kind) });
        }
    }

    fn take_request(&mut self, tag: u32) -> Option<(Bhs, Kind)> {
        let place =
            self.requests.iter().position(|(bhs, _)| bhs.initiator_task_tag.get() == tag)?;
        Some(self.requests.swap_remove(place))
    }

    /// Asks the initiator whether it is there (tag of ours) or only tells it the window (no tag).
    pub fn ping(&mut self, target_transfer_tag: u32) {
        let mut reply = Reply::new(opcode::NOP_IN, NO_TAG);
        reply.word_20 = U32::new(target_transfer_tag);
        let data = Box::default();
        self.push_other(Other { reply, data, counts: false, closes: false, over: None });
    }

    /// Tells the initiator of an event, e.g. that the target wants it to log out.
    /// Spec: RFC 7143 §11.9.
    pub fn tell_async(&mut self, event: u8, parameters: [u16; 3]) {
        let mut reply = Reply::new(opcode::ASYNC_MESSAGE, NO_TAG);
        reply.set_async(event, 0, parameters);
        let data = Box::default();
        self.push_other(Other { reply, data, counts: true, closes: false, over: None });
    }

    /// Spec: RFC 7143 §11.17: the data segment is the header of the rejected PDU.
    pub(super) fn push_reject(&mut self, bhs: &Bhs, reason: u8, over: Option<Kind>) {
        let mut reply = Reply::new(opcode::REJECT, NO_TAG);
        reply.byte_2 = reason;
        let data = Box::from(bhs.as_bytes());
        self.push_other(Other { reply, data, counts: true, closes: false, over });
    }

    fn push_other(&mut self, other: Other) {
        if other.over.is_none() {
            if self.loose >= LOOSE_REPLIES_MAX {
                let what = "replies pile up: the initiator sends requests and does not read";
                self.breaks(Violation::Sequence(what));
                return;
            }
            self.loose += 1;
        }
        self.outbox.push_back(Item::Other(Box::new(other)));
    }
}
