//! One submitter's part of the contexts: who may submit, what is in flight, entering and leaving.

use crate::ContextId;
use crate::accounts::{Accounts, Shard};
use std::cell::Cell;
use std::sync::Arc;

/// Why a context cannot be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The name is of a context that has left this submitter.
    Stale(ContextId),
    /// Its last session here has ended: no new I/O.
    Closing(ContextId),
}

#[derive(Debug)]
struct Local {
    id: ContextId,
    attached: u32,
    in_flight: u32,
    held_bytes: u64,
    accounts: Arc<Accounts>,
}

/// The contexts of one submitter.
#[derive(Debug)]
pub struct Arena {
    submitter: usize,
    slots: Vec<Option<Local>>,
    current: Cell<Option<ContextId>>,
}

/// Proof that the submitter is in a context: what submitting asks for. Leaving happens on every
/// path, and the context that was entered before is restored.
#[derive(Debug)]
pub struct Entered<'a> {
    arena: &'a Arena,
    shard: &'a Shard,
    id: ContextId,
    before: Option<ContextId>,
}

impl Entered<'_> {
    /// The context that was entered.
    pub fn id(&self) -> ContextId {
        self.id
    }

    /// Its accounts on this submitter.
    pub fn shard(&self) -> &Shard {
        self.shard
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.arena.current.set(self.before);
        self.shard.left.add(1);
    }
}

impl Arena {
    /// The arena of a submitter.
    pub fn new(submitter: usize) -> Self {
        Self { submitter, slots: Vec::new(), current: Cell::new(None) }
    }

    /// A session on this submitter joins.
    pub fn attach(&mut self, id: ContextId, accounts: Arc<Accounts>) {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        match slot {
            Some(local) if local.id == id => local.attached += 1,
            slot => {
                debug_assert!(slot.is_none(), "the place of a context is taken");
                *slot = Some(Local { id, attached: 1, in_flight: 0, held_bytes: 0, accounts });
            }
        }
    }

    /// A session on this submitter issues no more I/O; true when the context left the submitter.
    pub fn detach(&mut self, id: ContextId) -> bool {
        if let Some(local) = self.local_mut(id) {
            debug_assert!(local.attached > 0, "detached more often than attached");
            local.attached = local.attached.saturating_sub(1);
        }
        self.leave_if_idle(id)
    }

