//! Where a LUN is: `iscsi://[user[%password]@]host[:port]/target-iqn/lun`.

use super::OpenError;
use super::library::{Library, STRING_BYTES_MAX, TCP, text};
use std::ffi::{CString, c_int};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ptr;

const SCHEME: &str = "iscsi://";
/// The port that IANA has assigned. Spec: RFC 7143 §14.
const PORT: u16 = 3260;
/// Spec: RFC 7143 §4.2.7.1, iSCSI name.
const NAME_BYTES_MAX: usize = 223;
/// libiscsi writes a LUN as a number of 16 bits; up to here that is also what SAM wants (peripheral
/// device addressing, bus 0). Spec: SAM-5, single level LUN structure.
const LUN_MAX: c_int = 255;

/// A LUN of a target, and how to be let in. It has no `Debug`: a password is in it.
pub(super) struct Address {
    /// As it was given: libiscsi takes target name, user and passwords from it.
    pub(super) url: CString,
    /// Address and port as numbers, so that no connection waits for a name server.
    pub(super) portal: CString,
    /// LUN.
    pub(super) lun: c_int,
    /// Who connects.
    pub(super) initiator: CString,
}

impl Address {
    /// Takes a URL apart. A host that has a name is looked up, which may wait for a name server.
    pub(super) fn new(library: &Library, url: &str, initiator: &str) -> Result<Self, OpenError> {
        let beyond = url.strip_prefix(SCHEME).ok_or(OpenError::Url)?;
        // libiscsi cuts a URL that is too long, and reads the value of a parameter that has none.
        let parameters = beyond.split_once('?').map_or("", |(_, parameters)| parameters);
        let have_values = parameters.split('&').all(|part| part.is_empty() || part.contains('='));
        if beyond.len() >= STRING_BYTES_MAX || !have_values {
            return Err(OpenError::Url);
        }
        if !(1..=NAME_BYTES_MAX).contains(&initiator.len()) {
            return Err(OpenError::InitiatorName);
        }
        let initiator = CString::new(initiator).map_err(|_| OpenError::InitiatorName)?;
        let url = CString::new(url).map_err(|_| OpenError::Url)?;
        // SAFETY: a string with its end, within the library's limits; no context is allowed.
        let parts = unsafe { (library.iscsi_parse_full_url)(ptr::null_mut(), url.as_ptr()) };
        if parts.is_null() {
            return Err(OpenError::Url);
        }
        // SAFETY: the library has filled it, strings with their end; it is freed once, here.
        let (portal, lun, transport) = unsafe {
            let portal = text(&(*parts).portal).to_str().map(str::to_owned);
            let seen = (portal, (*parts).lun, (*parts).transport);
            (library.iscsi_destroy_url)(parts);
            seen
        };
        if transport != TCP || !(0..=LUN_MAX).contains(&lun) {
            return Err(OpenError::Url);
        }
        let portal = resolve(&portal.map_err(|_| OpenError::Url)?)?;
        Ok(Self { url, portal: numeric(portal), lun, initiator })
    }
}

/// An address as libiscsi takes it.
pub(super) fn numeric(portal: SocketAddr) -> CString {
    CString::new(portal.to_string()).unwrap_or_default()
}

/// A portal that is written in numbers: `address[:port][,tag]`.
pub(super) fn in_numbers(portal: &str) -> Option<SocketAddr> {
    let portal = portal.split(',').next().unwrap_or_default();
    let bare = portal.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(portal);
    let whole = portal.parse().ok();
    whole.or_else(|| bare.parse::<IpAddr>().ok().map(|address| (address, PORT).into()))
}

fn resolve(portal: &str) -> Result<SocketAddr, OpenError> {
    if let Some(address) = in_numbers(portal) {
        return Ok(address);
    }
    let (host, port) = match portal.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| OpenError::Url)?),
        None => (portal, PORT),
    };
    let unknown = |why: String| OpenError::Host { host: host.to_owned(), why };
    let mut found = (host, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("it has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::library::library;
    use super::{Address, in_numbers};
    use crate::passthrough::iscsi::OpenError;

    #[test]
    fn portals_in_numbers() {
        let shown = |portal| in_numbers(portal).map(|address| address.to_string());
        let cases = [
            ("192.0.2.1", Some("192.0.2.1:3260")),
            ("192.0.2.1:860", Some("192.0.2.1:860")),
            ("192.0.2.1:860,1", Some("192.0.2.1:860")),
            ("[2001:db8::1]", Some("[2001:db8::1]:3260")),
            ("[2001:db8::1]:860,7", Some("[2001:db8::1]:860")),
            ("storage.example:3260", None),
            ("", None),
        ];
        for (portal, expected) in cases {
            assert_eq!(shown(portal).as_deref(), expected, "{portal}");
        }
    }

    #[test]
    fn urls() {
        let library = match library() {
            Err(error) => return println!("skipped: {error}"),
            Ok(library) => library,
        };
        let open = |url: &str| Address::new(library, url, "iqn.2026-01.net.fairlead:us");
        let address = open("iscsi://u%secret@127.0.0.1/iqn.2026-01.net.fairlead:t/5");
        let address = address.expect("a URL");
        assert_eq!((address.portal.to_str(), address.lun), (Ok("127.0.0.1:3260"), 5));
        let long = format!("iscsi://127.0.0.1/{}/0", "i".repeat(250));
        let wrong = [
            ("127.0.0.1/iqn/0", "no scheme"),
            ("iser://127.0.0.1/iqn/0", "another transport"),
            ("iscsi://127.0.0.1/iqn/0?iser=1", "another transport"),
            ("iscsi://127.0.0.1/iqn/0?header_digest", "a parameter without a value"),
            ("iscsi://127.0.0.1/iqn", "no LUN"),
            ("iscsi://127.0.0.1/iqn/256", "a LUN that libiscsi cannot write"),
            ("iscsi://127.0.0.1/iqn/-1", "no LUN"),
            ("iscsi://127.0.0.1:port/iqn/0", "no port"),
            (&long, "too long"),
        ];
        for (url, why) in wrong {
            let error = open(url).err().unwrap_or_else(|| panic!("{url}: {why}"));
            assert_eq!(error, OpenError::Url, "{url}: {why}");
        }
        for name in [String::new(), "i".repeat(224), "iqn\0".to_owned()] {
            let refused = Address::new(library, "iscsi://127.0.0.1/iqn/0", &name).err();
            assert_eq!(refused, Some(OpenError::InitiatorName));
        }
    }
}
