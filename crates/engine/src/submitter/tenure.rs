//! Who owns a device among the submitters, who has a lease of it, and who is there. Pure.

use fairlead_sched::settings::{Rate, Settings};
use fairlead_sched::{ContextId, Nanos};
use std::collections::HashMap;

/// A context has to be alone for so long to be given a lease.
const ALONE_NS: Nanos = 100_000_000;
/// Who uses a device, and who schedules it, as one submitter knows it.
#[derive(Debug)]
pub(super) struct Tenure {
    /// Who owns it.
    pub(super) owner: usize,
    /// Owned by another: the context that has it for itself, which is scheduled here.
    pub(super) leased: Option<ContextId>,
    /// Several contexts want it, as the owner said last.
    pub(super) is_shared: bool,
    /// Owned here: who was given a lease.
    pub(super) lessee: Option<(usize, ContextId)>,
    /// Owned here: who asked last, and from when on nobody else has.
    asker: Option<(usize, ContextId)>,
    alone_from: Nanos,
    present: HashMap<ContextId, Presence>,
}

/// Where a context has sessions.
#[derive(Debug, Default)]
struct Presence {
    /// A bit for each submitter.
    submitters: u64,
    settings: Settings,
}

impl Tenure {
    /// A device that this submitter owns.
    pub(super) fn of(owner: usize) -> Self {
        Self {
            owner,
            leased: None,
            is_shared: true,
            lessee: None,
            asker: None,
            alone_from: 0,
            present: HashMap::new(),
        }
    }

    /// A request of this context is scheduled by the owner, which is not `here`.
    pub(super) fn asks(&self, here: usize, context: ContextId) -> bool {
        self.owner != here && self.leased != Some(context)
    }

    /// A context has sessions there; this is what it is due.
    pub(super) fn join(&mut self, context: ContextId, submitter: usize, settings: &Settings) {
        let presence = self.present.entry(context).or_default();
        presence.submitters |= 1 << submitter;
        presence.settings = *settings;
    }

    /// What a context that is here is due.
    pub(super) fn settings(&self, context: ContextId) -> Option<Settings> {
        self.present.get(&context).map(|presence| presence.settings)
    }

    /// It has none there any more; true: nowhere.
    pub(super) fn leave(&mut self, context: ContextId, submitter: usize) -> bool {
        if self.leased == Some(context) {
            self.leased = None;
        }
        if self.lessee == Some((submitter, context)) {
            self.lessee = None;
        }
        let Some(presence) = self.present.get_mut(&context) else { return true };
        presence.submitters &= !(1 << submitter);
        let is_gone = presence.submitters == 0;
        if is_gone {
            self.present.remove(&context);
        }
        is_gone
    }

    /// Somebody's request comes to the owner: the lease of another is over.
    pub(super) fn recall(
        &mut self,
        submitter: usize,
        context: ContextId,
        now: Nanos,
    ) -> Option<(usize, ContextId)> {
        let lessee = self.lessee.filter(|lessee| *lessee != (submitter, context))?;
        self.lessee = None;
        self.alone_from = now + ALONE_NS;
        Some(lessee)
    }

    /// Whether who asks may have a lease.
    pub(super) fn lease(
        &mut self,
        submitter: usize,
        context: ContextId,
        is_shared: bool,
        now: Nanos,
    ) -> bool {
        let asker = Some((submitter, context));
        if self.asker != asker {
            self.asker = asker;
            self.alone_from = now + ALONE_NS;
        }
        // Who has a limit or a guarantee is counted by the owner.
        let none = Rate { iops: None, bytes_per_s: None };
        let may =
            self.settings(context).is_some_and(|due| due.limit == none && due.guarantee == none);
        let is_free = self.lessee.is_none() || self.lessee == asker;
        let gives = may && !is_shared && now >= self.alone_from && is_free;
        if gives {
            self.lessee = asker;
        }
        gives
    }
}

#[cfg(test)]
mod tests {
    use super::{ALONE_NS, Tenure};
    use fairlead_sched::ContextId;
    use fairlead_sched::settings::{Rate, Settings};

    const HERE: usize = 0;
    const THERE: usize = 1;

    fn context(index: u32) -> ContextId {
        ContextId { index, generation: 0 }
    }

    #[test]
    fn who_is_alone_for_a_while_gets_a_lease_until_somebody_comes() {
        let mut tenure = Tenure::of(HERE);
        tenure.join(context(7), THERE, &Settings::default());
        assert!(!tenure.lease(THERE, context(7), false, 0));
        assert!(!tenure.lease(THERE, context(7), true, ALONE_NS), "others want the device");
        assert!(tenure.lease(THERE, context(7), false, ALONE_NS));
        assert!(tenure.lease(THERE, context(7), false, ALONE_NS), "what was on its way");
        assert_eq!(tenure.recall(THERE, context(7), ALONE_NS), None, "what was on its way");
        let lessee = Some((THERE, context(7)));
        assert_eq!(tenure.recall(HERE, context(7), ALONE_NS), lessee, "another session of it");
        assert_eq!(tenure.recall(HERE, context(7), ALONE_NS), None, "once");
        assert!(!tenure.lease(THERE, context(7), false, 2 * ALONE_NS - 1));
        assert!(tenure.lease(THERE, context(7), false, 2 * ALONE_NS));
    }

    #[test]
    fn who_asks_in_turn_with_another_or_has_a_limit_always_asks() {
        let mut tenure = Tenure::of(HERE);
        let limit = Rate { iops: Some(9), bytes_per_s: None };
        tenure.join(context(7), THERE, &Settings { limit, ..Settings::default() });
        tenure.join(context(8), THERE, &Settings::default());
        assert!(!tenure.lease(THERE, context(7), false, 0));
        assert!(!tenure.lease(THERE, context(7), false, 9 * ALONE_NS), "it has a limit");
        assert!(!tenure.lease(THERE, context(8), false, 9 * ALONE_NS), "the other was here");
        assert!(!tenure.lease(2, context(8), false, 20 * ALONE_NS), "from elsewhere");
    }

    #[test]
    fn a_context_is_gone_when_it_has_left_everywhere() {
        let mut tenure = Tenure::of(HERE);
        tenure.join(context(7), THERE, &Settings::default());
        tenure.join(context(7), HERE, &Settings::default());
        assert!(!tenure.leave(context(7), THERE));
        assert!(tenure.leave(context(7), HERE));
        assert!(tenure.present.is_empty());
    }

    #[test]
    fn only_who_neither_owns_nor_leases_asks() {
        let mut tenure = Tenure::of(THERE);
        assert!(tenure.asks(HERE, context(7)) && !tenure.asks(THERE, context(7)));
        tenure.leased = Some(context(7));
        assert!(!tenure.asks(HERE, context(7)) && tenure.asks(HERE, context(8)));
    }
}
