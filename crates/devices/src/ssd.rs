//! Flash: channels that serve one request each, and, where there is one, a write buffer that drains
//! at a rate, with pauses for garbage collection.

use crate::{Nanos, Operation, Request, SECOND, scale};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const PAGE_BYTES: u64 = 4096;
/// A linear congruential generator (Knuth's MMIX).
const FACTOR: u64 = 6_364_136_223_846_793_005;
const STEP: u64 = 1_442_695_040_888_963_407;

/// What one kind of request takes a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Beside its data.
    pub base_ns: u64,
    /// For each 4 KiB, begun ones too.
    pub page_ns: u64,
}

/// A write buffer and what happens behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// What it holds.
    pub size_bytes: u64,
    /// At which rate it drains.
    pub bytes_per_s: u64,
    /// Written bytes from one garbage collection to the next.
    pub collect_every_bytes: u64,
    /// How long one takes.
    pub collect_ns: u64,
    /// How many channels it takes.
    pub collect_channels: u64,
}

/// An SSD as a table of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsdParameters {
    /// Requests served at a time.
    pub channels: u64,
    /// Reads.
    pub read: Line,
    /// Writes.
    pub write: Line,
    /// A flush of an empty buffer.
    pub flush_ns: u64,
    /// Service times differ by up to this.
    pub spread_percent: u64,
    /// Where there is one.
    pub buffer: Option<Buffer>,
}

/// An SSD at work: one queue, first come first served, and whichever channel is free.
#[derive(Debug)]
pub struct Ssd {
    parameters: SsdParameters,
    free: u64,
    random: u64,
    /// `None`: a channel's garbage collection.
    waiting: VecDeque<Option<Request>>,
    /// End, number, name.
    serving: BinaryHeap<Reverse<(Nanos, u64, Option<u64>)>>,
    started: u64,
    /// What is in the buffer or waits to be, and when that was so.
    held_bytes: u64,
    held_at: Nanos,
    written_bytes: u64,
}

impl Ssd {
    /// Idle, with an empty buffer.
    pub fn new(parameters: SsdParameters) -> Self {
        Self {
            free: parameters.channels,
            parameters,
            random: 0,
            waiting: VecDeque::new(),
            serving: BinaryHeap::new(),
            started: 0,
            held_bytes: 0,
            held_at: 0,
            written_bytes: 0,
        }
    }

    /// Takes a request.
    pub fn submit(&mut self, request: Request, now: Nanos) {
        self.waiting.push_back(Some(request));
        self.start(now);
    }

    /// When the next channel will be done.
    pub fn next_completion(&self) -> Option<Nanos> {
        self.serving.peek().map(|Reverse((ends, _, _))| *ends)
    }

    /// Takes what that channel has done, and lets it go on.
    pub fn complete(&mut self) -> Option<u64> {
        let Reverse((ends, _, token)) = self.serving.pop()?;
        self.free += 1;
        self.start(ends);
        token
    }

    fn start(&mut self, now: Nanos) {
        while self.free > 0 {
            let Some(request) = self.waiting.pop_front() else { return };
            let duration_ns = self.duration_ns(request, now);
            self.free -= 1;
            self.started += 1;
            let token = request.map(|request| request.token);
            self.serving.push(Reverse((now.saturating_add(duration_ns), self.started, token)));
        }
    }

    fn duration_ns(&mut self, request: Option<Request>, now: Nanos) -> u64 {
        let Some(Request { operation, length_bytes, .. }) = request else {
            return self.parameters.buffer.as_ref().map_or(0, |buffer| buffer.collect_ns);
        };
        let pages = length_bytes.div_ceil(PAGE_BYTES);
        let by_line = |line: Line| line.base_ns.saturating_add(pages.saturating_mul(line.page_ns));
        let plain_ns = match operation {
            Operation::Read => by_line(self.parameters.read),
            Operation::Write => by_line(self.parameters.write),
            Operation::Flush => self.parameters.flush_ns,
        };
        let duration_ns = self.vary(plain_ns.max(1));
        let Some(buffer) = self.parameters.buffer.clone() else { return duration_ns };
        match operation {
            Operation::Read => duration_ns,
            Operation::Write => duration_ns.max(self.fill(&buffer, length_bytes, now)),
            Operation::Flush => {
                self.drain(&buffer, now);
                duration_ns + scale(self.held_bytes, SECOND, buffer.bytes_per_s)
            }
        }
    }

    fn vary(&mut self, duration_ns: u64) -> u64 {
        let widest = self.parameters.spread_percent.min(100);
        if widest == 0 {
            return duration_ns;
        }
        self.random = self.random.wrapping_mul(FACTOR).wrapping_add(STEP);
        let percent = 100 - widest + (self.random >> 33) % (2 * widest + 1);
        scale(duration_ns, percent, 100)
    }

    /// Puts data into the buffer; returns how long it takes until there is room.
    fn fill(&mut self, buffer: &Buffer, length_bytes: u64, now: Nanos) -> u64 {
        self.drain(buffer, now);
        self.held_bytes += length_bytes;
        self.written_bytes += length_bytes;
        if self.written_bytes >= buffer.collect_every_bytes {
            self.written_bytes -= buffer.collect_every_bytes;
            (0..buffer.collect_channels).for_each(|_| self.waiting.push_front(None));
        }
        scale(self.held_bytes.saturating_sub(buffer.size_bytes), SECOND, buffer.bytes_per_s)
    }

    fn drain(&mut self, buffer: &Buffer, now: Nanos) {
        let elapsed = now.saturating_sub(self.held_at);
        let drained_bytes = scale(elapsed, buffer.bytes_per_s, SECOND);
        if drained_bytes < self.held_bytes {
            // Only as far as whole bytes went, or many short steps would drain nothing.
            self.held_bytes -= drained_bytes;
            self.held_at += scale(drained_bytes, SECOND, buffer.bytes_per_s);
        } else {
            self.held_bytes = 0;
            self.held_at = now;
        }
    }
}
