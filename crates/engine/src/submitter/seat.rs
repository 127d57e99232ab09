//! By what means a request goes, where the kernel is to see for whom it is.
//!
//! A context without means of its own, or not yet, submits as everybody does: nobody waits for a
//! keeper. Each ring has one producer: a context that is used at two submitters has a ring at each,
//! entered by one keeper in one io_context, and data never moves.

use super::Submitter;
use crate::driver::Steer;
use crate::kernel::steward::Errand;
use crate::kernel::{Means, Mode};
use crate::operation::Operation;
use crate::volume::Volume;
use fairlead_sched::seats::{Route, Ticket};
use fairlead_sched::{ContextId, Nanos};

/// A ring that was not used for so long makes room for a context of another submitter.
const UNUSED_NS: Nanos = 1_000_000_000;

impl Submitter {
    /// By what means the next request of a context goes to this volume.
    pub(super) fn steer(
        &mut self,
        volume: &Volume,
        context: ContextId,
        operation: &Operation,
    ) -> Steer {
        let mode = volume.spec.kernel_context;
        if mode == Mode::Off || volume.descriptor().is_none() {
            return Steer::None;
        }
        if mode == Mode::Ring && volume.blocking.includes(operation.kind) {
            // A thread of the pool carries it out.
            return Steer::None;
        }
        // Alone on its device, or under an elevator that does not look, nobody is told apart. A ring
        // that is polled costs the submitter less than its own.
        let polled = self.shared.options.kernel.polled_ms.is_some();
        if mode == Mode::Ring && !self.is_told_apart(volume, context, polled) {
            return Steer::None;
        }
        let Self { seats, driver, shared, index, now, .. } = self;
        let rings_max = shared.options.kernel.rings_max;
        let mut place = None;
        let has_room = || {
            place = if mode == Mode::Ring { shared.kernel.place(rings_max) } else { None };
            mode != Mode::Ring || place.is_some()
        };
        let route = seats.route(context, *now, has_room, |index| driver.is_ring_idle(index));
        match route {
            Route::By(steer) => return steer,
            Route::Plain => {}
            Route::TakeAway(index) => driver.close_ring(index),
            Route::Fetch(ticket) => {
                let (submitter, device) = (*index, volume.device);
                let errand = Errand::Fetch { context, submitter, ticket, mode, device, place };
                shared.kernel.send(errand);
            }
        }
        Steer::None
    }

    fn is_told_apart(&mut self, volume: &Volume, context: ContextId, polled: bool) -> bool {
        let here = self.index;
        let queue = self.queue(volume);
        let tenure = &queue.tenure;
        let is_shared =
            if tenure.asks(here, context) { tenure.is_shared } else { queue.is_shared() };
        queue.elevator_sees() && (polled || is_shared)
    }

    /// A context has means, or there are none.
    pub(super) fn seat(
        &mut self,
        context: ContextId,
        ticket: Ticket,
        means: Result<Means, String>,
    ) {
        let now = self.now;
        match means {
            Ok(Means::Ring(ring)) => {
                // Dropped where nobody waits for it: that closes it.
                if self.seats.given(context, ticket, Steer::Ring(context.index), now) {
                    self.driver.open_ring(context.index, ring);
                }
            }
            Ok(Means::Steer(steer)) => {
                self.seats.given(context, ticket, steer, now);
            }
            Err(reason) => {
                if self.seats.refused(context, ticket, now) {
                    self.shared.kernel_refuses(context, reason);
                }
            }
        }
    }

    /// A context has left; nothing of it is in flight here.
    pub(super) fn leave_seat(&mut self, context: ContextId) {
        if self.seats.left(context) {
            self.driver.close_ring(context.index);
            let submitter = self.index;
            self.shared.kernel.send(Errand::Left { context, submitter });
        }
    }

    /// Looks after rings: whose keepers have not taken what they should have, and which nobody uses
    /// while there is no room for others.
    pub(super) fn look_at_rings(&mut self) {
        let now = self.now;
        for index in self.driver.rings_not_entered() {
            let Some(context) = self.seats.context(index) else { continue };
            if self.shared.kernel.has_lost_its_keeper(context) {
                self.driver.enter_for_the_dead(index);
                self.shared.kernel_refuses(context, "its keeper is gone".into());
            }
        }
        if self.shared.kernel.rings() >= self.shared.options.kernel.rings_max {
            let Self { seats, driver, .. } = self;
            for index in seats.take_idle(now, UNUSED_NS, |index| driver.is_ring_idle(index)) {
                driver.close_ring(index);
            }
        }
    }
}
