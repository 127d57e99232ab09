//! Task buffers of one submitter: page aligned, in powers of two, bounded in total.
//!
//! The memory is reserved as address space at the start and becomes real when it is first
//! touched, so an idle target is small whatever its limit.

use std::io;
use std::ptr::NonNull;

/// Smallest buffer: one page, which also satisfies O_DIRECT everywhere.
pub const SMALLEST: usize = 4096;
/// Largest buffer: one piece of a command's data.
pub const LARGEST: usize = 1 << 20;
const CLASSES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;

/// A buffer. It must go back to the pool that it came from.
#[derive(Debug)]
#[must_use = "a buffer that is dropped is lost to its pool"]
pub struct Buffer {
    start: NonNull<u8>,
    class: u8,
}

impl Buffer {
    /// Size in bytes.
    pub fn capacity(&self) -> usize {
        SMALLEST << self.class
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the pool handed this range to nobody else, and its mapping outlives its buffers
        // (the submitter drops the pool last). The kernel writes to it only while the request is
        // in flight, when no reference is alive.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.capacity()) }
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; `&mut self` excludes every other reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.capacity()) }
    }

    /// Address of a byte, for the kernel. `offset` past the end is a fault of the caller.
    pub fn address(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.capacity(), "offset {offset} in {} bytes", self.capacity());
        self.start.as_ptr().wrapping_add(offset)
    }
}

/// The buffers of one submitter.
#[derive(Debug)]
pub struct Pool {
    base: NonNull<u8>,
    limit_bytes: usize,
    fresh: usize,
    free: [Vec<usize>; CLASSES],
    free_bytes: usize,
    /// Something was given back since neighbours were last joined.
    can_join: bool,
}

fn class_of(bytes: usize) -> Option<usize> {
    let pages = bytes.div_ceil(SMALLEST).max(1).next_power_of_two();
    Some(pages.ilog2() as usize).filter(|class| *class < CLASSES)
}

impl Pool {
    /// A pool of at most `limit_bytes`, at least one largest buffer.
    ///
    /// # Errors
    /// The address space cannot be had.
    pub fn new(limit_bytes: usize) -> io::Result<Self> {
        let limit_bytes = limit_bytes.max(LARGEST) / LARGEST * LARGEST;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                limit_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        let free = [const { Vec::new() }; CLASSES];
        Ok(Self { base, limit_bytes, fresh: 0, free, free_bytes: limit_bytes, can_join: false })
    }

    /// Bytes that nobody holds.
    pub fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// All bytes, free or not.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// A buffer of at least `bytes` for somebody who holds `held_bytes` already.
    ///
    /// Whoever holds buffers gets more only while as much is left for the others. Of N holders that
    /// all take what they can and give back in turn, none stays beyond 1/(N+1) of the pool; holders
    /// that never give back are found by their sessions' lack of progress.
    pub fn take(&mut self, bytes: usize, held_bytes: u64) -> Option<Buffer> {
        let class = class_of(bytes)?;
        let size = SMALLEST << class;
        let after = held_bytes + size as u64;
        if held_bytes > 0 && after > self.free_bytes as u64 {
            return None;
        }
        let place = self.carve(class).or_else(|| {
            if !std::mem::replace(&mut self.can_join, false) || self.free_bytes < size {
                return None;
            }
            self.merge();
            self.carve(class)
        })?;
        self.free_bytes -= size;
        let start = NonNull::new(self.base.as_ptr().wrapping_add(place))?;
        Some(Buffer { start, class: u8::try_from(class).ok()? })
    }

    /// Takes a buffer back.
    pub fn give_back(&mut self, buffer: Buffer) {
        let place = buffer.start.as_ptr() as usize - self.base.as_ptr() as usize;
        self.free_bytes += buffer.capacity();
        self.can_join = true;
        if let Some(free) = self.free.get_mut(usize::from(buffer.class)) {
            free.push(place);
        }
    }

