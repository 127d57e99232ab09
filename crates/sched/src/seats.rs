//! By which means a submitter submits in each context: which it has, which it may ask for, which give
//! way. Pure; what means are (a ring, a priority) is not known here.

use crate::{ContextId, Nanos};

/// A means that was not used for so long may give way to another context's.
pub const IDLE_NS: Nanos = 100_000_000;
/// Asking again after a refusal.
pub const RETRY_NS: Nanos = 10_000_000_000;
/// Looking again for means that may give way: there may be many.
const LOOK_NS: Nanos = 10_000_000;

/// What was asked for: whatever comes for another ticket comes too late.
pub type Ticket = u64;

/// How the next request of a context goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<M> {
    /// By its own means.
    By(M),
    /// As everybody's.
    Plain,
    /// As everybody's, and its means should be fetched, with this ticket: [`Seats::given`] or
    /// [`Seats::refused`] follows.
    Fetch(Ticket),
    /// As everybody's, and the means of the context with this index should be taken away, to make
    /// room.
    TakeAway(u32),
}

#[derive(Debug)]
enum State<M> {
    /// Without, and not to be asked before then.
    Without {
        not_before: Nanos,
    },
    Asked {
        ticket: Ticket,
    },
    Has {
        means: M,
        used_at: Nanos,
    },
}

#[derive(Debug)]
struct Seat<M> {
    id: ContextId,
    state: State<M>,
}

/// The means of one submitter's contexts.
#[derive(Debug)]
pub struct Seats<M> {
    seats: Vec<Option<Seat<M>>>,
    look_at: Nanos,
    tickets: Ticket,
}

impl<M> Default for Seats<M> {
    fn default() -> Self {
        Self { seats: Vec::new(), look_at: 0, tickets: 0 }
    }
}

impl<M: Copy> Seats<M> {
    /// How a request of this context goes.
    ///
    /// `has_room` is asked, and with it the room is taken, before something is fetched; `is_idle`
    /// says whether nothing is in flight by the means of the context with that index.
    pub fn route(
        &mut self,
        id: ContextId,
        now: Nanos,
        has_room: impl FnOnce() -> bool,
        is_idle: impl Fn(u32) -> bool,
    ) -> Route<M> {
        let index = id.index as usize;
        if self.seats.len() <= index {
            self.seats.resize_with(index + 1, || None);
        }
        let Some(seat) = self.seats.get_mut(index) else { return Route::Plain };
        let fresh = || Seat { id, state: State::Without { not_before: 0 } };
        let seat = match seat {
            Some(seat) if seat.id == id => seat,
            seat => seat.insert(fresh()),
        };
        match &mut seat.state {
            State::Has { means, used_at } => {
                *used_at = now;
                Route::By(*means)
            }
            State::Asked { .. } => Route::Plain,
            State::Without { not_before } if *not_before > now => Route::Plain,
            State::Without { .. } if has_room() => {
                self.tickets += 1;
                seat.state = State::Asked { ticket: self.tickets };
                Route::Fetch(self.tickets)
            }
            State::Without { .. } => match self.longest_idle(now, is_idle) {
                Some(index) => Route::TakeAway(index),
                None => Route::Plain,
            },
        }
    }

