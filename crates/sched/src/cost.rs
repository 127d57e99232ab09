//! What a request will cost a device: a line for each direction. Only the proportions matter for
//! shares; how much the device takes at a time is measured ([`crate::window`]).

/// Cost of a direction: so much for each request, and so much for each KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// For each request.
    pub base_ns: u64,
    /// For each KiB.
    pub per_kib_ns: u64,
}

impl Line {
    fn at(self, length_bytes: u64) -> u64 {
        self.base_ns + length_bytes.saturating_mul(self.per_kib_ns) / 1024
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Reads, or reads ahead.
    Read,
    /// Writes, zeroes, deallocates.
    Write,
}

/// A device's costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostModel {
    /// Of reads.
    pub read: Line,
    /// Of writes.
    pub write: Line,
}

impl CostModel {
    /// What is answered from memory costs the submitter's CPU: 4 KiB 3.3 us, 1 MiB 350 us on the
    /// machine of bench/README.md, nearly all of it for moving bytes through the socket.
    pub const CPU: Self = Self {
        read: Line { base_ns: 2_000, per_kib_ns: 340 },
        write: Line { base_ns: 2_000, per_kib_ns: 340 },
    };

    /// A flash device as it is before anybody has measured it.
    pub const FLASH: Self = Self {
        read: Line { base_ns: 60_000, per_kib_ns: 5_000 },
        write: Line { base_ns: 60_000, per_kib_ns: 5_000 },
    };

    /// The estimate, at least 1 ns.
    pub fn estimate(&self, direction: Direction, length_bytes: u64) -> u64 {
        let line = match direction {
            Direction::Read => self.read,
            Direction::Write => self.write,
        };
        line.at(length_bytes).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::{CostModel, Direction};

    #[test]
    fn a_request_costs_its_base_and_its_bytes() {
        let cost = |bytes| CostModel::CPU.estimate(Direction::Read, bytes);
        assert_eq!((cost(0), cost(4096), cost(1 << 20)), (2_000, 3_360, 350_160));
        assert!(cost(u64::MAX) > cost(1 << 40));
    }
}