    fn carve(&mut self, class: usize) -> Option<usize> {
        if let Some(place) = self.free.get_mut(class)?.pop() {
            return Some(place);
        }
        if class + 1 == CLASSES {
            let place = self.fresh;
            (place + LARGEST <= self.limit_bytes).then(|| self.fresh += LARGEST)?;
            return Some(place);
        }
        let place = self.carve(class + 1)?;
        self.free.get_mut(class)?.push(place + (SMALLEST << class));
        Some(place)
    }

    /// Joins free neighbours. Only when a size has run out: joining at every return would cost
    /// every small command a split and a join.
    fn merge(&mut self) {
        for class in 0..CLASSES - 1 {
            let size = SMALLEST << class;
            let mut places = std::mem::take(self.free.get_mut(class).unwrap_or(&mut Vec::new()));
            places.sort_unstable();
            let mut rest = places.as_slice();
            while let Some((&place, after)) = rest.split_first() {
                let is_pair = place % (2 * size) == 0 && after.first() == Some(&(place + size));
                let target = if is_pair { class + 1 } else { class };
                if let Some(free) = self.free.get_mut(target) {
                    free.push(place);
                }
                rest = after.get(usize::from(is_pair)..).unwrap_or(&[]);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and of this length; the submitter has given every buffer
        // back, or leaks the pool when the kernel still holds one.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.limit_bytes) };
    }
}

// SAFETY: the pool is the only owner of its mapping; it may move to its submitter's thread.
unsafe impl Send for Pool {}
// SAFETY: a buffer is the only owner of its range.
unsafe impl Send for Buffer {}

#[cfg(test)]
mod tests {
    use super::{LARGEST, Pool, SMALLEST};

    #[test]
    fn sizes_are_powers_of_two_and_aligned() {
        let mut pool = Pool::new(4 * LARGEST).expect("memory");
        for bytes in [1, SMALLEST, SMALLEST + 1, 70_000, LARGEST] {
            let mut buffer = pool.take(bytes, 0).expect("room");
            assert!(buffer.capacity() >= bytes && buffer.capacity().is_power_of_two());
            assert_eq!(buffer.address(0) as usize % SMALLEST, 0);
            buffer.bytes_mut().fill(0xA5);
            pool.give_back(buffer);
        }
        assert!(pool.take(LARGEST + 1, 0).is_none());
    }

    #[test]
    fn the_limit_holds_and_small_buffers_join_again() {
        let mut pool = Pool::new(2 * LARGEST).expect("memory");
        let pages: Vec<_> = std::iter::from_fn(|| pool.take(SMALLEST, 0)).collect();
        assert_eq!(pages.len(), 2 * LARGEST / SMALLEST);
        assert_eq!(pool.free_bytes(), 0);
        pages.into_iter().for_each(|page| pool.give_back(page));
        let (first, second) = (pool.take(LARGEST, 0), pool.take(LARGEST, 0));
        assert!(first.is_some() && second.is_some() && pool.take(SMALLEST, 0).is_none());
        first.into_iter().chain(second).for_each(|buffer| pool.give_back(buffer));
    }

    #[test]
    fn a_greedy_holder_leaves_half_to_the_next() {
        let mut pool = Pool::new(8 * LARGEST).expect("memory");
        let mut held = Vec::new();
        while let Some(buffer) = pool.take(LARGEST, (held.len() * LARGEST) as u64) {
            held.push(buffer);
        }
        assert_eq!(held.len(), 4);
        assert!(pool.take(LARGEST, 0).map(|buffer| pool.give_back(buffer)).is_some());
        held.into_iter().for_each(|buffer| pool.give_back(buffer));
    }

    #[test]
    fn no_two_buffers_overlap() {
        let mut pool = Pool::new(2 * LARGEST).expect("memory");
        let sizes = [4096, 8192, 4096, 65_536, 16_384, 4096, 262_144];
        let mut buffers: Vec<_> = sizes.iter().filter_map(|size| pool.take(*size, 0)).collect();
        for (mark, buffer) in (1..).zip(&mut buffers) {
            buffer.bytes_mut().fill(mark);
        }
        for (mark, buffer) in (1_u8..).zip(&buffers) {
            assert!(buffer.bytes().iter().all(|byte| *byte == mark));
        }
        buffers.into_iter().for_each(|buffer| pool.give_back(buffer));
    }
}
