//! A backing device as one submitter uses it: its scheduler, what requests cost it, how much it gets.

use crate::operation::{Kind, Operation};
use crate::shared::DeviceRecord;
use crate::volume::Volume;
use fairlead_devices::Parameters;
use fairlead_sched::correction::{self, Correction};
use fairlead_sched::cost::{CostModel, Direction, Line};
use fairlead_sched::fair::{Device, Fair};
use fairlead_sched::fifo::Fifo;
use fairlead_sched::scheduler::{Full, Next, Request, Scheduler, Token};
use fairlead_sched::settings::Settings;
use fairlead_sched::window::Window;
use fairlead_sched::{ContextId, Nanos};
use std::sync::Arc;

/// Requests that may wait for one device on one submitter, in first come, first served order.
const QUEUED_MAX: usize = 8192;
/// The largest piece of a command's data.
const PIECE_BYTES: u64 = crate::buffer::LARGEST as u64;
const SMALL_BYTES: u64 = 8 * 1024;
/// Small requests that a piece of a large one may cost, where large ones are cut.
const SMALL_IN_A_PIECE: u64 = 4;
/// Requests for which large ones leave room while small ones come.
const RESERVED: u64 = 2;
/// Requests that a device always gets: few, because what it has is not in our order any more.
const DIRECT_FLOOR: u64 = 4;
/// The page cache answers most at once, and then a larger batch costs fewer system calls.
const BUFFERED_FLOOR: u64 = 32;

/// Who is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discipline {
    /// Everybody by their shares.
    #[default]
    Fair,
    /// First come, first served: to compare with.
    Fifo,
}

/// What became of a request that came for the device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// The device can have it at once.
    Submit,
    /// It waits for its turn.
    Queued,
    /// There is no room: TASK SET FULL.
    Full,
}

/// The place of a volume's device in the submitter's table: what is answered from memory is limited
/// by the submitter itself, and buffered and direct requests of one device have queues of their own.
pub(super) fn place_of(volume: &Volume) -> usize {
    if !volume.has_device() {
        return 0;
    }
    1 + 2 * volume.device as usize + usize::from(volume.may_block())
}

/// What requests cost a simulated device, in time of one of its servers.
fn simulated_costs(parameters: &Parameters) -> CostModel {
    let line = |base_ns, page_ns| Line { base_ns, per_kib_ns: page_ns / 4 };
    match parameters {
        Parameters::Ssd(ssd) => CostModel {
            read: line(ssd.read.base_ns, ssd.read.page_ns),
            write: line(ssd.write.base_ns, ssd.write.page_ns),
        },
        Parameters::Disk(disk) => {
            let random_ns = disk.average_ns + disk.turn_ns / 2 + disk.overhead_ns;
            let page_ns = 4096 * 1_000_000_000 / disk.bytes_per_s.max(1);
            CostModel { read: line(random_ns, page_ns), write: line(random_ns, page_ns) }
        }
    }
}

/// A device's queue on one submitter.
pub(super) struct DeviceQueue {
    scheduler: Box<dyn Scheduler>,
    costs: CostModel,
    /// Learns what writes really cost beside reads; of what is answered from memory both cost the
    /// same, and it is known.
    correction: Option<Correction>,
    record: Arc<DeviceRecord>,
    window: Window,
    requests_max: usize,
    /// Requests longer than this are cut while others want the device.
    cut_bytes: Option<u64>,
    is_shared: bool,
    /// Requests here, queued or with the device, by the context's index.
    outstanding: Vec<u32>,
    /// Costs of what was answered at once: they make room when the wire has had its turn.
    answered: Option<Vec<u64>>,
    /// In the list of devices that may have something to submit.
    pub(super) is_due: bool,
}

