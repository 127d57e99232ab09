//! The table of tasks, and the counts that bound it and open the command window.

use super::{Connection, IMMEDIATE_MAX, Item, Kind, Pending, Turn};
use crate::iscsi::bhs::NO_TAG;
use crate::iscsi::task::{Slot, State, Task};

/// Commands and requests in work.
///
/// MaxCmdSN promises places, so numbered and immediate commands have quotas of their own: twice
/// the queue depth of slots for the one (an answered task keeps its slot until its last frame is
/// sent), [`IMMEDIATE_MAX`] for the other.
#[derive(Debug, Default)]
pub(super) struct InWork {
    /// Numbered tasks without an answer, numbered requests whose reply is not sent.
    numbered: u16,
    /// Slots that numbered tasks hold.
    numbered_slots: u16,
    /// Immediate tasks that hold a slot, immediate requests whose reply is not sent.
    immediate: u16,
}

impl InWork {
    fn up(counter: &mut u16) {
        *counter = counter.saturating_add(1);
    }

    fn down(counter: &mut u16) {
        debug_assert!(*counter > 0, "what stops counting was counted");
        *counter = counter.saturating_sub(1);
    }

    pub(super) fn task_begins(&mut self, kind: Kind) {
        match kind {
            Kind::Immediate => Self::up(&mut self.immediate),
            Kind::Numbered => {
                Self::up(&mut self.numbered);
                Self::up(&mut self.numbered_slots);
            }
        }
    }

    /// Answered, or aborted without an answer.
    pub(super) fn task_over(&mut self, kind: Kind) {
        if kind == Kind::Numbered {
            Self::down(&mut self.numbered);
        }
    }

    fn slot_released(&mut self, kind: Kind) {
        match kind {
            Kind::Immediate => Self::down(&mut self.immediate),
            Kind::Numbered => Self::down(&mut self.numbered_slots),
        }
    }

    pub(super) fn request_begins(&mut self, kind: Kind) {
        match kind {
            Kind::Immediate => Self::up(&mut self.immediate),
            Kind::Numbered => Self::up(&mut self.numbered),
        }
    }

    pub(super) fn request_over(&mut self, kind: Kind) {
        match kind {
            Kind::Immediate => Self::down(&mut self.immediate),
            Kind::Numbered => Self::down(&mut self.numbered),
        }
    }
}

impl Connection {
    /// The task in a slot that an event named and that is not released yet.
    pub fn task(&self, slot: Slot) -> &Task {
        self.tasks.get(usize::from(slot)).expect("slots are handed out by this table")
    }

    pub(super) fn task_mut(&mut self, slot: Slot) -> &mut Task {
        self.tasks.get_mut(usize::from(slot)).expect("slots are handed out by this table")
    }

    /// Slots of all tasks that are neither free nor dead.
    pub fn live_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0_u16..).zip(&self.tasks).filter_map(|(slot, task)| {
            (!matches!(task.state, State::Free | State::Dead)).then_some(slot)
        })
    }

    /// Number of slots that were ever used at once: an index bound for tables beside this one.
    pub fn slots(&self) -> usize {
        self.tasks.len()
    }

    /// Most slots that this connection ever uses.
    pub fn slots_max(&self) -> usize {
        usize::from(self.numbered_slots_max()) + usize::from(IMMEDIATE_MAX)
    }

    /// The task with this tag whose response has not gone out.
    pub fn find(&self, initiator_task_tag: u32) -> Option<Slot> {
        if initiator_task_tag == NO_TAG {
            return None;
        }
        let place = self.tags.iter().position(|tag| *tag == initiator_task_tag)?;
        Slot::try_from(place).ok()
    }

    /// The slot's buffers are free and its last frame is sent. A task that still lives is
    /// aborted first; a slot that is free stays so.
    pub fn release(&mut self, slot: Slot) {
        let is_sent = self.tags.get(usize::from(slot)) == Some(&NO_TAG);
        if !is_sent {
            self.kill(slot);
        }
        if self.sink == super::Sink::Task(slot) {
            self.sink = super::Sink::Discard;
        }
        let task = self.task_mut(slot);
        if task.state == State::Free {
            return;
        }
        task.state = State::Free;
        let kind = Kind::of(task.is_immediate);
        self.in_work.slot_released(kind);
        self.free.push(slot);
    }

    /// Heap bytes that this connection holds, the caller's buffers not counted.
    pub fn retained_bytes(&self) -> usize {
        self.tasks.capacity() * size_of::<Task>()
            + self.tags.capacity() * size_of::<u32>()
            + self.free.capacity() * size_of::<Slot>()
            + self.requests.capacity() * size_of::<(super::Bhs, Kind)>()
            + self.control.capacity()
            + self.pending.capacity() * size_of::<Pending>()
            + self.outbox.capacity() * size_of::<Item>()
            + self.window.held().count() * size_of::<(u32, Turn)>()
            + self.outbox.iter().filter(|item| matches!(item, Item::Other(_))).count()
                * size_of::<super::Other>()
            + self.control_bytes()
    }

    /// Data of requests that wait for their turn or to be told, and of replies not yet sent.
    pub(super) fn control_bytes(&self) -> usize {
        let held = self.window.held().map(|turn| match turn {
            Turn::Request(_, data) => data.len(),
            Turn::Command { .. } | Turn::Nothing => 0,
        });
        let unsent = self.outbox.iter().map(|item| match item {
            Item::Other(other) => other.data.len(),
            Item::DataIn { .. } | Item::Response(_) | Item::Solicit(_) => 0,
        });
        held.sum::<usize>() + unsent.sum::<usize>()
    }

    fn numbered_slots_max(&self) -> u16 {
        self.parameters.queue_depth.saturating_mul(2)
    }

    /// Commands that may be promised: MaxCmdSN is this far from ExpCmdSN.
    pub(super) fn free_places(&self) -> u16 {
        let slots = self.numbered_slots_max().saturating_sub(self.in_work.numbered_slots);
        self.parameters.queue_depth.saturating_sub(self.in_work.numbered).min(slots)
    }

    pub(super) fn is_full_of_immediate(&self) -> bool {
        self.in_work.immediate >= IMMEDIATE_MAX
    }

    pub(super) fn allocate(&mut self) -> Option<Slot> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.tasks.len() >= self.slots_max() {
            return None;
        }
        let slot = Slot::try_from(self.tasks.len()).ok()?;
        self.tasks.push(Task::free());
        self.tags.push(NO_TAG);
        Some(slot)
    }

    pub(super) fn set_tag(&mut self, slot: Slot, tag: u32) {
        if let Some(place) = self.tags.get_mut(usize::from(slot)) {
            *place = tag;
        }
    }
}
