//! A heap of flows by time, from which any flow can be taken: four children a node, and beside it
//! each flow's place.

const CHILDREN: usize = 4;
const OUT: u32 = u32::MAX;

/// Flows by a time; equal times by the flow's number.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    entries: Vec<(u64, u32)>,
    places: Vec<u32>,
}

impl Heap {
    /// The earliest.
    pub(crate) fn first(&self) -> Option<(u64, u32)> {
        self.entries.first().copied()
    }

    /// Enters a flow that is not in it.
    pub(crate) fn enter(&mut self, time: u64, flow: u32) {
        let index = flow as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, OUT);
        }
        debug_assert_eq!(self.places.get(index), Some(&OUT), "a flow is in it once");
        self.entries.push((time, flow));
        self.rise(self.entries.len() - 1);
    }

    /// Takes a flow out, if it is in it.
    pub(crate) fn leave(&mut self, flow: u32) {
        if self.entries.is_empty() {
            return; // Without a look at the flow's place, which is far away when there are many.
        }
        let Some(place) = self.places.get_mut(flow as usize) else { return };
        let place = std::mem::replace(place, OUT);
        if place == OUT {
            return;
        }
        let place = place as usize;
        self.entries.swap_remove(place);
        if place < self.entries.len() {
            // What came to this place from the end may belong further up or further down.
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn settle(&mut self, place: usize, entry: (u64, u32)) {
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
        }
        if let Some(known) = self.places.get_mut(entry.1 as usize) {
            *known = place as u32;
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        let Some(entry) = self.entries.get(place).copied() else { return place };
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            let Some(above) = self.entries.get(parent).copied().filter(|above| *above > entry)
            else {
                break;
            };
            self.settle(place, above);
            place = parent;
        }
        self.settle(place, entry);
        place
    }

    fn sink(&mut self, mut place: usize) {
        let Some(entry) = self.entries.get(place).copied() else { return };
        loop {
            let first = place * CHILDREN + 1;
            let end = (first + CHILDREN).min(self.entries.len());
            let children = self.entries.get(first..end).unwrap_or_default();
            let least = (first..).zip(children.iter().copied()).min_by_key(|(_, child)| *child);
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
