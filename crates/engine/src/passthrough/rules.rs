//! What becomes of each command on its way to a device. The table is the control plane's
//! (`fairlead.scsi.pass_through`); here it is looked up.

use super::CDB_BYTES_MAX;
use fairlead_proto::iscsi::ahs::{EXTENDED_CDB_BYTES, ExtendedCdb};
use fairlead_proto::scsi::table::Access;

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It goes down as it came.
    Pass,
    /// We answer it by the command table, as for every other volume.
    Answer,
    /// We answer it where the unit has such a page; else it goes down.
    Page,
    /// INVALID COMMAND OPERATION CODE.
    Refuse,
}

impl Treatment {
    /// The name that the Python table uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "PASS" => Self::Pass,
            "ANSWER" => Self::Answer,
            "PAGE" => Self::Page,
            "REFUSE" => Self::Refuse,
            _ => return None,
        })
    }
}

/// What is known of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of it.
    pub treatment: Treatment,
    /// It changes nothing, so that those who may only read may send it.
    pub is_harmless: bool,
    /// What the other nexuses have to hear when it has gone well, as additional sense code and
    /// qualifier: to the device we all are one nexus, which knows.
    pub attention: Option<u16>,
    /// What it needs of a unit that another nexus has reserved; `None`: as the command table says.
    pub access: Option<Access>,
}

impl Rule {
    /// For commands that no rule names: they are the device's and its vendor's business.
    pub const UNKNOWN: Self =
        Self { treatment: Treatment::Pass, is_harmless: false, attention: None, access: None };
}

/// The rules for one operation code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Group {
    rule: Option<Rule>,
    actions: Vec<(u16, Rule)>,
}

/// The rules for the commands of one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// By operation code.
    groups: Vec<Group>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { groups: vec![Group::default(); 256] }
    }
}

/// VARIABLE LENGTH CDB. Spec: SPC-4, its service action is in bytes 8 and 9.
const VARIABLE_LENGTH: u8 = 0x7F;

impl Rules {
    /// A rule for an operation code, or for one of its service actions.
    pub fn add(&mut self, opcode: u8, service_action: Option<u16>, rule: Rule) {
        let Some(group) = self.groups.get_mut(usize::from(opcode)) else { return };
        match service_action {
            Some(action) => group.actions.push((action, rule)),
            None => group.rule = Some(rule),
        }
    }

    /// The rule for a command.
    pub fn find(&self, cdb: &[u8; 16]) -> Rule {
        let opcode = cdb[0];
        let action = match opcode {
            VARIABLE_LENGTH => u16::from_be_bytes([cdb[8], cdb[9]]),
            _ => u16::from(cdb[1] & 0x1F),
        };
        let Some(group) = self.groups.get(usize::from(opcode)) else { return Rule::UNKNOWN };
        let of_action = group.actions.iter().find(|(known, _)| *known == action);
        of_action.map(|(_, rule)| *rule).or(group.rule).unwrap_or(Rule::UNKNOWN)
    }
}

/// NACA: the initiator wants the device to stop for it after an error. To the device we are one
/// initiator, and nobody else could clear that. Spec: SAM-5, CONTROL byte.
pub fn asks_for_aca(cdb: &[u8; 16], cdb_bytes: u8) -> bool {
    const NACA: u8 = 0x04;
    let place = match cdb[0] {
        VARIABLE_LENGTH => 1,
        // Vendors need not have a CONTROL byte.
        0xC0.. => return false,
        _ => usize::from(cdb_bytes) - 1,
    };
    cdb.get(place).is_some_and(|control| control & NACA != 0)
}

/// The whole CDB and its length; `None`: it is longer than what is passed on, or not as long as it
/// says itself. iSCSI does not tell lengths up to 16, the operation code does, and for those of vendors
/// whatever is not zero behind. Spec: SPC-4, operation code.
pub fn whole_cdb(cdb: &[u8; 16], extended: &ExtendedCdb) -> Option<([u8; CDB_BYTES_MAX], u8)> {
    let mut whole = [0; CDB_BYTES_MAX];
    let (first, rest) = whole.split_at_mut(cdb.len());
    first.copy_from_slice(cdb);
    if usize::from(extended.length) > EXTENDED_CDB_BYTES {
        return None;
    }
    rest.copy_from_slice(&extended.bytes);
    let used = cdb.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = match cdb[0] {
        0x00..=0x1F => 6,
        0x20..=0x5F => 10,
        VARIABLE_LENGTH => cdb[7].checked_add(8)?,
        0x80..=0x9F => 16,
        0xA0..=0xBF => 12,
        // Reserved, and vendor specific.
        _ => [6, 10, 12].into_iter().find(|bytes| used <= usize::from(*bytes)).unwrap_or(16),
    };
    let there = cdb.len() + usize::from(extended.length);
    (usize::from(bytes) <= there).then_some((whole, bytes))
}

