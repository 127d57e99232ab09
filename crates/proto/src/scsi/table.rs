//! The command table: rows come from Python (`fairlead.scsi.commands`), dispatch happens here.
//!
//! A row says where a CDB keeps its fields, so that one parser serves every command and no handler
//! looks into a CDB. Spec: SPC-4 and SBC-3, each command's CDB.

use super::sense::Sense;

/// How the data plane carries a command out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// Medium to initiator.
    Read,
    /// Initiator to medium.
    Write,
    /// Write, then read back and compare.
    WriteAndVerify,
    /// Compare the medium with the initiator's data, or only read it.
    Verify,
    /// Warm the cache.
    Prefetch,
    /// Flush the volatile cache.
    SynchronizeCache,
    /// Deallocate ranges of a parameter list.
    Unmap,
    /// One block written over a range.
    WriteSame,
    /// Compare, then write, as one.
    CompareAndWrite,
    /// GOOD if the unit is there.
    TestUnitReady,
    /// Stopping flushes; nothing spins.
    StartStopUnit,
    /// The session's list of units.
    ReportLuns,
    /// Sense data of the nexus.
    RequestSense,
    /// A page that Python rendered.
    Page,
    /// Python answers.
    Upcall,
}

impl Execution {
    /// The name that the Python table uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "READ" => Self::Read,
            "WRITE" => Self::Write,
            "WRITE_VERIFY" => Self::WriteAndVerify,
            "VERIFY" => Self::Verify,
            "PREFETCH" => Self::Prefetch,
            "SYNCHRONIZE_CACHE" => Self::SynchronizeCache,
            "UNMAP" => Self::Unmap,
            "WRITE_SAME" => Self::WriteSame,
            "COMPARE_AND_WRITE" => Self::CompareAndWrite,
            "TEST_UNIT_READY" => Self::TestUnitReady,
            "START_STOP_UNIT" => Self::StartStopUnit,
            "REPORT_LUNS" => Self::ReportLuns,
            "REQUEST_SENSE" => Self::RequestSense,
            "PAGE" => Self::Page,
            "UPCALL" => Self::Upcall,
            _ => return None,
        })
    }
}

/// What a transfer length of zero means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroLength {
    /// No blocks.
    Nothing,
    /// 256 blocks: READ (6), WRITE (6).
    Blocks256,
    /// Up to the last block: SYNCHRONIZE CACHE, PRE-FETCH, WRITE SAME.
    ToTheEnd,
}

/// What a command needs of a unit, the least first: a reservation held by another nexus permits
/// commands up to one of these. Spec: SPC-4 r37 §5.13, SPC-2, commands allowed in the presence of
/// various reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Permitted in the presence of any reservation.
    Nothing,
    /// Permitted unless RESERVE (6) or (10) has reserved the unit.
    Status,
    /// Reads: permitted beside the Write Exclusive types.
    Read,
    /// Permitted to those alone whom the reservation is for.
    Everything,
}

impl Access {
    /// By its number in the Python table.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Nothing, Self::Status, Self::Read, Self::Everything]
            .get(usize::from(number))
            .copied()
    }
}

/// A big-endian field of a CDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// First byte in the CDB.
    pub offset: u8,
    /// Width, 1..=8 bytes.
    pub bytes: u8,
    /// Bits that count.
    pub mask: u64,
}

impl Field {
    fn read(self, cdb: &[u8; 16]) -> u64 {
        let start = usize::from(self.offset);
        let bytes = cdb.get(start..start + usize::from(self.bytes)).unwrap_or_default();
        bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)) & self.mask
    }
}

/// One command.
#[derive(Debug, Clone)]
pub struct Row {
    /// Operation code.
    pub opcode: u8,
    /// Service action, where the operation code has several.
    pub service_action: Option<u8>,
    /// How it is carried out.
    pub execution: Execution,
    /// First block.
    pub lba: Option<Field>,
    /// Number of blocks, or parameter list length in bytes for UNMAP.
    pub length: Option<Field>,
    /// Allocation length in bytes.
    pub allocation: Option<Field>,
    /// Meaning of length zero.
    pub zero_length: ZeroLength,
    /// Bits of the CDB that ask for what no unit has (protection information, NACA, ANCHOR).
    pub refused: Vec<u8>,
    /// Byte 1 bit 3 is FUA.
    pub has_fua: bool,
    /// Bits of the CDB that select a page.
    pub page_key: Vec<u8>,
    /// Refused on a read-only unit.
    pub writes_medium: bool,
    /// A pending unit attention does not stop this command.
    pub passes_unit_attention: bool,
    /// What it needs of a unit that another nexus has reserved.
    pub access: Access,
    /// Byte of the CDB and bits in it: with one of them set, it needs nothing.
    pub harmless: (u8, u8),
}

