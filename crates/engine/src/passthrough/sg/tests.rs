//! The link against a driver of ours: a socket that takes headers and gives them back, as the kernel's
//! does, with the addresses of this process in them.

use super::{COMMANDS_A_DESCRIPTOR, Header, SgLink};
use crate::passthrough::{Command, Direction, Failure, Link, Outcome};
use fairlead_proto::scsi::status;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SENSE: [u8; 8] = [0x72, 0x03, 0x11, 0x00, 0, 0, 0, 0];

/// The driver's end.
struct Driver {
    ends: Vec<OwnedFd>,
}

impl Driver {
    fn pair(descriptors: usize, commands_max: usize) -> (SgLink, Self) {
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..descriptors {
            let mut pair = [0; 2];
            let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            // SAFETY: an array of two ints of ours.
            let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
            assert_eq!(made, 0);
            // SAFETY: new descriptors that nobody else has.
            let [one, other] = pair.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
            ours.push(one);
            theirs.push(other);
        }
        (SgLink::over(ours, commands_max), Self { ends: theirs })
    }

    /// The next command on a descriptor.
    fn take(&self, number: usize) -> Option<Header> {
        let mut header = super::NO_COMMAND;
        let fd = self.ends[number].as_raw_fd();
        // SAFETY: a header of ours of that size.
        let read = unsafe { libc::read(fd, (&raw mut header).cast(), size_of::<Header>()) };
        (read == size_of::<Header>() as isize).then_some(header)
    }

    fn give(&self, number: usize, header: &Header) {
        let fd = self.ends[number].as_raw_fd();
        // SAFETY: a header of that size.
        let written =
            unsafe { libc::write(fd, std::ptr::from_ref(header).cast(), size_of::<Header>()) };
        assert_eq!(written, size_of::<Header>() as isize);
    }

    /// Lets a device say this.
    fn says(&self, number: usize, header: &Header, status: u8, sense: &[u8], data: &[u8]) {
        assert!(sense.len() <= usize::from(header.mx_sb_len));
        assert!(data.len() <= header.dxfer_len as usize);
        // SAFETY: the places that the link named, in this process, at least as long.
        unsafe {
            std::ptr::copy_nonoverlapping(sense.as_ptr(), header.sbp, sense.len());
            std::ptr::copy_nonoverlapping(data.as_ptr(), header.dxferp, data.len());
        }
        let resid = header.dxfer_len as i32 - data.len() as i32;
        self.give(number, &Header { status, sb_len_wr: sense.len() as u8, resid, ..*header });
    }
}

fn command(direction: Direction, data: &mut [u8]) -> Command {
    let mut cdb = [0; 32];
    cdb[0] = 0x28;
    let (address, length_bytes) = (data.as_mut_ptr(), data.len() as u32);
    Command { cdb, cdb_bytes: 10, direction, address, length_bytes, timeout_ns: 1_500_000_000 }
}

fn ended(link: &mut SgLink, fds: &[i32], events: i16) -> Vec<(u64, Outcome)> {
    let mut over = Vec::new();
    for fd in fds {
        link.ready(*fd, events, 0, &mut |token, outcome| over.push((token, outcome)));
    }
    over
}

fn watched(link: &SgLink) -> Vec<i32> {
    let mut watches = Vec::new();
    link.watches(&mut watches);
    watches.iter().map(|watch| watch.fd).collect()
}

#[test]
fn a_command_goes_down_as_it_is_and_data_comes_back() {
    let (mut link, driver) = Driver::pair(1, 4);
    assert!(watched(&link).is_empty(), "nothing is out");
    let mut data = vec![0; 512];
    link.submit(7, &command(Direction::In, &mut data), 0).expect("there is room");
    let header = driver.take(0).expect("it was sent");
    let fields = (header.interface_id, header.dxfer_direction, header.cmd_len, header.timeout);
    assert_eq!(fields, ('S' as i32, -3, 10, 1500));
    assert_eq!(header.flags, super::SG_FLAG_Q_AT_TAIL, "first come, first served");
    let fds = watched(&link);
    driver.says(0, &header, status::GOOD, &[], &[9; 300]);
    let over = ended(&mut link, &fds, libc::POLLIN);
    assert_eq!(over.len(), 1);
    let (token, outcome) = &over[0];
    assert_eq!((*token, outcome.status, outcome.transferred_bytes), (7, status::GOOD, 300));
    assert_eq!((data[299], data[300]), (9, 0));
    assert!(watched(&link).is_empty());
}

