//! Whether a context has its device to itself.

use crate::{ContextId, Nanos};

/// Who was here within this time is company: longer than an elevator keeps one context waiting for
/// the sake of another.
pub const COMPANY_NS: Nanos = 1_000_000_000;

/// Who uses a device besides whom.
#[derive(Debug, Default)]
pub struct Company {
    last: Option<ContextId>,
    until: Nanos,
}

impl Company {
    /// A request of this context comes while others have so many with the device.
    pub fn came(&mut self, context: ContextId, of_others: u64, now: Nanos) {
        let is_another = self.last.replace(context).is_some_and(|last| last != context);
        if is_another || of_others > 0 {
            self.until = now + COMPANY_NS;
        }
    }

    /// Several use the device.
    pub fn is_there(&self, now: Nanos) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPANY_NS, Company};
    use crate::ContextId;

    fn id(index: u32) -> ContextId {
        ContextId { index, generation: 0 }
    }

    #[test]
    fn one_alone_has_none_until_somebody_comes_and_a_while_after_he_went() {
        let mut company = Company::default();
        company.came(id(0), 0, 1);
        company.came(id(0), 0, 2);
        assert!(!company.is_there(2));
        company.came(id(1), 0, 3);
        assert!(company.is_there(3));
        company.came(id(1), 0, 4);
        assert!(company.is_there(2 + COMPANY_NS));
        assert!(!company.is_there(3 + COMPANY_NS));
    }

    #[test]
    fn who_waits_for_the_device_is_company_though_he_asks_for_nothing_more() {
        let mut company = Company::default();
        company.came(id(0), 0, 0);
        company.came(id(0), 1, 9 * COMPANY_NS);
        assert!(company.is_there(9 * COMPANY_NS));
    }
}
