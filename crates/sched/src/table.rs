//! A table by number that grows without moving what is in it: no call pays for the size of the rest.

/// Elements of a chunk. One is made at a time, so it is small; the pointers to all are few.
const CHUNK: usize = 512;

/// Chunks of elements; those that nobody asked for are not there.
#[derive(Debug)]
pub(crate) struct Table<T> {
    chunks: Vec<Option<Box<[T; CHUNK]>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

fn split(number: u32) -> (usize, usize) {
    (number as usize / CHUNK, number as usize % CHUNK)
}

impl<T> Table<T> {
    /// An element, if its chunk is there.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, place) = split(number);
        self.chunks.get(chunk)?.as_deref()?.get(place)
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, place) = split(number);
        self.chunks.get_mut(chunk)?.as_deref_mut()?.get_mut(place)
    }
}

impl<T: Default> Table<T> {
    /// The same; makes the chunk if it is not there.
    #[inline]
    pub(crate) fn slot(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, place) = split(number);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let chunk = self.chunks.get_mut(chunk)?;
        if chunk.is_none() {
            *chunk = Self::make();
        }
        chunk.as_deref_mut()?.get_mut(place)
    }

    #[cold]
    fn make() -> Option<Box<[T; CHUNK]>> {
        let elements: Box<[T]> = std::iter::repeat_with(T::default).take(CHUNK).collect();
        elements.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Table};

    #[test]
    fn only_what_is_asked_for_is_made_and_nothing_moves() {
        let mut table = Table::<u64>::default();
        let far = 10 * CHUNK as u32 + 7;
        *table.slot(far).unwrap() = 1;
        assert_eq!((table.get(far), table.get(far - 1)), (Some(&1), Some(&0)));
        assert_eq!((table.get(7), table.get(u32::MAX)), (None, None));
        let place: *const u64 = table.get(far).unwrap();
        for number in 0..100 * CHUNK as u32 {
            *table.slot(number).unwrap() += 1;
        }
        assert!(std::ptr::eq(place, table.get(far).unwrap()));
        assert_eq!(table.get_mut(far), Some(&mut 2));
    }
}
