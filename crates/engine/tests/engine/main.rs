//! The engine over loopback TCP: a small initiator that builds its PDUs by hand, and what must
//! hold whatever the sessions do. Every test runs on both drivers.
//!
//! There is no login: the control plane does that, and hands over sockets as these tests do.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod flushes;
#[cfg(test)]
mod initiator;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod management;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod reservations;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod upcalls;
#[cfg(test)]
mod volumes;