    /// Takes the means that were used least lately away, if that is long ago.
    fn longest_idle(&mut self, now: Nanos, is_idle: impl Fn(u32) -> bool) -> Option<u32> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK_NS;
        let idle = self.seats.iter_mut().flatten().filter_map(|seat| match seat.state {
            State::Has { used_at, .. } if now.saturating_sub(used_at) >= IDLE_NS => {
                is_idle(seat.id.index).then_some((used_at, seat))
            }
            _ => None,
        });
        let (_, seat) = idle.min_by_key(|(used_at, _)| *used_at)?;
        seat.state = State::Without { not_before: 0 };
        Some(seat.id.index)
    }

    /// The means that were asked for with this ticket; false: nobody waits for them.
    pub fn given(&mut self, id: ContextId, ticket: Ticket, means: M, now: Nanos) -> bool {
        self.awaiting(id, ticket).is_some_and(|seat| {
            seat.state = State::Has { means, used_at: now };
            true
        })
    }

    /// Other means than before, for a context that has some.
    pub fn change(&mut self, id: ContextId, to: M) {
        if let Some(State::Has { means, .. }) = self.seat(id).map(|seat| &mut seat.state) {
            *means = to;
        }
    }

    /// There are none for this ticket; false: nobody waits for them.
    pub fn refused(&mut self, id: ContextId, ticket: Ticket, now: Nanos) -> bool {
        self.awaiting(id, ticket).is_some_and(|seat| {
            seat.state = State::Without { not_before: now + RETRY_NS };
            true
        })
    }

    /// The context has left. True: it had asked for means.
    pub fn left(&mut self, id: ContextId) -> bool {
        let place = self.seats.get_mut(id.index as usize);
        place.is_some_and(|place| place.take_if(|seat| seat.id == id).is_some())
    }

    /// Takes away what was not used for so long; returns whose, by index.
    pub fn take_idle(
        &mut self,
        now: Nanos,
        idle_ns: Nanos,
        is_idle: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let seats = self.seats.iter_mut().flatten();
        let idle = seats.filter(|seat| match seat.state {
            State::Has { used_at, .. } => {
                now.saturating_sub(used_at) >= idle_ns && is_idle(seat.id.index)
            }
            _ => false,
        });
        idle.map(|seat| {
            seat.state = State::Without { not_before: 0 };
            seat.id.index
        })
        .collect()
    }

    /// The context with this index.
    pub fn context(&self, index: u32) -> Option<ContextId> {
        self.seats.get(index as usize)?.as_ref().map(|seat| seat.id)
    }

    fn awaiting(&mut self, id: ContextId, ticket: Ticket) -> Option<&mut Seat<M>> {
        let is_awaited = |state: &State<M>| match state {
            State::Asked { ticket: asked } => *asked == ticket,
            _ => false,
        };
        self.seat(id).filter(|seat| is_awaited(&seat.state))
    }

    fn seat(&mut self, id: ContextId) -> Option<&mut Seat<M>> {
        self.seats.get_mut(id.index as usize)?.as_mut().filter(|seat| seat.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::{IDLE_NS, RETRY_NS, Route, Seats, Ticket};
    use crate::{ContextId, Nanos};

    fn id(index: u32) -> ContextId {
        ContextId { index, generation: 0 }
    }

    const ROOM: fn() -> bool = || true;
    const NO_ROOM: fn() -> bool = || false;
    const IDLE: fn(u32) -> bool = |_| true;

    fn fetch(seats: &mut Seats<char>, id: ContextId, now: Nanos) -> Ticket {
        match seats.route(id, now, ROOM, IDLE) {
            Route::Fetch(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn seats_with(contexts: u32) -> Seats<char> {
        let mut seats = Seats::default();
        for index in 0..contexts {
            let ticket = fetch(&mut seats, id(index), 0);
            assert!(seats.given(id(index), ticket, 'r', u64::from(index)));
        }
        seats
    }

    #[test]
    fn requests_go_as_everybodys_until_means_are_given() {
        let mut seats = Seats::default();
        seats.change(id(3), 'c');
        let ticket = fetch(&mut seats, id(3), 0);
        seats.change(id(3), 'c');
        assert_eq!(seats.route(id(3), 1, ROOM, IDLE), Route::Plain, "asked once");
        assert!(seats.given(id(3), ticket, 'a', 2));
        assert_eq!(seats.route(id(3), 3, ROOM, IDLE), Route::By('a'));
        seats.change(id(3), 'b');
        assert_eq!(seats.route(id(3), 5, ROOM, IDLE), Route::By('b'), "another priority");
    }

    #[test]
    fn a_refusal_is_not_asked_about_for_a_while() {
        let mut seats = Seats::<char>::default();
        let ticket = fetch(&mut seats, id(0), 0);
        assert!(!seats.refused(id(0), ticket + 1, 7));
        assert!(seats.refused(id(0), ticket, 7));
        assert_eq!(seats.route(id(0), 6 + RETRY_NS, ROOM, IDLE), Route::Plain);
        fetch(&mut seats, id(0), 7 + RETRY_NS);
    }

    #[test]
    fn the_least_lately_used_gives_way_when_it_is_idle() {
        let mut seats = seats_with(3);
        assert_eq!(seats.route(id(0), 50, NO_ROOM, IDLE), Route::By('r'));
        assert_eq!(seats.route(id(9), 60, NO_ROOM, IDLE), Route::Plain, "all were used lately");
        let later = 2 * IDLE_NS;
        let busy = |index| index != 1;
        assert_eq!(seats.route(id(9), later, NO_ROOM, busy), Route::TakeAway(2));
        assert_eq!(seats.route(id(9), later, NO_ROOM, IDLE), Route::Plain, "one at a time");
        fetch(&mut seats, id(9), later);
        fetch(&mut seats, id(2), later);
    }

    #[test]
    fn what_nobody_uses_is_taken_for_whoever_wants_it_elsewhere() {
        let mut seats = seats_with(3);
        assert_eq!(seats.route(id(0), IDLE_NS, NO_ROOM, IDLE), Route::By('r'));
        assert_eq!(seats.take_idle(IDLE_NS + 2, IDLE_NS, |index| index != 1), [2]);
        assert_eq!(seats.take_idle(IDLE_NS + 2, IDLE_NS, IDLE), [1]);
        assert_eq!(seats.context(1), Some(id(1)), "it may ask again");
    }

    #[test]
    fn who_has_left_is_given_nothing() {
        let mut seats = seats_with(1);
        assert!(seats.left(id(0)));
        assert!(!seats.left(id(0)) && !seats.left(id(7)));
        assert!(!seats.given(id(0), 1, 'x', 1));
        let next = ContextId { index: 0, generation: 1 };
        let ticket = fetch(&mut seats, next, 1);
        assert!(!seats.given(id(0), ticket, 'x', 1), "a stale name");
        assert_eq!(seats.context(0), Some(next));
    }

    #[test]
    fn what_was_asked_for_before_the_context_left_comes_too_late_when_it_is_back() {
        let mut seats = Seats::default();
        let first = fetch(&mut seats, id(0), 0);
        assert!(seats.left(id(0)));
        let second = fetch(&mut seats, id(0), 1);
        assert!(!seats.given(id(0), first, 'x', 2));
        assert!(!seats.refused(id(0), first, 2));
        assert!(seats.given(id(0), second, 'y', 3));
        assert!(!seats.given(id(0), second, 'z', 4), "once");
        assert_eq!(seats.route(id(0), 5, ROOM, IDLE), Route::By('y'));
    }

    #[test]
    fn means_that_were_taken_away_meanwhile_are_not_changed() {
        let mut seats = seats_with(1);
        assert_eq!(seats.route(id(5), IDLE_NS, NO_ROOM, IDLE), Route::TakeAway(0));
        seats.change(id(0), 'x');
        fetch(&mut seats, id(0), IDLE_NS);
    }
}