/// What one CDB asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its row.
    pub row: &'a Row,
    /// First block.
    pub lba: u64,
    /// Number of blocks (UNMAP: bytes of the parameter list), zero as written.
    pub length: u64,
    /// Allocation length in bytes; without such a field there is no limit.
    pub allocation: u64,
    /// Force unit access.
    pub fua: bool,
    /// Byte 1: the command's own flag bits.
    pub flags: u8,
}

/// Every command served, by operation code and service action.
#[derive(Debug, Default, Clone)]
pub struct CommandTable {
    // Index: operation code. Most have one row; 9Eh, A3h have several.
    rows: Vec<Vec<Row>>,
}

impl CommandTable {
    /// A table of these rows.
    pub fn new(rows: Vec<Row>) -> Self {
        let mut by_opcode: Vec<Vec<Row>> = vec![Vec::new(); 256];
        for row in rows {
            if let Some(group) = by_opcode.get_mut(usize::from(row.opcode)) {
                group.push(row);
            }
        }
        Self { rows: by_opcode }
    }

    /// Parses a CDB.
    ///
    /// # Errors
    /// The sense to answer with: unknown operation code or service action, refused bits.
    pub fn parse(&self, cdb: &[u8; 16]) -> Result<Request<'_>, Sense> {
        let row = self.row(cdb)?;
        if row.refused.iter().zip(cdb).any(|(refused, byte)| refused & byte != 0) {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        let field = |field: Option<Field>| field.map_or(0, |field| field.read(cdb));
        Ok(Request {
            row,
            lba: field(row.lba),
            length: field(row.length),
            allocation: row.allocation.map_or(u64::MAX, |field| field.read(cdb)),
            fua: row.has_fua && cdb[1] & 0x08 != 0,
            flags: cdb[1],
        })
    }

    /// What a command needs of a reserved unit; everything, where it is not in the table.
    pub fn access(&self, cdb: &[u8; 16]) -> Access {
        let Ok(row) = self.row(cdb) else { return Access::Everything };
        let (offset, mask) = row.harmless;
        match cdb.get(usize::from(offset)) {
            Some(byte) if byte & mask != 0 => Access::Nothing,
            _ => row.access,
        }
    }

    /// The same, whatever bits of the CDB make it harmless.
    pub fn access_of_row(&self, cdb: &[u8; 16]) -> Access {
        self.row(cdb).map_or(Access::Everything, |row| row.access)
    }

    fn row(&self, cdb: &[u8; 16]) -> Result<&Row, Sense> {
        let group = self.rows.get(usize::from(cdb[0])).ok_or(Sense::INVALID_OPCODE)?;
        let first = group.first().ok_or(Sense::INVALID_OPCODE)?;
        match first.service_action {
            None => Ok(first),
            Some(_) => group
                .iter()
                .find(|row| row.service_action == Some(cdb[1] & 0x1F))
                .ok_or(Sense::INVALID_FIELD_IN_CDB),
        }
    }
}

impl Request<'_> {
    /// The range of blocks, checked against the size of the unit.
    ///
    /// # Errors
    /// LBA OUT OF RANGE when any block lies beyond the end, also for an empty range.
    pub fn blocks(&self, unit_blocks: u64) -> Result<(u64, u64), Sense> {
        let blocks = match (self.length, self.row.zero_length) {
            (0, ZeroLength::Blocks256) => 256,
            (0, ZeroLength::ToTheEnd) => unit_blocks.saturating_sub(self.lba),
            (length, _) => length,
        };
        match self.lba.checked_add(blocks) {
            Some(end) if end <= unit_blocks => Ok((self.lba, blocks)),
            _ => Err(Sense::LBA_OUT_OF_RANGE),
        }
    }

    /// The key of the page that this CDB selects.
    pub fn page_key(&self, cdb: &[u8; 16]) -> ([u8; 16], usize) {
        let mut key = [0; 16];
        for ((key, mask), byte) in key.iter_mut().zip(&self.row.page_key).zip(cdb) {
            *key = mask & byte;
        }
        (key, self.row.page_key.len().min(16))
    }
}
