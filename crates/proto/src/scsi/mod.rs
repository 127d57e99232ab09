//! SCSI: what a CDB asks for, by the command table that Python supplies, and sense data.

pub mod lun;
pub mod sense;
pub mod table;

/// SCSI status codes. Spec: SAM-5, status.
pub mod status {
    /// GOOD.
    pub const GOOD: u8 = 0x00;
    /// CHECK CONDITION: sense data says why.
    pub const CHECK_CONDITION: u8 = 0x02;
    /// BUSY: the logical unit cannot take the command now.
    pub const BUSY: u8 = 0x08;
    /// RESERVATION CONFLICT.
    pub const RESERVATION_CONFLICT: u8 = 0x18;
    /// TASK SET FULL: the queue for this nexus is at its limit.
    pub const TASK_SET_FULL: u8 = 0x28;
    /// TASK ABORTED.
    pub const TASK_ABORTED: u8 = 0x40;
}
