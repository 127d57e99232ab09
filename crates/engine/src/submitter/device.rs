//! A backing device as one submitter uses it: its scheduler, what requests cost it, how much it gets.

use super::tenure::Tenure;
use crate::operation::{Kind, Operation};
use crate::passthrough::Direction as Way;
use crate::shared::DeviceRecord;
use crate::volume::Volume;
use fairlead_devices::Parameters;
use fairlead_sched::busy;
use fairlead_sched::company::Company;
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
/// Requests that a device gets at most where an elevator below us decides.
const BELOW_MAX: usize = 4096;

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
    Submit {
        /// What it is counted as.
        cost_ns: u64,
    },
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

fn direction_of(kind: Kind) -> Direction {
    match kind {
        Kind::Read | Kind::Prefetch | Kind::Pass(Way::In | Way::None) => Direction::Read,
        _ => Direction::Write,
    }
}

/// The longest that costs no more, in whole pages; at least one.
fn longest_bytes(line: Line, cost_ns: u64) -> u64 {
    let kib = cost_ns.saturating_sub(line.base_ns) / line.per_kib_ns.max(1);
    (kib.saturating_mul(1024) & !4095).max(4096)
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

/// What a context has here, queued or with the device.
#[derive(Debug, Clone, Copy, Default)]
struct Outstanding {
    requests: u32,
    /// How many there were when another came, over the last few.
    sixteenths: u32,
}

impl Outstanding {
    /// One more; returns how many there usually are by then.
    fn come(&mut self) -> u32 {
        self.sixteenths = self.sixteenths - self.sixteenths / 16 + self.requests;
        self.requests += 1;
        self.sixteenths / 16
    }
}

/// A device's queue on one submitter.
pub(super) struct DeviceQueue {
    scheduler: Box<dyn Scheduler>,
    costs: CostModel,
    /// Learns what writes really cost beside reads. Not where another schedules the device, nor of
    /// what is answered from memory: there it is known.
    correction: Option<Correction>,
    record: Arc<DeviceRecord>,
    window: Window,
    requests_max: usize,
    /// Where an elevator below us decides who is next, everything that limits allow goes to it.
    may_be_decided_below: bool,
    company: Company,
    /// Reads and writes longer than this are cut while others want the device.
    cut_bytes: Option<(u64, u64)>,
    /// Requests up to this cost are small.
    small_ns: u64,
    is_shared: bool,
    /// Who schedules the device.
    pub(super) tenure: Tenure,
    /// By the context's index.
    outstanding: Vec<Outstanding>,
    /// Costs of what was answered at once: they make room when the wire has had its turn.
    answered: Option<Vec<u64>>,
    /// In the list of devices that may have something to submit.
    pub(super) is_due: bool,
}

impl DeviceQueue {
    /// For the device of this volume, scheduled by `owner`, which may have so many requests in
    /// flight. What they cost it is what somebody has measured; what is answered from memory costs
    /// our own time.
    pub(super) fn new(
        volume: &Volume,
        record: Arc<DeviceRecord>,
        owner: usize,
        here: usize,
        requests_max: usize,
        discipline: Discipline,
    ) -> Self {
        let is_direct = volume.is_direct();
        let may_be_decided_below =
            volume.spec.kernel_context.steers_threads() && !volume.may_block();
        let known = record.costs.or_else(|| volume.spec.simulated.as_ref().map(simulated_costs));
        let costs = if is_direct { known.unwrap_or(CostModel::FLASH) } else { CostModel::CPU };
        let learns = is_direct && discipline == Discipline::Fair && owner == here;
        let read = |bytes| costs.estimate(Direction::Read, bytes);
        let unit_ns = read(4096);
        let floor = if is_direct { DIRECT_FLOOR } else { BUFFERED_FLOOR };
        let cut_bytes = (is_direct && discipline == Discipline::Fair).then(|| {
            let piece_ns = SMALL_IN_A_PIECE * unit_ns;
            (longest_bytes(costs.read, piece_ns), longest_bytes(costs.write, piece_ns))
        });
        let (longest_read, longest_write) = cut_bytes.unwrap_or((PIECE_BYTES, PIECE_BYTES));
        let write_ns = costs.estimate(Direction::Write, longest_write);
        let factor_max = if learns { correction::FACTOR_MAX } else { 1 };
        let cost_max_ns = read(longest_read).max(write_ns.saturating_mul(factor_max));
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
            correction: learns.then(Correction::default),
            record,
            window: Window::new(floor),
            requests_max,
            may_be_decided_below,
            company: Company::default(),
            cut_bytes,
            small_ns: read(SMALL_BYTES),
            is_shared: false,
            tenure: Tenure::of(owner),
            outstanding: Vec::new(),
            answered: (!volume.has_device()).then(Vec::new),
            is_due: false,
        }
    }

    /// What a request costs, as it was said.
    fn estimate(&self, operation: &Operation) -> (Direction, u64) {
        // What moves nothing takes as long whatever its length.
        let moves = operation.kind.moves_bytes();
        let bytes = if moves { operation.length_bytes } else { 0 };
        let direction = direction_of(operation.kind);
        (direction, self.costs.estimate(direction, bytes))
    }

    /// And as it is counted now.
    fn cost_ns(&self, operation: &Operation) -> u64 {
        let (direction, estimate_ns) = self.estimate(operation);
        match &self.correction {
            Some(correction) => correction.cost_ns(direction, estimate_ns),
            // The owner has learnt it for all.
            None if direction == Direction::Write && self.cut_bytes.is_some() => {
                (estimate_ns as f64 * self.record.write_factor()) as u64
            }
            None => estimate_ns,
        }
    }

    /// What others see of the device.
    pub(super) fn record(&self) -> &Arc<DeviceRecord> {
        &self.record
    }

    /// Several contexts want the device.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// How much of a request may go in one piece now, if others want the device.
    pub(super) fn cut(&self, operation: &Operation, is_shared: bool) -> u64 {
        let cuts = is_shared && operation.kind.is_divisible() && !self.is_decided_below();
        let most = self.cut_bytes.filter(|_| cuts);
        let most = most.map(|(read, write)| match direction_of(operation.kind) {
            Direction::Read => read,
            Direction::Write => write,
        });
        most.unwrap_or(u64::MAX).min(operation.length_bytes)
    }

    /// A request comes.
    pub(super) fn offer(
        &mut self,
        context: ContextId,
        token: Token,
        operation: &Operation,
        now: Nanos,
    ) -> Offered {
        let usual = self.outstanding(context).come();
        let of_others = self.in_flight() + self.scheduler.queued();
        let own = self.outstanding(context).requests as usize;
        self.company.came(context, (of_others + 1).saturating_sub(own) as u64, now);
        self.window.arrived(context, usual, self.scheduler.weights(context), now);
        self.resize(now);
        let cost_ns = self.cost_ns(operation);
        let length_bytes = u32::try_from(operation.length_bytes).unwrap_or(u32::MAX);
        let request = Request { context, token, cost_ns, length_bytes };
        if self.has_room() && self.scheduler.bypass(&request, now) {
            return Offered::Submit { cost_ns };
        }
        match self.scheduler.push(request, now) {
            Ok(()) => Offered::Queued,
            Err(Full) => {
                self.is_gone(context);
                Offered::Full
            }
        }
    }

    fn outstanding(&mut self, context: ContextId) -> &mut Outstanding {
        let index = context.index as usize;
        if self.outstanding.len() <= index {
            self.outstanding.resize(index + 1, Outstanding::default());
        }
        self.outstanding.get_mut(index).expect("just made")
    }

    fn is_gone(&mut self, context: ContextId) {
        let outstanding = self.outstanding(context);
        debug_assert!(outstanding.requests > 0, "gone more often than come");
        outstanding.requests = outstanding.requests.saturating_sub(1);
    }

    /// The next request for the device, and what it is counted as.
    pub(super) fn next(&mut self, now: Nanos) -> Option<Request> {
        self.resize(now);
        let next = if self.has_room() { self.scheduler.next(now) } else { Next::WindowFull };
        if let Next::Submit(request) = next {
            return Some(request);
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

    /// A request is over that was counted as this, after this time with the device if it came there;
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
                // How long one takes without data says nothing about reads and writes.
                let is_told = operation.kind != Kind::Pass(Way::None);
                if let Some(took_ns) = took_ns.filter(|_| is_told) {
                    // By what was said: that does not change from one request to the next.
                    let kind = busy::Kind::of(direction, estimate_ns <= self.small_ns);
                    self.window.completed(kind, estimate_ns, took_ns);
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

    /// A context has left a submitter; it has nothing queued there any more.
    pub(super) fn close(&mut self, context: ContextId, submitter: usize) {
        if self.tenure.leave(context, submitter) {
            self.outstanding(context).sixteenths = 0;
            let left = self.scheduler.close(context);
            debug_assert!(left.is_empty(), "a context has left with requests queued");
        }
    }

    /// Gives up what a context has queued, and returns it.
    pub(super) fn take_all(&mut self, context: ContextId, now: Nanos) -> Vec<Token> {
        let tokens = self.scheduler.close(context);
        tokens.iter().for_each(|_| self.is_gone(context));
        if let Some(settings) = self.tenure.settings(context) {
            self.scheduler.set(context, settings, now);
        }
        tokens
    }

    /// A context uses the device elsewhere.
    pub(super) fn meet(&mut self, context: ContextId, now: Nanos) {
        self.window.arrived(context, 1, self.scheduler.weights(context), now);
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
        let most = if self.is_decided_below() { BELOW_MAX } else { self.requests_max };
        self.scheduler.in_flight() < most
    }

    /// An elevator below us decides who is next.
    fn is_decided_below(&self) -> bool {
        self.may_be_decided_below && self.elevator_sees()
    }

    /// An elevator below us sees contexts that it is told of.
    pub(super) fn elevator_sees(&self) -> bool {
        self.record.elevator_sees()
    }

    fn resize(&mut self, now: Nanos) {
        if self.answered.is_some() {
            return; // It gets a turn's worth at a time.
        }
        if self.is_decided_below() {
            self.is_shared = self.company.is_there(now);
            return self.scheduler.set_window(BELOW_MAX as u64);
        }
        let (in_flight, queued) = (self.scheduler.in_flight(), self.scheduler.queued());
        let size = self.window.size(in_flight as u64, queued as u64, now);
        self.is_shared = size.is_shared;
        self.scheduler.set_window(size.requests.min(u64::MAX / 2));
    }
}
