//! What a volume can be asked to do, and how its answers become sense data.

use crate::passthrough::Direction;
use fairlead_proto::scsi::sense::Sense;

/// The kinds of request that a volume serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Medium to buffer.
    Read,
    /// Buffer to medium; answered when the volume's cache has it.
    Write,
    /// Buffer to stable storage.
    WriteStable,
    /// Everything written so far to stable storage.
    Flush,
    /// Deallocate; the range reads as zeroes afterwards.
    Discard,
    /// Write zeroes.
    Zero,
    /// Read ahead.
    Prefetch,
    /// A command as it came, for a device that carries it out itself.
    Pass(Direction),
}

impl Kind {
    /// It changes the medium.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::WriteStable | Self::Discard | Self::Zero)
    }

    /// It moves bytes between buffer and medium.
    pub fn moves_bytes(self) -> bool {
        self.is_divisible() || matches!(self, Self::Pass(Direction::In | Direction::Out))
    }

    /// It can be carried out in pieces, one after the other.
    pub fn is_divisible(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::WriteStable)
    }

    /// It goes by a link, and not to a file or to memory.
    pub fn is_passed(self) -> bool {
        matches!(self, Self::Pass(_))
    }
}

/// One request to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// What to do.
    pub kind: Kind,
    /// First byte on the medium.
    pub offset_bytes: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// Where in the task's buffer.
    pub buffer_offset: usize,
}

/// The sense data for an errno: the only place where the two vocabularies meet.
pub fn sense_for(kind: Kind, errno: i32) -> Sense {
    match errno {
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => Sense::SPACE_ALLOCATION_FAILED,
        libc::EROFS | libc::EPERM | libc::EBADF => Sense::WRITE_PROTECTED,
        libc::ENXIO | libc::ENODEV | libc::ESHUTDOWN => Sense::NOT_READY,
        _ if kind == Kind::Read || kind == Kind::Prefetch => Sense::READ_ERROR,
        _ => Sense::WRITE_ERROR,
    }
}

/// Errno by which a volume says that it refuses writes after a failed flush.
pub const REFUSES_WRITES: i32 = libc::EHWPOISON;

#[cfg(test)]
mod tests {
    use super::{Kind, sense_for};
    use fairlead_proto::scsi::sense::Sense;

    #[test]
    fn errors_become_the_sense_of_what_was_tried() {
        assert_eq!(sense_for(Kind::Read, libc::EIO), Sense::READ_ERROR);
        assert_eq!(sense_for(Kind::Flush, libc::EIO), Sense::WRITE_ERROR);
        assert_eq!(sense_for(Kind::Write, libc::ENOSPC), Sense::SPACE_ALLOCATION_FAILED);
        assert_eq!(sense_for(Kind::Write, libc::EROFS), Sense::WRITE_PROTECTED);
    }
}
