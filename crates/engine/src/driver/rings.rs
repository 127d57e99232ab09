//! The rings of contexts, beside a submitter's own: written here, entered by their keepers.
//!
//! The submitter's ring watches those on which something is in flight: one that has something to reap
//! is readable. The watch is for one wake-up, and made anew while anything is in flight; so when the
//! last has come back it ends by itself.

use crate::kernel::Producer;
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
    /// Closed as soon as it is not watched any more.
    is_closing: bool,
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
    /// A context has a ring from now on.
    pub(super) fn open(&mut self, index: u32, producer: Producer) {
        self.close(index);
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
            is_closing: false,
        };
        if let Some(slot) = self.places.get_mut(index as usize) {
            *slot = Some(place);
        }
    }

    /// It has none any more. Nothing may be in flight.
    pub(super) fn close(&mut self, index: u32) {
        let Some(mut place) = self.places.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        debug_assert_eq!(place.in_flight, 0, "a ring was closed with requests in flight");
        self.active.retain(|active| *active != index);
        if place.is_watched || place.in_flight > 0 {
            place.is_closing = true;
            self.closing.push(place);
        }
    }

    /// Nothing is in flight there.
    pub(super) fn is_idle(&self, index: u32) -> bool {
        self.place(index).is_none_or(|place| place.in_flight == 0)
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
        if !place.waiting.is_empty() || !unsafe { place.producer.push(&entry) } {
            place.waiting.push_back(entry);
        }
        place.is_dirty = true;
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
            while let Some(entry) = place.waiting.front() {
                // SAFETY: it was promised when it came that what it points to stays alive.
                if !unsafe { place.producer.push(entry) } {
                    break;
                }
                place.waiting.pop_front();
                place.is_dirty = true;
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

    /// The keeper of a ring is gone: what it has not entered is entered here.
    pub(super) fn enter_for_the_dead(&mut self, index: u32) {
        if let Some(place) = self.place(index) {
            place.producer.enter_for_the_dead();
        }
    }

    fn place(&self, index: u32) -> Option<&Place> {
        self.places.get(index as usize)?.as_ref()
    }
}