    /// Enters a context to submit in it.
    ///
    /// # Errors
    /// The context is closing or gone.
    pub fn enter(&self, id: ContextId) -> Result<Entered<'_>, Refused> {
        let local = self.local(id).ok_or(Refused::Stale(id))?;
        if local.attached == 0 {
            return Err(Refused::Closing(id));
        }
        let shard = local.accounts.shard(self.submitter);
        shard.entered.add(1);
        Ok(Entered { arena: self, shard, id, before: self.current.replace(Some(id)) })
    }

    /// The context that the submitter is in.
    pub fn current(&self) -> Option<ContextId> {
        self.current.get()
    }

    /// A request was submitted in this context.
    pub fn submitted(&mut self, id: ContextId, queue_ns: u64) {
        let submitter = self.submitter;
        if let Some(local) = self.local_mut(id) {
            local.in_flight += 1;
            let shard = local.accounts.shard(submitter);
            shard.in_flight.add(1);
            shard.submitted.add(1);
            shard.queue_time.record(queue_ns);
        }
    }

    /// It came back; true when the context left the submitter with it.
    pub fn completed(&mut self, id: ContextId, service_ns: u64) -> bool {
        let submitter = self.submitter;
        if let Some(local) = self.local_mut(id) {
            debug_assert!(local.in_flight > 0, "completed more often than submitted");
            local.in_flight = local.in_flight.saturating_sub(1);
            let shard = local.accounts.shard(submitter);
            shard.in_flight.subtract(1);
            shard.completed.add(1);
            shard.service_time.record(service_ns);
        }
        self.leave_if_idle(id)
    }

    /// The accounts of a context on this submitter.
    pub fn shard(&self, id: ContextId) -> Option<&Shard> {
        self.local(id).map(|local| local.accounts.shard(self.submitter))
    }

    /// Buffer bytes that the context holds here.
    pub fn held_bytes(&self, id: ContextId) -> u64 {
        self.local(id).map_or(0, |local| local.held_bytes)
    }

    /// The context took (or gave back) buffer bytes.
    pub fn hold(&mut self, id: ContextId, bytes: i64) {
        if let Some(local) = self.local_mut(id) {
            local.held_bytes = local.held_bytes.saturating_add_signed(bytes);
        }
    }

    /// Contexts that are here, attached or draining.
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// No context is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn leave_if_idle(&mut self, id: ContextId) -> bool {
        let idle = self.local(id).is_some_and(|local| local.attached == 0 && local.in_flight == 0);
        if let (true, Some(slot)) = (idle, self.slots.get_mut(id.index as usize)) {
            *slot = None;
        }
        idle
    }

    fn local(&self, id: ContextId) -> Option<&Local> {
        self.slots.get(id.index as usize)?.as_ref().filter(|local| local.id == id)
    }

    fn local_mut(&mut self, id: ContextId) -> Option<&mut Local> {
        self.slots.get_mut(id.index as usize)?.as_mut().filter(|local| local.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, Refused};
    use crate::ContextId;
    use crate::accounts::Accounts;
    use std::sync::Arc;

    fn id(index: u32) -> ContextId {
        ContextId { index, generation: 0 }
    }

    fn arena_of(contexts: u32) -> (Arena, Vec<Arc<Accounts>>) {
        let mut arena = Arena::new(0);
        let accounts: Vec<_> = (0..contexts).map(|_| Arc::new(Accounts::new(1))).collect();
        for (index, accounts) in (0..).zip(&accounts) {
            arena.attach(id(index), Arc::clone(accounts));
        }
        (arena, accounts)
    }

    #[test]
    fn entering_nests_and_restores() {
        let (arena, accounts) = arena_of(2);
        {
            let outer = arena.enter(id(0)).expect("active");
            {
                let inner = arena.enter(id(1)).expect("active");
                assert_eq!((inner.id(), arena.current()), (id(1), Some(id(1))));
            }
            assert_eq!(arena.current(), Some(outer.id()));
        }
        assert_eq!(arena.current(), None);
        for accounts in &accounts {
            assert_eq!(accounts.total(|s| &s.entered), accounts.total(|s| &s.left));
        }
    }

    #[test]
    fn a_closing_context_takes_nothing_new_and_leaves_with_its_last_request() {
        let (mut arena, _) = arena_of(1);
        arena.submitted(id(0), 10);
        assert!(!arena.detach(id(0)), "a request is with the kernel");
        assert_eq!(arena.enter(id(0)).err(), Some(Refused::Closing(id(0))));
        assert!(arena.completed(id(0), 10));
        assert_eq!(arena.enter(id(0)).err(), Some(Refused::Stale(id(0))));
        assert!(arena.is_empty());
    }

    #[test]
    fn a_stale_name_is_refused_after_its_place_was_taken_again() {
        let (mut arena, accounts) = arena_of(1);
        assert!(arena.detach(id(0)));
        let next = ContextId { index: 0, generation: 1 };
        arena.attach(next, Arc::clone(&accounts[0]));
        assert_eq!(arena.enter(id(0)).err(), Some(Refused::Stale(id(0))));
        assert!(arena.enter(next).is_ok());
    }

    #[test]
    fn accounts_follow_the_context() {
        let (mut arena, accounts) = arena_of(2);
        arena.submitted(id(1), 1_000);
        assert_eq!(accounts[1].total(|s| &s.in_flight), 1);
        arena.completed(id(1), 2_000);
        assert_eq!(accounts[1].total(|s| &s.in_flight), 0);
        assert_eq!(accounts[1].total(|s| &s.completed), 1);
        assert_eq!(accounts[0].total(|s| &s.submitted), 0);
    }
}
