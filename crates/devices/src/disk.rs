//! A rotating disk: one head, which has to get to the data before it can read or write it.

use crate::{Nanos, Operation, Request, SECOND, scale};
use std::collections::VecDeque;

/// Square roots are taken with this many binary digits behind the point.
const ROOT_SHIFT: u32 = 20;

/// Where the data is when the head has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Half a turn away.
    Mean,
    /// Where the disk's angle says.
    Angular,
}

/// A disk as a table of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskParameters {
    /// Capacity.
    pub size_bytes: u64,
    /// Transfer at the outer edge, where addresses begin.
    pub bytes_per_s: u64,
    /// At the inner edge, of that.
    pub inner_percent: u64,
    /// One turn.
    pub turn_ns: u64,
    /// The shortest seek.
    pub track_ns: u64,
    /// A seek over a third of the capacity.
    pub average_ns: u64,
    /// A seek over all of it.
    pub full_ns: u64,
    /// Of a command.
    pub overhead_ns: u64,
    /// How rotation counts.
    pub rotation: Rotation,
    /// Requests among which the nearest goes first; 1: as they come.
    pub queue: usize,
    /// Who has waited so long goes first all the same.
    pub age_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    request: Request,
    since: Nanos,
}

/// A disk at work.
#[derive(Debug)]
pub struct Disk {
    parameters: DiskParameters,
    track_bytes: u64,
    head_bytes: u64,
    waiting: VecDeque<Waiting>,
    /// End and name.
    serving: Option<(Nanos, u64)>,
}

impl Disk {
    /// Idle, the head at the first address.
    pub fn new(parameters: DiskParameters) -> Self {
        let track_bytes = scale(parameters.bytes_per_s, parameters.turn_ns, SECOND).max(1);
        Self { parameters, track_bytes, head_bytes: 0, waiting: VecDeque::new(), serving: None }
    }

    /// Takes a request.
    pub fn submit(&mut self, request: Request, now: Nanos) {
        self.waiting.push_back(Waiting { request, since: now });
        if self.serving.is_none() {
            self.start(now);
        }
    }

    /// When the request that is served will be done.
    pub fn next_completion(&self) -> Option<Nanos> {
        self.serving.map(|(ends, _)| ends)
    }

    /// Takes it, and lets the disk go on.
    pub fn complete(&mut self) -> Option<u64> {
        let (ends, token) = self.serving.take()?;
        self.start(ends);
        Some(token)
    }

    fn start(&mut self, now: Nanos) {
        let place = self.choose(now);
        let Some(waiting) = self.waiting.remove(place) else { return };
        let request = waiting.request;
        let mut duration_ns = self.positioning_ns(&waiting, now);
        if request.operation != Operation::Flush {
            duration_ns += self.transfer_ns(request.offset_bytes, request.length_bytes);
            self.head_bytes = request.offset_bytes + request.length_bytes;
        }
        self.serving = Some((now.saturating_add(duration_ns), request.token));
    }

    /// The place in the queue of the request to serve.
    fn choose(&self, now: Nanos) -> usize {
        let seen = self.parameters.queue.min(self.waiting.len());
        let oldest_ns = self.waiting.front().map_or(0, |oldest| now.saturating_sub(oldest.since));
        if seen <= 1 || oldest_ns > self.parameters.age_ns {
            return 0;
        }
        let nearest = self.waiting.iter().take(seen).enumerate();
        nearest.min_by_key(|(_, waiting)| self.positioning_ns(waiting, now)).map_or(0, |(i, _)| i)
    }

    /// How long it takes until the head is where a request begins.
    fn positioning_ns(&self, waiting: &Waiting, now: Nanos) -> u64 {
        let (request, overhead_ns) = (&waiting.request, self.parameters.overhead_ns);
        if request.operation == Operation::Flush {
            return overhead_ns;
        }
        if request.offset_bytes == self.head_bytes {
            return if waiting.since < now { 0 } else { overhead_ns };
        }
        let moved_ns = overhead_ns + self.seek_ns(request.offset_bytes.abs_diff(self.head_bytes));
        moved_ns + self.rotation_ns(request.offset_bytes, now + moved_ns)
    }

    fn seek_ns(&self, distance_bytes: u64) -> u64 {
        let DiskParameters { size_bytes, track_ns, average_ns, full_ns, .. } = self.parameters;
        let thrice = distance_bytes.saturating_mul(3);
        if thrice <= size_bytes {
            let root = scale(thrice, 1 << (2 * ROOT_SHIFT), size_bytes).isqrt();
            return track_ns + scale(average_ns.saturating_sub(track_ns), root, 1 << ROOT_SHIFT);
        }
        let further_ns = full_ns.saturating_sub(average_ns);
        average_ns + scale(further_ns, thrice - size_bytes, size_bytes.saturating_mul(2))
    }

    fn rotation_ns(&self, offset_bytes: u64, at: Nanos) -> u64 {
        let turn_ns = self.parameters.turn_ns.max(1);
        match self.parameters.rotation {
            Rotation::Mean => turn_ns / 2,
            Rotation::Angular => {
                let angle_ns = scale(offset_bytes % self.track_bytes, turn_ns, self.track_bytes);
                (angle_ns + turn_ns - at % turn_ns) % turn_ns
            }
        }
    }

    /// How long the data takes to pass the head, which is slower further inside.
    fn transfer_ns(&self, offset_bytes: u64, length_bytes: u64) -> u64 {
        let DiskParameters { size_bytes, bytes_per_s, inner_percent, .. } = self.parameters;
        let lost = u128::from(100 - inner_percent.min(100)) * u128::from(offset_bytes);
        let whole = 100 * u128::from(size_bytes.max(1));
        let bytes_per_s = u128::from(bytes_per_s) * whole.saturating_sub(lost) / whole;
        scale(length_bytes, SECOND, u64::try_from(bytes_per_s).unwrap_or(u64::MAX))
    }
}