impl DeviceQueue {
    /// For the device of this volume, which may have so many requests in flight. What they cost it
    /// is what somebody has measured; what is answered from memory costs our own time.
    pub(super) fn new(
        volume: &Volume,
        record: Arc<DeviceRecord>,
        requests_max: usize,
        discipline: Discipline,
    ) -> Self {
        let is_direct = volume.is_direct();
        let known = record.costs.or_else(|| volume.spec.simulated.as_ref().map(simulated_costs));
        let costs = if is_direct { known.unwrap_or(CostModel::FLASH) } else { CostModel::CPU };
        let correction = (is_direct && discipline == Discipline::Fair).then(Correction::default);
        let read = |bytes| costs.estimate(Direction::Read, bytes);
        let unit_ns = read(4096);
        let floor = if is_direct { DIRECT_FLOOR } else { BUFFERED_FLOOR };
        let cut_bytes = (is_direct && discipline == Discipline::Fair).then(|| {
            // The longest that costs no more, in whole pages.
            let room_ns = (SMALL_IN_A_PIECE * unit_ns).saturating_sub(costs.read.base_ns);
            let kib = room_ns / costs.read.per_kib_ns.max(1);
            kib.saturating_mul(1024).min(PIECE_BYTES) & !4095
        });
        let longest_bytes = cut_bytes.unwrap_or(PIECE_BYTES);
        let write_ns = costs.estimate(Direction::Write, longest_bytes);
        let factor_max = if correction.is_some() { correction::FACTOR_MAX } else { 1 };
        let cost_max_ns = read(longest_bytes).max(write_ns.saturating_mul(factor_max));
        let device = if volume.has_device() {
            // The window counts requests: each takes 1 of it, whatever it costs.
            Device {
                window_ns: floor,
                cost_max_ns,
                small_ns: read(SMALL_BYTES),
                reserve_ns: RESERVED,
                place_ns: Some(1),
            }
        } else {
            // A turn's worth of the submitter's time.
            let window_ns = cost_max_ns;
            Device { window_ns, cost_max_ns, small_ns: 0, reserve_ns: 0, place_ns: None }
        };
        let scheduler: Box<dyn Scheduler> = match discipline {
            Discipline::Fair => Box::new(Fair::new(device)),
            Discipline::Fifo => Box::new(Fifo::new(QUEUED_MAX, requests_max)),
        };
        Self {
            scheduler,
            costs,
            correction,
            record,
            window: Window::new(floor),
            requests_max,
            cut_bytes,
            is_shared: false,
            outstanding: Vec::new(),
            answered: (!volume.has_device()).then(Vec::new),
            is_due: false,
        }
    }

    /// What a request will cost.
    pub(super) fn cost_ns(&self, operation: &Operation) -> u64 {
        let (direction, estimate_ns) = self.estimate(operation);
        match &self.correction {
            Some(correction) => correction.cost_ns(direction, estimate_ns),
            None => estimate_ns,
        }
    }

    /// What a request costs if nobody knows better.
    fn estimate(&self, operation: &Operation) -> (Direction, u64) {
        let (direction, bytes) = match operation.kind {
            Kind::Write | Kind::WriteStable => (Direction::Write, operation.length_bytes),
            Kind::Read => (Direction::Read, operation.length_bytes),
            // These move nothing; how long they take does not depend on their length.
            Kind::Discard | Kind::Zero | Kind::Flush | Kind::Prefetch => (Direction::Write, 0),
        };
        (direction, self.costs.estimate(direction, bytes))
    }

    /// How much of a request may go in one piece now.
    pub(super) fn cut(&self, operation: &Operation) -> u64 {
        let most = self.cut_bytes.filter(|_| self.is_shared && operation.kind.moves_bytes());
        most.unwrap_or(u64::MAX).min(operation.length_bytes)
    }

    /// A request comes.
    pub(super) fn offer(
        &mut self,
        context: ContextId,
        token: Token,
        operation: &Operation,
        cost_ns: u64,
        now: Nanos,
    ) -> Offered {
        let outstanding = self.outstanding(context);
        let before = std::mem::replace(outstanding, *outstanding + 1);
        self.window.arrived(context, before, now);
        self.resize(now);
        let length_bytes = u32::try_from(operation.length_bytes).unwrap_or(u32::MAX);
        let request = Request { context, token, cost_ns, length_bytes };
        if self.has_room() && self.scheduler.bypass(&request, now) {
            return Offered::Submit;
        }
        match self.scheduler.push(request, now) {
            Ok(()) => Offered::Queued,
            Err(Full) => {
                self.is_gone(context);
                Offered::Full
            }
        }
    }

    fn outstanding(&mut self, context: ContextId) -> &mut u32 {
        let index = context.index as usize;
        if self.outstanding.len() <= index {
            self.outstanding.resize(index + 1, 0);
        }
        self.outstanding.get_mut(index).expect("just made")
    }

