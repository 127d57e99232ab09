//! A context as the scheduler of one device sees it, and the device.

use crate::backlog::List;
use crate::calendar::{Link, Links};
use crate::class::{Tags, VIRTUAL_SHIFT, ahead};
use crate::settings::{Arrivals, Priority, Settings};
use crate::{ContextId, Nanos};

/// A guarantee that the device could not keep is made up for by what it is in this time.
const LATE_MAX_NS: Nanos = 100_000_000;

/// What the scheduler knows of a backing device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Estimated work that it may have at a time.
    pub window_ns: u64,
    /// The most expensive request; what costs more is charged this.
    pub cost_max_ns: u64,
    /// Requests up to this cost are small.
    pub small_ns: u64,
    /// Part of the window that large requests leave free while small ones come.
    pub reserve_ns: u64,
    /// The most that a request takes of the window, whatever it costs. That of a small one makes the
    /// window count requests.
    pub place_ns: Option<u64>,
}

impl Device {
    /// The same with a window into which every request fits.
    pub(crate) fn widened(self) -> Self {
        let sound = Self {
            cost_max_ns: self.cost_max_ns.max(1),
            place_ns: self.place_ns.map(|place| place.max(1)),
            ..self
        };
        let least_ns = sound.place(u64::MAX).saturating_add(self.reserve_ns);
        Self { window_ns: self.window_ns.max(least_ns), ..sound }
    }

    /// What a request of this cost takes of the window.
    pub(crate) fn place(&self, cost_ns: u64) -> u64 {
        self.charge(cost_ns).min(self.place_ns.unwrap_or(u64::MAX))
    }

    /// What a request of this cost is charged.
    pub(crate) fn charge(&self, cost_ns: u64) -> u64 {
        cost_ns.clamp(1, self.cost_max_ns)
    }

    /// Whether a request of this cost is small.
    pub(crate) fn is_small(&self, cost_ns: u64) -> bool {
        self.charge(cost_ns) <= self.small_ns
    }

    /// The most expensive request in virtual time, of the smallest weight.
    pub(crate) fn virtual_cost_max(&self) -> u64 {
        self.cost_max_ns << VIRTUAL_SHIFT
    }

    /// How far ahead of the clock a tag can be.
    pub(crate) fn bound(&self) -> i64 {
        (2 * self.virtual_cost_max()) as i64
    }
}

/// What only a context has that was given settings, and how far it is with its rates.
#[derive(Debug)]
struct Terms {
    settings: Settings,
    limit: Arrivals,
    guarantee: Arrivals,
}

/// A context at a device: one cache line, because every decision touches some of many.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Flow {
    pub(crate) id: ContextId,
    pub(crate) tags: Tags,
    pub(crate) queue: List,
    pub(crate) link: Link,
    weight: u32,
    queued_max: u16,
    pub(crate) priority: Priority,
    /// It has a limit or a guarantee.
    has_rates: bool,
    terms: Option<Box<Terms>>,
}

const _: () = assert!(size_of::<Option<Flow>>() == 64);

/// A flow by its context's index.
pub(crate) fn find(flows: &[Option<Flow>], index: u32) -> Option<&Flow> {
    flows.get(index as usize)?.as_ref()
}

/// The same, to be changed.
pub(crate) fn find_mut(flows: &mut [Option<Flow>], index: u32) -> Option<&mut Flow> {
    flows.get_mut(index as usize)?.as_mut()
}

impl Links for [Option<Flow>] {
    fn link(&mut self, flow: u32) -> Option<&mut Link> {
        find_mut(self, flow).map(|flow| &mut flow.link)
    }
}

impl Flow {
    /// A context with the default settings.
    pub(crate) fn new(id: ContextId) -> Self {
        let Settings { weight, queued_max, priority, .. } = Settings::default();
        Self {
            id,
            tags: Tags::default(),
            queue: List::EMPTY,
            link: Link::OUT,
            weight,
            queued_max: queued_max as u16,
            priority,
            has_rates: false,
            terms: None,
        }
    }

    /// What it is due.
    pub(crate) fn settings(&self) -> Settings {
        self.terms.as_ref().map_or_else(Settings::default, |terms| terms.settings)
    }

