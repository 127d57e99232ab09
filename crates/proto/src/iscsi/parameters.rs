//! What login negotiated. Spec: RFC 7143 §13.

/// The negotiated parameters and sequence numbers of a connection in full-feature phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Target session identifying handle.
    pub tsih: u16,
    /// The next CmdSN expected.
    pub exp_cmd_sn: u32,
    /// The next StatSN to be sent.
    pub stat_sn: u32,
    /// Largest data segment that the initiator may send.
    pub max_recv_data_segment_bytes: u32,
    /// Largest data segment that the target may send.
    pub peer_max_recv_data_segment_bytes: u32,
    /// MaxBurstLength.
    pub max_burst_bytes: u32,
    /// FirstBurstLength.
    pub first_burst_bytes: u32,
    /// InitialR2T.
    pub initial_r2t: bool,
    /// ImmediateData.
    pub immediate_data: bool,
    /// MaxOutstandingR2T, per task.
    pub max_outstanding_r2t: u16,
    /// HeaderDigest=CRC32C.
    pub header_digest: bool,
    /// DataDigest=CRC32C.
    pub data_digest: bool,
    /// Commands in the window (ours, not negotiated).
    pub queue_depth: u16,
}
