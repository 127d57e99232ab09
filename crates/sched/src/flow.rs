//! A context as the scheduler of one device sees it, and the device.

use crate::ContextId;
use crate::backlog::Queue;
use crate::class::{Tags, VIRTUAL_SHIFT, ahead};
use crate::settings::{Priority, Settings};
use crate::table::Table;

/// The greatest weight.
const WEIGHT_MAX: u32 = 1000;

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
    #[inline]
    pub(crate) fn place(&self, cost_ns: u64) -> u64 {
        self.charge(cost_ns).min(self.place_ns.unwrap_or(u64::MAX))
    }

    /// What a request of this cost is charged.
    #[inline]
    pub(crate) fn charge(&self, cost_ns: u64) -> u64 {
        cost_ns.min(self.cost_max_ns).max(1)
    }

    /// Whether a request of this cost is small.
    #[inline]
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

/// Where a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no such flow.
    Absent,
    /// It is paused, and not ahead.
    Out,
    /// It is paused, and has had more than its share so far. It stays so when the clock has passed it.
    Ahead,
    /// It is in its class's calendars.
    TakesPart,
}

/// A context at a device, its first request with it: one cache line, because every decision touches
/// some of many.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Flow {
    pub(crate) id: ContextId,
    pub(crate) tags: Tags,
    pub(crate) queue: Queue,
    weight: u16,
    queued_max: u16,
    pub(crate) priority: Priority,
    pub(crate) state: State,
    /// It has a limit or a guarantee.
    pub(crate) has_rates: bool,
    /// Written by [`Flows::fetch`], never read.
    is_wanted: bool,
}

const _: () = assert!(size_of::<Flow>() == 64);

impl Default for Flow {
    fn default() -> Self {
        let nobody = ContextId { index: u32::MAX, generation: 0 };
        Self { state: State::Absent, ..Self::new(nobody, 0) }
    }
}

/// All flows, by their contexts' index.
pub(crate) type Flows = Table<Flow>;

impl Flows {
    /// A flow, if it is known.
    pub(crate) fn flow(&mut self, index: u32) -> Option<&mut Flow> {
        self.get_mut(index).filter(|flow| flow.state != State::Absent)
    }

    /// Has a flow brought into the cache that will soon be wanted. To read it would be to wait for
    /// it; what is written is not waited for.
    #[inline]
    pub(crate) fn fetch(&mut self, index: u32) {
        if let Some(flow) = self.get_mut(index) {
            flow.is_wanted = true;
        }
    }
}

impl Flow {
    /// A context with the default settings, in a class whose clock stands there.
    pub(crate) fn new(id: ContextId, clock: u64) -> Self {
        let mut flow = Self {
            id,
            tags: Tags { start: clock, finish: clock },
            queue: Queue::new(),
            weight: 1,
            queued_max: 0,
            priority: Priority::default(),
            state: State::Out,
            has_rates: false,
            is_wanted: false,
        };
        flow.take(&Settings::default());
        flow
    }

    fn take(&mut self, settings: &Settings) {
        self.weight = settings.weight.clamp(1, WEIGHT_MAX) as u16;
        self.queued_max = u16::try_from(settings.queued_max).unwrap_or(u16::MAX);
        self.priority = settings.priority;
        self.has_rates = !settings.limit.is_none() || !settings.guarantee.is_none();
    }

    /// Takes new settings; the clock of their class stands there.
    pub(crate) fn set(&mut self, settings: &Settings, clock: u64, device: &Device) {
        let (old_weight, old_priority) = (self.weight, self.priority);
        self.take(settings);
        if self.priority == old_priority {
            // What it is ahead by is so much work, and lasts the shorter the more it is due.
            let work = ahead(self.tags.start, clock) * i64::from(old_weight);
            let lasts = -(-work).div_euclid(i64::from(self.weight));
            self.tags.start = clock.wrapping_add_signed(lasts.min(self.ahead_max(device) as i64));
        } else {
            // Each class has a clock of its own.
            self.tags.start = clock;
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.weight)
    }

    /// It may not have more requests waiting.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.queued_max
    }

    /// Sets the finish tag of its first request. The cost is rounded up: a clock that is late is put
    /// right when nobody is eligible, one that is early is not.
    pub(crate) fn aim(&mut self, charge_ns: u64) {
        let virtual_cost = (charge_ns << VIRTUAL_SHIFT).div_ceil(self.weight());
        self.tags.finish = self.tags.start.wrapping_add(virtual_cost);
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