    /// Takes new settings; the class's clock stands there.
    pub(crate) fn set(&mut self, settings: Settings, clock: u64, device: &Device, now: Nanos) {
        let old = self.settings();
        self.weight = settings.weight.max(1);
        self.queued_max = u16::try_from(settings.queued_max).unwrap_or(u16::MAX);
        self.priority = settings.priority;
        self.has_rates = !settings.limit.is_none() || !settings.guarantee.is_none();
        if settings.priority == old.priority {
            // What it is ahead by is so much work, and lasts the shorter the more it is due.
            let work = ahead(self.tags.start, clock) * i64::from(old.weight);
            let lasts = -(-work).div_euclid(i64::from(self.weight));
            self.tags.start = clock.wrapping_add_signed(lasts.min(self.ahead_max(device) as i64));
        } else {
            // Each class has a clock of its own.
            self.tags.start = clock;
        }
        let fresh =
            || Terms { settings, limit: Arrivals::default(), guarantee: Arrivals::default() };
        let terms = self.terms.get_or_insert_with(|| Box::new(fresh()));
        // A burst is saved up by a pause; who is new has none yet.
        terms.limit.change(old.limit, settings.limit, now + settings.burst_ns, now);
        terms.guarantee.change(old.guarantee, settings.guarantee, now, now);
        terms.settings = settings;
    }

    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.weight)
    }

    /// It may not have more requests waiting.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= u32::from(self.queued_max)
    }

    /// Sets the finish tag of its first request. The cost is rounded up: a clock that is late is put
    /// right when nobody is eligible, one that is early is not.
    pub(crate) fn aim(&mut self, charge_ns: u64) {
        let virtual_cost = (charge_ns << VIRTUAL_SHIFT).div_ceil(self.weight());
        self.tags.finish = self.tags.start.wrapping_add(virtual_cost);
    }

    /// When its next request may go, as far as its limit is concerned.
    pub(crate) fn limit_ends(&self) -> Nanos {
        let Some(Terms { settings, limit, .. }) = self.rated() else { return 0 };
        limit.latest(settings.limit).unwrap_or(0).saturating_sub(settings.burst_ns)
    }

    /// When it falls behind its guarantee; `None`: it has none.
    pub(crate) fn guarantee_due(&self) -> Option<Nanos> {
        let Terms { settings, guarantee, .. } = self.rated()?;
        guarantee.earliest(settings.guarantee)
    }

    /// It goes before everybody else.
    pub(crate) fn is_behind(&self, now: Nanos) -> bool {
        self.guarantee_due().is_some_and(|due| due <= now)
    }

    fn rated(&self) -> Option<&Terms> {
        self.terms.as_deref().filter(|_| self.has_rates)
    }

    /// Books a request towards its rates.
    pub(crate) fn book(&mut self, length_bytes: u32, now: Nanos, is_guaranteed: bool) {
        let Some(terms) = self.terms.as_deref_mut().filter(|_| self.has_rates) else { return };
        let Settings { limit, guarantee, burst_ns, .. } = terms.settings;
        terms.limit.advance(limit, length_bytes, (now, now + burst_ns), true);
        if is_guaranteed {
            // What it gets for the sake of one kind of guarantee uses up nothing of the other.
            let within = (now.saturating_sub(LATE_MAX_NS), now);
            terms.guarantee.advance(guarantee, length_bytes, within, false);
        }
    }

    /// It has something queued after a pause, which saves up no more than the burst.
    pub(crate) fn come_back(&mut self, now: Nanos) {
        if let Some(terms) = self.terms.as_deref_mut() {
            terms.guarantee.forget_before(now.saturating_sub(terms.settings.burst_ns));
        }
    }

    /// Two of the most expensive requests, in virtual time.
    fn ahead_max(&self, device: &Device) -> u64 {
        2 * device.virtual_cost_max() / self.weight()
    }

    /// What was guaranteed may have brought it far beyond its share, which is not to be paid for
    /// for long.
    pub(crate) fn forgive(&mut self, clock: u64, device: &Device) {
        let most = clock.wrapping_add(self.ahead_max(device));
        if ahead(self.tags.finish, most) > 0 {
            self.tags.finish = most;
        }
        if ahead(self.tags.start, self.tags.finish) > 0 {
            self.tags.finish = self.tags.start;
        }
    }
}