#[cfg(test)]
mod tests {
    use super::{Rule, Rules, Treatment, asks_for_aca, whole_cdb};
    use fairlead_proto::iscsi::ahs::ExtendedCdb;

    fn cdb(bytes: &[u8]) -> [u8; 16] {
        let mut cdb = [0; 16];
        cdb[..bytes.len()].copy_from_slice(bytes);
        cdb
    }

    #[test]
    fn a_service_action_has_a_rule_of_its_own_or_its_operation_codes() {
        let rule = |treatment| Rule { treatment, is_harmless: true, ..Rule::UNKNOWN };
        let mut rules = Rules::default();
        rules.add(0xA3, None, rule(Treatment::Pass));
        rules.add(0xA3, Some(0x0A), rule(Treatment::Refuse));
        rules.add(0x7F, Some(0x0009), rule(Treatment::Answer));
        assert_eq!(rules.find(&cdb(&[0xA3, 0x0C])), rule(Treatment::Pass));
        assert_eq!(rules.find(&cdb(&[0xA3, 0xEA])), rule(Treatment::Refuse));
        let long = |action| cdb(&[0x7F, 0, 0, 0, 0, 0, 0, 24, 0, action]);
        assert_eq!(rules.find(&long(9)), rule(Treatment::Answer));
        assert_eq!(rules.find(&long(10)), Rule::UNKNOWN);
        assert_eq!(rules.find(&cdb(&[0xC1])), Rule::UNKNOWN);
    }

    #[test]
    fn lengths_are_those_of_the_operation_codes() {
        let none = ExtendedCdb::default();
        let length = |bytes: &[u8]| whole_cdb(&cdb(bytes), &none).map(|(_, bytes)| bytes);
        for (bytes, expected) in [
            (&[0x12][..], 6),
            (&[0x28], 10),
            (&[0x88], 16),
            (&[0xA0], 12),
            (&[0xC0, 1, 1, 1, 1, 1], 6),
            (&[0xE0, 0, 0, 0, 0, 0, 1], 10),
            (&[0xE0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 12),
            (&[0xE0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 16),
        ] {
            assert_eq!(length(bytes), Some(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn naca_is_found_in_the_control_byte_alone() {
        let asks = |bytes: &[u8]| {
            let cdb = cdb(bytes);
            let (_, length) = whole_cdb(&cdb, &ExtendedCdb { bytes: [0; 16], length: 16 }).unwrap();
            asks_for_aca(&cdb, length)
        };
        assert!(asks(&[0x12, 0, 0, 0, 0, 4]));
        assert!(!asks(&[0x12, 4, 4, 4, 4, 0]));
        assert!(asks(&[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 4]));
        assert!(asks(&[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]));
        assert!(asks(&[0x7F, 4, 0, 0, 0, 0, 0, 24]));
        assert!(!asks(&[0x7F, 0, 0, 0, 0, 4, 0, 24, 4]));
        assert!(!asks(&[0xC1, 4, 4, 4, 4, 4]));
    }

    #[test]
    fn a_variable_length_cdb_is_as_long_as_it_says() {
        let long = cdb(&[0x7F, 0, 0, 0, 0, 0, 0, 24, 0, 9]);
        let full = ExtendedCdb { bytes: [7; 16], length: 16 };
        let (whole, bytes) = whole_cdb(&long, &full).expect("32 bytes");
        assert_eq!((bytes, &whole[..16], &whole[16..]), (32, &long[..], &[7; 16][..]));
        let cut = ExtendedCdb { bytes: [7; 16], length: 15 };
        assert_eq!(whole_cdb(&long, &cut), None, "shorter than it says");
        let beyond = ExtendedCdb { bytes: [7; 16], length: 17 };
        assert_eq!(whole_cdb(&long, &beyond), None, "longer than is passed on");
        assert_eq!(whole_cdb(&cdb(&[0x7F, 0, 0, 0, 0, 0, 0, 250]), &full), None);
    }
}