    fn is_gone(&mut self, context: ContextId) {
        let outstanding = self.outstanding(context);
        debug_assert!(*outstanding > 0, "gone more often than come");
        *outstanding = outstanding.saturating_sub(1);
    }

    /// The next request for the device.
    pub(super) fn next(&mut self, now: Nanos) -> Option<Token> {
        self.resize(now);
        let next = if self.has_room() { self.scheduler.next(now) } else { Next::WindowFull };
        if let Next::Submit(request) = next {
            return Some(request.token);
        }
        self.look(next == Next::WindowFull, now);
        None
    }

    /// Whether the device has all that it should have, and more waits.
    fn look(&mut self, is_busy: bool, now: Nanos) {
        if let Some(correction) = &mut self.correction
            && correction.look(is_busy, now)
        {
            self.record.set_write_factor(correction.ratio());
        }
    }

    /// A request is over that came with this cost, after this time with the device if it got there;
    /// true: something may be next.
    pub(super) fn complete(
        &mut self,
        context: ContextId,
        operation: &Operation,
        cost_ns: u64,
        took_ns: Option<Nanos>,
        now: Nanos,
    ) -> bool {
        self.is_gone(context);
        let (direction, estimate_ns) = self.estimate(operation);
        match &mut self.correction {
            Some(correction) if took_ns.is_some() && operation.kind.moves_bytes() => {
                correction.completed(direction, estimate_ns);
            }
            Some(correction) if took_ns.is_some() => correction.spoil(),
            _ => {}
        }
        match (&mut self.answered, took_ns) {
            (Some(answered), Some(_)) => answered.push(cost_ns),
            (_, took_ns) => {
                self.scheduler.complete(cost_ns);
                if let Some(took_ns) = took_ns {
                    self.window.completed(took_ns);
                }
            }
        }
        let more_waits = self.scheduler.queued() > 0;
        if !more_waits {
            self.look(false, now);
        }
        more_waits
    }

    /// The wire has had its turn, and time has passed: what was answered at once makes room. True:
    /// something may be next.
    pub(super) fn begin_turn(&mut self, now: Nanos) -> bool {
        let answered = self.answered.as_mut().filter(|answered| !answered.is_empty());
        let makes_room = answered.is_some();
        answered.into_iter().flatten().for_each(|cost_ns| self.scheduler.complete(*cost_ns));
        self.answered.iter_mut().for_each(Vec::clear);
        let is_time = self.scheduler.wake_at().is_some_and(|ends| ends <= now);
        self.scheduler.queued() > 0 && (makes_room || is_time)
    }

    /// Takes a queued request back.
    pub(super) fn remove(&mut self, context: ContextId, token: Token, now: Nanos) -> bool {
        let removed = self.scheduler.remove(context, token, now);
        if removed {
            self.is_gone(context);
        }
        removed
    }

    /// Gives a context its settings.
    pub(super) fn set(&mut self, context: ContextId, settings: Settings, now: Nanos) {
        self.scheduler.set(context, settings, now);
    }

    /// A context has left the submitter; it has nothing queued any more.
    pub(super) fn close(&mut self, context: ContextId) {
        let left = self.scheduler.close(context);
        debug_assert!(left.is_empty(), "a context has left with requests queued");
    }

    /// When a context that its limit holds may go on; 0: something waits for the next turn.
    pub(super) fn wake_at(&self) -> Option<Nanos> {
        let waits = self.answered.as_ref().is_some_and(|answered| !answered.is_empty());
        if waits && self.scheduler.queued() > 0 { Some(0) } else { self.scheduler.wake_at() }
    }

    /// Requests that the device has.
    pub(super) fn in_flight(&self) -> usize {
        self.scheduler.in_flight()
    }

    fn has_room(&self) -> bool {
        self.scheduler.in_flight() < self.requests_max
    }

    fn resize(&mut self, now: Nanos) {
        if self.answered.is_some() {
            return; // It gets a turn's worth at a time.
        }
        let wanted = self.scheduler.queued() + self.scheduler.in_flight();
        let size = self.window.size(wanted as u64, now);
        self.is_shared = size.is_shared;
        self.scheduler.set_window(size.requests.min(u64::MAX / 2));
    }
}
