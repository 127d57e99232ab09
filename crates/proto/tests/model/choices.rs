//! Decisions read from bytes, so that a fuzzer or a shrinker can steer them.

/// The decisions that are left.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next decision; `None`: there are no more.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// 0..limit; 0 when there are no more.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let low = u32::from(self.next().unwrap_or(0));
        let value = if limit > 256 { low << 8 | u32::from(self.next().unwrap_or(0)) } else { low };
        value % limit.max(1)
    }

    /// True once in `count` times, and never when there are no more.
    pub(crate) fn one_in(&mut self, count: u32) -> bool {
        self.next().is_some_and(|byte| u32::from(byte) % count == count - 1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u32) as usize]
    }
}
