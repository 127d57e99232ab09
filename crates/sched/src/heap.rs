//! A heap of flows by time, from which any flow can be taken: four children a node, and beside it
//! each flow's place.

use crate::table::Table;

const CHILDREN: u32 = 4;
const OUT: u32 = u32::MAX;

/// Where a flow is in the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u32);

impl Default for Place {
    fn default() -> Self {
        Self(OUT)
    }
}

type Entry = (u64, u32);

/// Flows by a time; equal times by the flow's number.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    entries: Table<Entry>,
    length: u32,
    places: Table<Place>,
}

impl Heap {
    /// The earliest.
    pub(crate) fn first(&self) -> Option<Entry> {
        self.entry(0)
    }

    /// Enters a flow that is not in it.
    pub(crate) fn enter(&mut self, time: u64, flow: u32) {
        debug_assert!(self.places.get(flow).is_none_or(|place| place.0 == OUT), "it is in once");
        if self.places.slot(flow).is_some() && self.entries.slot(self.length).is_some() {
            self.length += 1;
            self.settle(self.length - 1, (time, flow));
            self.rise(self.length - 1);
        }
    }

    /// Takes a flow out, if it is in it.
    pub(crate) fn leave(&mut self, flow: u32) {
        let Some(Place(place)) = self.places.get_mut(flow).map(std::mem::take) else { return };
        if place == OUT {
            return;
        }
        let Some(last) = self.entry(self.length - 1) else { return };
        self.length -= 1;
        if place < self.length {
            // What comes to this place from the end may belong further up or further down.
            self.settle(place, last);
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn entry(&self, place: u32) -> Option<Entry> {
        self.entries.get(place).copied().filter(|_| place < self.length)
    }

    fn settle(&mut self, place: u32, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
        }
        if let Some(known) = self.places.get_mut(entry.1) {
            *known = Place(place);
        }
    }

    fn rise(&mut self, mut place: u32) -> u32 {
        let Some(entry) = self.entry(place) else { return place };
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            let Some(above) = self.entry(parent).filter(|above| *above > entry) else { break };
            self.settle(place, above);
            place = parent;
        }
        self.settle(place, entry);
        place
    }

    fn sink(&mut self, mut place: u32) {
        let Some(entry) = self.entry(place) else { return };
        loop {
            let first = place * CHILDREN + 1;
            let children =
                (first..first + CHILDREN).map_while(|child| Some((child, self.entry(child)?)));
            let least = children.min_by_key(|(_, entry)| *entry);
            let Some((child, below)) = least.filter(|(_, below)| *below < entry) else { break };
            self.settle(place, below);
            place = child;
        }
        self.settle(place, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::Heap;

    #[test]
    fn flows_come_by_time_whatever_left_between() {
        let mut heap = Heap::default();
        // A walk through all of 0..101 in a mixed order.
        for flow in (0..101_u32).map(|n| n * 37 % 101) {
            heap.enter(u64::from(flow % 10), flow);
        }
        (0..101).filter(|flow| flow % 3 == 0).for_each(|flow| heap.leave(flow));
        heap.leave(3);
        let mut seen = Vec::new();
        while let Some((time, flow)) = heap.first() {
            heap.leave(flow);
            seen.push((time, flow));
        }
        let mut expected: Vec<_> =
            (0..101).filter(|f| f % 3 != 0).map(|f| (u64::from(f % 10), f)).collect();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }
}
