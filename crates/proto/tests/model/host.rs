//! The host's side: a device server that answers when it likes, and what must hold for it.

use super::choices::Choices;
use super::wire::pattern;
use fairlead_proto::iscsi::connection::{Connection, Event, Request};
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Collecting,
    Executing,
    Answered,
    /// Its last frame was taken.
    Ended,
    Dead,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) tag: u32,
    data_end: u32,
    pub(crate) sent_end: u32,
    wants: u32,
}

pub(crate) struct Host {
    pub(crate) connection: Connection,
    pub(crate) jobs: BTreeMap<Slot, Job>,
    pub(crate) requests: Vec<Request>,
    pub(crate) is_broken: bool,
    /// The peer broke a rule: its data is not what it should be.
    pub(crate) is_tainted: bool,
    pub(crate) commands: usize,
}

impl Host {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            connection: Connection::new(parameters),
            jobs: BTreeMap::new(),
            requests: Vec::new(),
            is_broken: false,
            is_tainted: false,
            commands: 0,
        }
    }

    /// Feeds bytes, in pieces, some straight into their place.
    pub(crate) fn receive(&mut self, choices: &mut Choices<'_>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let due = self.connection.due().filter(|_| choices.below(3) == 1);
            if let Some((slot, offset, length)) = due {
                let most = bytes.len().min(length as usize);
                let (place, rest) = bytes.split_at(1 + choices.below(most as u32) as usize);
                self.data(slot, offset, place);
                self.connection.received_in_place(place);
                bytes = rest;
                self.poll(choices, &[]);
                continue;
            }
            let at = if choices.one_in(3) {
                choices.below(bytes.len() as u32) as usize + 1
            } else {
                bytes.len()
            };
            let (piece, rest) = bytes.split_at(at);
            self.poll(choices, piece);
            bytes = rest;
        }
        self.poll(choices, &[]);
    }

    fn poll(&mut self, choices: &mut Choices<'_>, mut input: &[u8]) {
        while let Some(event) = self.connection.poll(&mut input) {
            assert!(!self.is_broken, "told after the end: {event:?}");
            match event {
                Event::Command(slot) => self.begin(choices, slot),
                Event::Data { slot, offset_bytes, bytes } => self.data(slot, offset_bytes, bytes),
                Event::Execute(slot) => self.execute(slot),
                Event::Request(request) => self.requests.push(request),
                Event::Rejected(_) => {}
                Event::Broken(violation) => {
                    assert!(self.is_tainted, "broken by a peer that kept the rules: {violation}");
                    self.is_broken = true;
                }
            }
        }
        assert!(input.is_empty(), "all input is taken");
    }

    fn begin(&mut self, choices: &mut Choices<'_>, slot: Slot) {
        self.commands += 1;
        let task = self.connection.task(slot);
        let (tag, expected) = (task.initiator_task_tag, task.expected_bytes);
        let unsolicited = self.connection.unsolicited_bytes_max(slot);
        let wants = match choices.below(8) {
            0 => {
                self.connection.fail(slot, Sense::WRITE_PROTECTED);
                0
            }
            1 => unsolicited,
            2 => 0,
            3 => unsolicited.max(expected.min(700)),
            _ => expected,
        };
        let job = Job { place: Place::Collecting, tag, data_end: 0, sent_end: 0, wants };
        let before = self.jobs.insert(slot, job);
        assert!(before.is_none(), "a slot that is not released is not given again");
        self.connection.want(slot, wants);
    }

    fn data(&mut self, slot: Slot, offset: u32, bytes: &[u8]) {
        let is_tainted = self.is_tainted;
        let job = self.jobs.get_mut(&slot).expect("data for a task that was told");
        assert_eq!(job.place, Place::Collecting);
        assert_eq!(offset, job.data_end, "data in order, none twice, none left out");
        job.data_end += bytes.len() as u32;
        assert!(job.data_end <= job.wants, "no data beyond its place");
        if !is_tainted {
            let right = (offset..).zip(bytes).all(|(at, byte)| *byte == pattern(job.tag, at));
            assert!(right, "the data that was sent");
        }
    }

    fn execute(&mut self, slot: Slot) {
        let task = self.connection.task(slot);
        let job = self.jobs.get_mut(&slot).expect("a task that was told");
        assert_eq!(job.place, Place::Collecting, "executed once for each end of data");
        assert!(!task.owes_data());
        let wanted = if task.writes { job.wants.min(task.expected_bytes) } else { 0 };
        assert!(task.fault.is_some() || job.data_end >= wanted, "all wanted data has come");
        job.place = Place::Executing;
    }

    pub(crate) fn slots(&self, places: &[Place]) -> Vec<Slot> {
        let here = self.jobs.iter().filter(|(_, job)| places.contains(&job.place));
        here.map(|(slot, _)| *slot).collect()
    }

    /// Does something about one task.
    pub(crate) fn work(&mut self, choices: &mut Choices<'_>) {
        let slots = self.slots(&[Place::Executing, Place::Collecting]);
        let Some(slot) = slots.get(choices.below(slots.len() as u32) as usize).copied() else {
            return;
        };
        let is_collecting = self.jobs[&slot].place == Place::Collecting;
        match choices.below(8) {
            0 | 1 => self.want_more(slot, choices.below(5000) + 1),
            2 if is_collecting => self.connection.fail(slot, Sense::WRITE_ERROR),
            3 if is_collecting => self.answer(slot, Some(Sense::INTERNAL_FAILURE)),
            _ if is_collecting => {}
            2 | 3 => self.answer(slot, Some(Sense::READ_ERROR)),
            4 => self.data_in(slot, choices.below(3000), false),
            _ => self.data_in(slot, u32::MAX, true),
        }
        self.poll(choices, &[]);
    }

    /// The next piece of a write.
    fn want_more(&mut self, slot: Slot, bytes: u32) {
        let task = self.connection.task(slot);
        let end = task.wanted_bytes.saturating_add(bytes).min(task.expected_bytes);
        if !task.writes || end <= task.wanted_bytes {
            return;
        }
        let job = self.jobs.get_mut(&slot).expect("a task of ours");
        (job.wants, job.place) = (job.wants.max(end), Place::Collecting);
        self.connection.want(slot, end);
    }

    /// More data of a read, the rest of it with the answer.
    fn data_in(&mut self, slot: Slot, bytes: u32, is_last: bool) {
        let task = self.connection.task(slot);
        let (expected, reads, writes) = (task.expected_bytes, task.reads, task.writes);
        let fault = task.fault;
        if fault.is_some() || writes {
            if is_last {
                self.answer(slot, fault);
            }
            return;
        }
        let job = self.jobs.get_mut(&slot).expect("a task of ours");
        let from = job.sent_end;
        let end = from.saturating_add(bytes).min(if reads { expected } else { 0 });
        job.sent_end = end;
        if is_last {
            job.place = Place::Answered;
        }
        let good = Answer { status: status::GOOD, sense: None, cdb_bytes: u64::from(expected) };
        self.connection.data_in(slot, from, end, is_last.then_some(good));
    }

    pub(crate) fn answer(&mut self, slot: Slot, sense: Option<Sense>) {
        let status = if sense.is_some() { status::CHECK_CONDITION } else { status::GOOD };
        self.connection.answer(slot, Answer { status, sense, cdb_bytes: 0 });
        // Said twice: the second goes nowhere.
        self.connection.answer(slot, Answer { status, sense, cdb_bytes: 1 });
        self.jobs.get_mut(&slot).expect("a task of ours").place = Place::Answered;
    }

    pub(crate) fn answer_request(&mut self) {
        match self.requests.pop() {
            Some(Request::Management { initiator_task_tag, .. }) => {
                self.connection.answer_management(initiator_task_tag, 0);
            }
            Some(Request::Text { initiator_task_tag, data, .. }) => {
                self.connection.answer_text(initiator_task_tag, u32::MAX, 0x80, &data);
            }
            Some(Request::Logout { initiator_task_tag, .. }) => {
                self.connection.answer_logout(initiator_task_tag, 2);
            }
            None => {}
        }
    }

    /// Aborts a task at any point of its life; returns its tag.
    pub(crate) fn kill(&mut self, choices: &mut Choices<'_>) -> Option<u32> {
        let slots = self.slots(&[Place::Executing, Place::Collecting, Place::Answered]);
        let slot = *slots.get(choices.below(slots.len() as u32) as usize)?;
        let job = self.jobs.get_mut(&slot).expect("a task of ours");
        let tag = job.tag;
        job.place = Place::Dead;
        self.connection.kill(slot);
        assert_eq!(self.connection.find(tag), None);
        Some(tag)
    }

    /// The buffers of ended and dead tasks are free.
    pub(crate) fn release(&mut self) {
        for slot in self.slots(&[Place::Ended, Place::Dead]) {
            self.connection.release(slot);
            self.jobs.remove(&slot);
        }
    }
}
