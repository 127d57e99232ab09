//! A volume in memory: sparse, and safe for any number of submitters.

use crate::operation::{Kind, Operation};
use std::io;
use std::ptr::NonNull;
use std::sync::Mutex;

/// Requests to different stripes do not meet.
const STRIPE_BYTES: u64 = 1 << 20;
const LOCKS: usize = 64;
const PAGE_BYTES: u64 = 4096;

/// The bytes.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    size_bytes: usize,
    locks: [Mutex<()>; LOCKS],
}

// SAFETY: every access to the mapping happens under the lock of its stripe.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Reserves the address space; pages become real when they are written.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn new(size_bytes: u64) -> io::Result<Self> {
        let size_bytes = usize::try_from(size_bytes).map_err(io::Error::other)?;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_bytes,
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
        Ok(Self { base, size_bytes, locks: [const { Mutex::new(()) }; LOCKS] })
    }

    /// Carries out a request at once.
    ///
    /// # Errors
    /// An errno.
    pub fn execute(&self, operation: &Operation, buffer: &mut [u8]) -> Result<(), i32> {
        let end = operation.offset_bytes.checked_add(operation.length_bytes).ok_or(libc::EINVAL)?;
        if end > self.size_bytes as u64 {
            return Err(libc::EINVAL);
        }
        let mut at = operation.offset_bytes;
        while at < end {
            let stripe_end = (at / STRIPE_BYTES + 1) * STRIPE_BYTES;
            let length = usize::try_from(stripe_end.min(end) - at).map_err(|_| libc::EINVAL)?;
            let done = usize::try_from(at - operation.offset_bytes).map_err(|_| libc::EINVAL)?;
            let start = operation.buffer_offset + done;
            self.stripe(operation.kind, at, length, || {
                buffer.get_mut(start..start + length).ok_or(libc::EINVAL)
            })?;
            at += length as u64;
        }
        Ok(())
    }

    fn stripe<'b>(
        &self,
        kind: Kind,
        at: u64,
        length: usize,
        buffer: impl FnOnce() -> Result<&'b mut [u8], i32>,
    ) -> Result<(), i32> {
        let lock = usize::try_from(at / STRIPE_BYTES).unwrap_or(0) % LOCKS;
        let lock = self.locks.get(lock).ok_or(libc::EINVAL)?;
        let place = self.base.as_ptr().wrapping_add(usize::try_from(at).map_err(|_| libc::EINVAL)?);
        let _held = lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: `execute` has checked that the range lies in the mapping and in one stripe, and
        // the stripe's lock is held, so no other slice of it exists.
        let bytes = unsafe { std::slice::from_raw_parts_mut(place, length) };
        match kind {
            Kind::Read => buffer()?.copy_from_slice(bytes),
            Kind::Write | Kind::WriteStable => bytes.copy_from_slice(buffer()?),
            Kind::Discard | Kind::Zero
                if at % PAGE_BYTES == 0 && length as u64 % PAGE_BYTES == 0 =>
            {
                // SAFETY: whole pages of our own private mapping: they read as zeroes afterwards,
                // and take no memory.
                unsafe { libc::madvise(place.cast(), length, libc::MADV_DONTNEED) };
            }
            Kind::Discard | Kind::Zero => bytes.fill(0),
            Kind::Flush | Kind::Prefetch | Kind::Pass(_) => {}
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and of this length, and nobody can reach it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use crate::operation::{Kind, Operation};

    fn operation(kind: Kind, offset_bytes: u64, length_bytes: u64) -> Operation {
        Operation { kind, offset_bytes, length_bytes, buffer_offset: 0 }
    }

    #[test]
    fn what_was_written_is_read_across_stripes_and_zeroed() {
        let memory = Memory::new(3 << 20).expect("memory");
        let mut data: Vec<u8> = (0..8192_u32).map(|i| i as u8 | 1).collect();
        let at = (1 << 20) - 4096;
        assert_eq!(memory.execute(&operation(Kind::Write, at, 8192), &mut data), Ok(()));
        let mut read = vec![0; 8192];
        assert_eq!(memory.execute(&operation(Kind::Read, at, 8192), &mut read), Ok(()));
        assert_eq!(read, data);
        assert_eq!(memory.execute(&operation(Kind::Discard, at, 4096), &mut []), Ok(()));
        assert_eq!(memory.execute(&operation(Kind::Read, at, 8192), &mut read), Ok(()));
        assert!(read[..4096].iter().all(|byte| *byte == 0) && read[4096..] == data[4096..]);
    }

    #[test]
    fn outside_is_refused() {
        let memory = Memory::new(4096).expect("memory");
        let mut data = [0; 4096];
        let result = memory.execute(&operation(Kind::Read, 4096, 1), &mut data);
        assert_eq!(result, Err(libc::EINVAL));
        let result = memory.execute(&operation(Kind::Read, u64::MAX, 2), &mut data);
        assert_eq!(result, Err(libc::EINVAL));
    }
}
