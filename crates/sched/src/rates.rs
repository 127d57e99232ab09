//! What contexts were given, and how far they are with their limits and guarantees: beside the flows,
//! because most contexts were given nothing.

use crate::Nanos;
use crate::flow::Flow;
use crate::settings::{Arrivals, Settings};
use crate::table::Table;

/// A guarantee that the device could not keep is made up for by what it is in this time.
const LATE_MAX_NS: Nanos = 100_000_000;

/// Of one context.
#[derive(Debug)]
struct Terms {
    settings: Settings,
    limit: Arrivals,
    guarantee: Arrivals,
}

/// Of all contexts that were given settings, by the context's index.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    terms: Table<Option<Box<Terms>>>,
}

impl Rates {
    /// What a context is due.
    pub(crate) fn settings(&self, index: u32) -> Settings {
        let terms = self.terms.get(index).and_then(Option::as_ref);
        terms.map_or_else(Settings::default, |terms| terms.settings)
    }

    /// Takes new settings.
    pub(crate) fn set(&mut self, index: u32, settings: Settings, now: Nanos) {
        let Some(terms) = self.terms.slot(index) else { return };
        let fresh = || {
            let settings = Settings::default();
            Box::new(Terms { settings, limit: Arrivals::default(), guarantee: Arrivals::default() })
        };
        let terms = terms.get_or_insert_with(fresh);
        let old = std::mem::replace(&mut terms.settings, settings);
        // A burst is saved up by a pause; who is new has none yet.
        terms.limit.change(old.limit, settings.limit, now + settings.burst_ns, now);
        terms.guarantee.change(old.guarantee, settings.guarantee, now, now);
    }

    /// Forgets a context.
    pub(crate) fn forget(&mut self, index: u32) {
        if let Some(terms) = self.terms.get_mut(index) {
            *terms = None;
        }
    }

    /// When a flow's next request may go, as far as its limit is concerned.
    pub(crate) fn limit_ends(&self, flow: &Flow) -> Nanos {
        let Some(Terms { settings, limit, .. }) = self.of(flow) else { return 0 };
        limit.latest(settings.limit).unwrap_or(0).saturating_sub(settings.burst_ns)
    }

    /// When a flow falls behind its guarantee; `None`: it has none.
    pub(crate) fn guarantee_due(&self, flow: &Flow) -> Option<Nanos> {
        let Terms { settings, guarantee, .. } = self.of(flow)?;
        guarantee.earliest(settings.guarantee)
    }

    /// A flow goes before everybody else.
    pub(crate) fn is_behind(&self, flow: &Flow, now: Nanos) -> bool {
        self.guarantee_due(flow).is_some_and(|due| due <= now)
    }

    /// Books a flow's request towards its rates.
    pub(crate) fn book(&mut self, flow: &Flow, length_bytes: u32, now: Nanos, is_guaranteed: bool) {
        let Some(terms) = self.of_mut(flow) else { return };
        let Settings { limit, guarantee, burst_ns, .. } = terms.settings;
        terms.limit.advance(limit, length_bytes, (now, now + burst_ns), true);
        if is_guaranteed {
            // What it gets for the sake of one kind of guarantee uses up nothing of the other.
            let within = (now.saturating_sub(LATE_MAX_NS), now);
            terms.guarantee.advance(guarantee, length_bytes, within, false);
        }
    }

    /// A flow has something queued after a pause, which saves up no more than the burst.
    pub(crate) fn come_back(&mut self, flow: &Flow, now: Nanos) {
        if let Some(terms) = self.of_mut(flow) {
            terms.guarantee.forget_before(now.saturating_sub(terms.settings.burst_ns));
        }
    }

    // The flow says whether it has rates: without a look at what is far away.

    fn of(&self, flow: &Flow) -> Option<&Terms> {
        if !flow.has_rates {
            return None;
        }
        self.terms.get(flow.id.index)?.as_deref()
    }

    fn of_mut(&mut self, flow: &Flow) -> Option<&mut Terms> {
        if !flow.has_rates {
            return None;
        }
        self.terms.get_mut(flow.id.index)?.as_deref_mut()
    }
}
