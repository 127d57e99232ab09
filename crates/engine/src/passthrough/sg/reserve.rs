//! The driver's own buffer of a descriptor. It goes from command to command as it is, and not every
//! adapter says how much of it a device has filled: what one client had read would come back to the
//! next. Larger buffers the driver makes anew, of zeroes. So this one is as small as it can be, and we
//! clear it. Spec: Linux, drivers/scsi/sg.c, `sg_start_req`, `sg_build_indirect`, `sg_mmap`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

const SG_SET_RESERVED_SIZE: libc::Ioctl = 0x2275;
const SG_GET_RESERVED_SIZE: libc::Ioctl = 0x2272;
/// The least that the driver keeps: a page.
pub(super) const RESERVE_BYTES: usize = 4096;

/// The buffer, mapped.
#[derive(Debug)]
pub(super) struct Reserve {
    page: NonNull<u8>,
}

// SAFETY: the mapping is of the process, and this is its only owner.
unsafe impl Send for Reserve {}

impl Reserve {
    /// Makes a descriptor's buffer small, and maps it.
    ///
    /// # Errors
    /// The driver refuses.
    pub(super) fn of(fd: &OwnedFd) -> io::Result<Self> {
        let mut bytes: i32 = 0;
        // SAFETY: the ioctl reads one int of ours.
        let set = unsafe { libc::ioctl(fd.as_raw_fd(), SG_SET_RESERVED_SIZE, &raw const bytes) };
        // SAFETY: the ioctl writes one int of ours.
        let got = unsafe { libc::ioctl(fd.as_raw_fd(), SG_GET_RESERVED_SIZE, &raw mut bytes) };
        if set < 0 || got < 0 {
            return Err(io::Error::last_os_error());
        }
        if usize::try_from(bytes) != Ok(RESERVE_BYTES) {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, fd.as_raw_fd());
        // SAFETY: a mapping at an address of the kernel's choice touches nothing of ours.
        let page = unsafe {
            libc::mmap(std::ptr::null_mut(), RESERVE_BYTES, access, libc::MAP_SHARED, fd, 0)
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = NonNull::new(page.cast()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        Ok(Self { page })
    }

    /// Forgets what is in it. No command may have it.
    pub(super) fn clear(&mut self) {
        // SAFETY: the mapping is of this length and ours alone; the driver writes to it only for a
        // command.
        unsafe { self.page.write_bytes(0, RESERVE_BYTES) };
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and of this length, and nobody uses it any more.
        unsafe { libc::munmap(self.page.as_ptr().cast(), RESERVE_BYTES) };
    }
}
