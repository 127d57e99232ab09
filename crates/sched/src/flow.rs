//! A context as the scheduler of one device sees it, and the device.

use crate::backlog::List;
use crate::calendar::{Link, Links};
use crate::class::{Tags, VIRTUAL_SHIFT, ahead};
use crate::settings::{Arrivals, Priority, Rate, Settings};
use crate::{ContextId, Nanos};

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
}

/// What only a context with limits or a guarantee has: its rates, and how far it is with them.
#[derive(Debug)]
struct Rates {
    limit: Rate,
    limit_arrivals: Arrivals,
    burst_ns: Nanos,
    guarantee: Rate,
    guarantee_arrivals: Arrivals,
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
    rates: Option<Box<Rates>>,
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
    pub(crate) fn new(id: ContextId) -> Self {
        let mut flow = Self {
            id,
            tags: Tags::default(),
            queue: List::EMPTY,
            link: Link::OUT,
            weight: 1,
            queued_max: 0,
            priority: Priority::default(),
            rates: None,
        };
        flow.set(Settings::default());
        flow
    }

    /// Takes new settings. How far it was with its rates it stays.
    pub(crate) fn set(&mut self, settings: Settings) {
        let Settings { weight, priority, limit, burst_ns, guarantee, queued_max } = settings;
        self.weight = weight.max(1);
        self.priority = priority;
        self.queued_max = u16::try_from(queued_max).unwrap_or(u16::MAX);
        match &mut self.rates {
            Some(rates) => **rates = Rates { limit, burst_ns, guarantee, ..**rates },
            None if limit.is_none() && guarantee.is_none() => {}
            None => {
                let [limit_arrivals, guarantee_arrivals] = [Arrivals::default(); 2];
                let rates =
                    Rates { limit, limit_arrivals, burst_ns, guarantee, guarantee_arrivals };
                self.rates = Some(Box::new(rates));
            }
        }
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

    /// Brings it to the clock, if it is behind: what others had in its pause is not owed to it.
    pub(crate) fn catch_up(&mut self, clock: u64, device: &Device) {
        let early = ahead(self.tags.start, clock);
        // Further ahead than can be, it is a tag of long ago: the clock has come round.
        let bound = (2 * device.virtual_cost_max()) as i64;
        if !(0..=bound).contains(&early) {
            self.tags.start = clock;
        }
    }

    /// When its next request may go, as far as its limit is concerned.
    pub(crate) fn limit_ends(&self) -> Nanos {
        let Some(rates) = &self.rates else { return 0 };
        rates.limit_arrivals.latest(rates.limit).unwrap_or(0).saturating_sub(rates.burst_ns)
    }

    /// When it falls behind its guarantee; `None`: it has none.
    pub(crate) fn guarantee_due(&self) -> Option<Nanos> {
        let rates = self.rates.as_ref()?;
        rates.guarantee_arrivals.earliest(rates.guarantee)
    }

    /// Books a request towards its rates.
    pub(crate) fn book(&mut self, length_bytes: u32, now: Nanos, is_guaranteed: bool) {
        let Some(rates) = &mut self.rates else { return };
        rates.limit_arrivals.advance(rates.limit, length_bytes, now);
        if is_guaranteed {
            let not_before = now.saturating_sub(rates.burst_ns);
            rates.guarantee_arrivals.advance(rates.guarantee, length_bytes, not_before);
        }
    }

    /// What was guaranteed may have brought it far beyond its share, which is not to be paid for
    /// for long.
    pub(crate) fn forgive(&mut self, clock: u64, device: &Device) {
        let most = clock.wrapping_add(device.virtual_cost_max() / self.weight());
        if ahead(self.tags.finish, most) > 0 {
            self.tags.finish = most;
        }
    }
}
