//! The rings of contexts, beside a submitter's own: written here, entered by their keepers.
//!
//! The submitter's ring watches those on which something is in flight: one that has something to reap
//! is readable. The watch is for one wake-up, and made anew while anything is in flight; so when the
//! last has come back it ends by itself.

use crate::kernel::Producer;
use crate::kernel::ring::OUT_MAX;
use io_uring::squeue;
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// What a watch is known by: how often a ring was opened, and the context's index.
pub(super) type Watch = u64;

struct Place {
    producer: Producer,
    watch: Watch,
    in_flight: u32,
    /// What has no room in the ring.
    waiting: VecDeque<squeue::Entry>,
    is_watched: bool,
    /// Among those with something in flight.
    is_listed: bool,
    /// Something was written and not published.
    is_dirty: bool,
    /// Its keeper is gone: what is written is entered here.
    is_dead: bool,
}

impl Place {
    /// Writes a request, if with it no more are out than have room to come back; so many wait.
    ///
    /// # Safety
    /// As for [`Rings::push`].
    unsafe fn push(&mut self, entry: &squeue::Entry, waiting: usize) -> bool {
        let out = self.in_flight as usize - waiting;
        // SAFETY: as the caller promises.
        let pushed = out <= OUT_MAX as usize && unsafe { self.producer.push(entry) };
        self.is_dirty |= pushed;
        pushed
    }
}

/// All rings of one submitter, by the context's index.
#[derive(Default)]
pub(super) struct Rings {
    places: Vec<Option<Place>>,
    closing: Vec<Place>,
    /// Those with something in flight.
    active: Vec<u32>,
    opened: u64,
}

impl Rings {
    /// A context has a ring from now on. It had none.
    pub(super) fn open(&mut self, index: u32, producer: Producer) {
        debug_assert!(self.place(index).is_none(), "a context has a ring already");
        if self.places.len() <= index as usize {
            self.places.resize_with(index as usize + 1, || None);
        }
        self.opened += 1;
        let place = Place {
            producer,
            watch: (self.opened & 0xFF_FFFF) << 32 | u64::from(index),
            in_flight: 0,
            waiting: VecDeque::new(),
            is_watched: false,
            is_listed: false,
            is_dirty: false,
            is_dead: false,
        };
        if let Some(slot) = self.places.get_mut(index as usize) {
            *slot = Some(place);
        }
    }

    /// It has none any more. Nothing may be in flight. Returns a watch that has to be ended.
    pub(super) fn close(&mut self, index: u32) -> Option<Watch> {
        let place = self.places.get_mut(index as usize).and_then(Option::take)?;
        debug_assert_eq!(place.in_flight, 0, "a ring was closed with requests in flight");
        self.active.retain(|active| *active != index);
        if !place.is_watched {
            return None;
        }
        let watch = place.watch;
        self.closing.push(place);
        Some(watch)
    }

    /// There is a ring, and nothing is in flight on it.
    pub(super) fn is_idle(&self, index: u32) -> bool {
        self.place(index).is_some_and(|place| place.in_flight == 0)
    }

    /// Writes a request into a ring; false: there is none.
    ///
    /// # Safety
    /// What the entry points to stays alive and untouched until it comes back.
    pub(super) unsafe fn push(&mut self, index: u32, entry: squeue::Entry) -> bool {
        let Some(place) = self.places.get_mut(index as usize).and_then(Option::as_mut) else {
            return false;
        };
        place.in_flight += 1;
        // SAFETY: as the caller promises.
        if !place.waiting.is_empty() || !unsafe { place.push(&entry, 0) } {
            place.waiting.push_back(entry);
        }
        if !std::mem::replace(&mut place.is_listed, true) {
            self.active.push(index);
        }
        true
    }

    /// Lets keepers have what was written, and says which rings are to be watched.
    pub(super) fn publish(&mut self, mut watch: impl FnMut(RawFd, Watch)) {
        let Self { active, places, .. } = self;
        for index in active {
            let Some(place) = places.get_mut(*index as usize).and_then(Option::as_mut) else {
                continue;
            };
            if std::mem::take(&mut place.is_dirty) {
                place.producer.publish();
                if place.is_dead {
                    place.producer.enter_for_the_dead();
                }
            }
            if place.in_flight > 0 && !std::mem::replace(&mut place.is_watched, true) {
                watch(place.producer.descriptor(), place.watch);
            }
        }
    }

    /// A watch has ended.
    pub(super) fn woken(&mut self, watch: Watch) {
        let index = watch & u64::from(u32::MAX);
        let place = self.places.get_mut(index as usize).and_then(Option::as_mut);
        if let Some(place) = place.filter(|place| place.watch == watch) {
            place.is_watched = false;
        } else {
            self.closing.retain(|place| place.watch != watch);
        }
    }

    /// Takes what has come back.
    pub(super) fn reap(&mut self, mut take: impl FnMut(u64, i32)) {
        let Self { active, places, .. } = self;
        active.retain(|index| {
            let Some(place) = places.get_mut(*index as usize).and_then(Option::as_mut) else {
                return false;
            };
            let mut reaped = 0;
            place.producer.reap(|token, result| {
                reaped += 1;
                take(token, result);
            });
            place.in_flight = place.in_flight.saturating_sub(reaped);
            while let Some(entry) = place.waiting.pop_front() {
                // SAFETY: it was promised when it came that what it points to stays alive.
                if !unsafe { place.push(&entry, place.waiting.len()) } {
                    place.waiting.push_front(entry);
                    break;
                }
            }
            place.is_listed = place.in_flight > 0;
            place.is_listed
        });
    }

    /// Rings on which something was published and not entered.
    pub(super) fn not_entered(&self) -> impl Iterator<Item = u32> {
        let waits = |index: &&u32| self.place(**index).is_some_and(|p| p.producer.waiting() > 0);
        self.active.iter().filter(waits).copied()
    }

    /// The keeper of a ring is gone: what it has not entered is entered here, and what comes too.
    pub(super) fn enter_for_the_dead(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize).and_then(Option::as_mut) {
            place.is_dead = true;
            place.producer.enter_for_the_dead();
        }
    }

    fn place(&self, index: u32) -> Option<&Place> {
        self.places.get(index as usize)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::Rings;
    use crate::kernel::ring::{OUT_MAX, Ring};
    use crate::kernel::{Kernel, Producer};
    use io_uring::opcode;
    use std::sync::Arc;

    #[test]
    fn no_more_are_out_than_have_room_to_come_back() {
        let Ok(built) = Ring::build(None) else { return };
        let place = Kernel::default().place(1).expect("room for one");
        let ring = Arc::new(Ring::new(built, place));
        let desk = Arc::default();
        let producer = Producer::new(Arc::clone(&ring), desk, std::thread::current());
        let mut rings = Rings::default();
        rings.open(3, producer);
        let all = 4 * u64::from(OUT_MAX);
        // This thread is the keeper as well. Nothing is reaped: what came back lies there.
        for number in 0..all {
            // SAFETY: it points to nothing.
            assert!(unsafe { rings.push(3, opcode::Nop::new().build().user_data(number)) });
            rings.publish(|_, _| ());
            ring.enter();
        }
        let mut came = Vec::new();
        for _ in 0..all {
            rings.reap(|number, result| came.push((number, result)));
            rings.publish(|_, _| ());
            ring.enter();
        }
        assert!(came.iter().copied().eq((0..all).map(|number| (number, 0))), "each once, in order");
        assert!(rings.is_idle(3));
    }
}
