//! First come, first served, with a bounded window towards the device.

use crate::scheduler::{Full, Next, Request, Scheduler, Token};
use crate::settings::Settings;
use crate::{ContextId, Nanos};
use std::collections::VecDeque;

/// The queue of one device.
#[derive(Debug)]
pub struct Fifo {
    queue: VecDeque<Request>,
    queued_max: usize,
    in_flight: usize,
    in_flight_max: usize,
}

impl Fifo {
    /// A queue that holds `queued_max` requests and gives the device `in_flight_max` at a time.
    pub fn new(queued_max: usize, in_flight_max: usize) -> Self {
        Self { queue: VecDeque::new(), queued_max, in_flight: 0, in_flight_max }
    }
}

impl Scheduler for Fifo {
    fn set(&mut self, _context: ContextId, _settings: Settings, _now: Nanos) {}

    fn set_window(&mut self, _window_ns: u64) {}

    fn push(&mut self, request: Request, _now: Nanos) -> Result<(), Full> {
        if self.queue.len() >= self.queued_max {
            return Err(Full);
        }
        self.queue.push_back(request);
        Ok(())
    }

    fn bypass(&mut self, _request: &Request, _now: Nanos) -> bool {
        let goes = self.queue.is_empty() && self.in_flight < self.in_flight_max;
        self.in_flight += usize::from(goes);
        goes
    }

    fn next(&mut self, _now: Nanos) -> Next {
        if self.in_flight >= self.in_flight_max {
            return if self.queue.is_empty() { Next::Idle } else { Next::WindowFull };
        }
        match self.queue.pop_front() {
            None => Next::Idle,
            Some(request) => {
                self.in_flight += 1;
                Next::Submit(request)
            }
        }
    }

    fn complete(&mut self, _cost_ns: u64) {
        debug_assert!(self.in_flight > 0, "completed more often than submitted");
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn remove(&mut self, _context: ContextId, token: Token, _now: Nanos) -> bool {
        let place = self.queue.iter().position(|request| request.token == token);
        place.and_then(|place| self.queue.remove(place)).is_some()
    }

    fn close(&mut self, context: ContextId) -> Vec<Token> {
        let mut removed = Vec::new();
        self.queue.retain(|request| {
            let keep = request.context != context;
            if !keep {
                removed.push(request.token);
            }
            keep
        });
        removed
    }

    fn wake_at(&self) -> Option<Nanos> {
        None
    }

    fn weights(&mut self, _context: ContextId) -> (u64, u64) {
        (1, 1)
    }

    fn queued(&self) -> usize {
        self.queue.len()
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::Fifo;
    use crate::ContextId;
    use crate::scheduler::{Full, Next, Request, Scheduler};

    fn request(context: u32, token: u64) -> Request {
        let context = ContextId { index: context, generation: 0 };
        Request { context, token, cost_ns: 1, length_bytes: 4096 }
    }

    #[test]
    fn order_window_and_limit() {
        let mut fifo = Fifo::new(3, 2);
        for token in 0..3 {
            assert_eq!(fifo.push(request(0, token), 0), Ok(()));
        }
        assert_eq!(fifo.push(request(0, 3), 0), Err(Full));
        assert_eq!(fifo.next(0), Next::Submit(request(0, 0)));
        assert_eq!(fifo.next(0), Next::Submit(request(0, 1)));
        assert_eq!(fifo.next(0), Next::WindowFull);
        fifo.complete(1);
        assert_eq!(fifo.next(0), Next::Submit(request(0, 2)));
        assert_eq!(fifo.next(0), Next::Idle);
    }

    #[test]
    fn what_is_removed_is_never_submitted() {
        let mut fifo = Fifo::new(9, 9);
        for token in 0..4 {
            fifo.push(request(u32::from(token > 1), token), 0).expect("room");
        }
        assert!(fifo.remove(request(0, 0).context, 0, 0));
        assert!(!fifo.remove(request(0, 0).context, 0, 0));
        assert_eq!(fifo.close(request(1, 0).context), [2, 3]);
        assert_eq!(fifo.next(0), Next::Submit(request(0, 1)));
        assert_eq!(fifo.next(0), Next::Idle);
    }
}
