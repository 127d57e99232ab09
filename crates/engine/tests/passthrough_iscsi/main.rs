//! Links to LUNs of other iSCSI targets: the contract of every link, and what is iSCSI's alone.
//!
//! Where libiscsi is missing the tests are skipped, and say so.

#[cfg(test)]
#[path = "../link_contract/mod.rs"]
mod link_contract;
#[cfg(test)]
mod session;
#[cfg(test)]
mod target;