#[test]
fn sense_comes_back_as_it_is() {
    let (mut link, driver) = Driver::pair(1, 4);
    link.submit(1, &command(Direction::Out, &mut [1; 64]), 0).expect("there is room");
    let header = driver.take(0).expect("it was sent");
    assert_eq!(header.dxfer_direction, -2);
    let fds = watched(&link);
    // The driver's own status says only that there is sense data.
    let header = Header { driver_status: 0x08, ..header };
    driver.says(0, &header, status::CHECK_CONDITION, &SENSE, &[]);
    let over = ended(&mut link, &fds, libc::POLLIN);
    assert_eq!((over[0].1.status, over[0].1.sense()), (status::CHECK_CONDITION, &SENSE[..]));
    assert_eq!(over[0].1.failure, None);
}

#[test]
fn commands_are_spread_over_descriptors_and_end_in_any_order() {
    let most = 2 * COMMANDS_A_DESCRIPTOR;
    let (mut link, driver) = Driver::pair(2, most);
    let mut data = [0; 16];
    for token in 0..most as u64 {
        link.submit(token, &command(Direction::None, &mut data), 0).expect("there is room");
    }
    let refused = link.submit(99, &command(Direction::None, &mut data), 0);
    assert_eq!(refused, Err(Failure::Busy));
    let fds = watched(&link);
    let mut over = Vec::new();
    for number in [1, 0] {
        let mut headers: Vec<_> = std::iter::from_fn(|| driver.take(number)).collect();
        assert_eq!(headers.len(), COMMANDS_A_DESCRIPTOR);
        headers.reverse();
        headers.iter().for_each(|header| driver.says(number, header, status::GOOD, &[], &[]));
        over.extend(ended(&mut link, &fds, libc::POLLIN));
    }
    let mut tokens: Vec<_> = over.iter().map(|(token, _)| *token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (0..most as u64).collect::<Vec<_>>());
    link.submit(99, &command(Direction::None, &mut data), 0).expect("there is room again");
}

#[test]
fn what_the_adapter_says_becomes_what_an_initiator_can_use() {
    // (host status, driver status, SCSI status, failure)
    for (host_status, driver_status, said, failure) in [
        (0x00, 0x00, status::GOOD, None),
        (0x01, 0x00, status::GOOD, Some(Failure::Gone)),
        (0x03, 0x06, status::GOOD, Some(Failure::TimedOut)),
        (0x00, 0x06, status::GOOD, Some(Failure::TimedOut)),
        (0x07, 0x00, status::GOOD, Some(Failure::Broken)),
        (0x08, 0x00, status::GOOD, Some(Failure::Reset)),
        (0x0D, 0x00, status::GOOD, Some(Failure::Busy)),
        (0x13, 0x00, status::GOOD, Some(Failure::Broken)),
        // The device's own word counts.
        (0x11, 0x00, status::RESERVATION_CONFLICT, None),
    ] {
        let (mut link, driver) = Driver::pair(1, 1);
        link.submit(1, &command(Direction::None, &mut []), 0).expect("there is room");
        let header = driver.take(0).expect("it was sent");
        let fds = watched(&link);
        driver.says(0, &Header { host_status, driver_status, ..header }, said, &[], &[]);
        let over = ended(&mut link, &fds, libc::POLLIN);
        assert_eq!(over[0].1.failure, failure, "{host_status:#x} {driver_status:#x}");
        if failure.is_none() {
            assert_eq!(over[0].1.status, said);
        }
    }
}

#[test]
fn a_device_that_is_gone_ends_what_is_out_and_keeps_nobody_busy() {
    let (mut link, driver) = Driver::pair(1, 2);
    link.submit(1, &command(Direction::None, &mut []), 0).expect("there is room");
    let header = driver.take(0).expect("it was sent");
    let fds = watched(&link);
    assert!(ended(&mut link, &fds, libc::POLLHUP).is_empty());
    assert!(watched(&link).is_empty(), "it would be told again at once");
    let at = link.next_at().expect("it is looked for");
    driver.says(0, &Header { host_status: 1, ..header }, status::GOOD, &[], &[]);
    let mut over = Vec::new();
    link.tick(at, &mut |token, outcome: Outcome| over.push((token, outcome.failure)));
    assert_eq!(over, [(1, Some(Failure::Gone))]);
    assert_eq!(link.next_at(), None);
    drop(driver);
    assert!(link.is_over(), "it may be opened anew");
}

#[test]
fn what_is_not_an_sg_device_is_refused() {
    let error = SgLink::open("/dev/null", 1).expect_err("not an sg device");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    let error = SgLink::open("/dev/no such device", 1).expect_err("not there");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}
