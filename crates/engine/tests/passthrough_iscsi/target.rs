//! A scripted target: as much of RFC 7143 as a session of libiscsi's needs, over std's sockets.

use crate::link_contract::{Answer, Device};
use fairlead_proto::iscsi::bhs::opcode;
use fairlead_proto::scsi::status;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Small, so that writes go in many PDUs.
const SEGMENT_BYTES: u32 = 8192;
const FIRST_BURST_BYTES: u32 = 65_536;
/// Spec: RFC 7143 §13.14.
const FIRST_BURST_BYTES_MAX: u32 = (1 << 24) - 1;
const MAX_BURST_BYTES: u32 = 262_144;
/// Login Response. Spec: RFC 7143 §11.13.
const LOGIN_RESPONSE: u8 = 0x23;
/// Commands that may come: less than a link has.
const WINDOW: u32 = 64;

/// How the target behaves, and what it has seen.
#[derive(Default)]
pub(crate) struct Script {
    /// Status class and detail of login responses.
    pub(crate) login_status: AtomicU16,
    /// Where logins are redirected to.
    pub(crate) elsewhere: Mutex<Option<String>>,
    /// Logins are not answered.
    pub(crate) is_mute: AtomicBool,
    /// Task management is not answered.
    pub(crate) is_deaf: AtomicBool,
    /// Commands are rejected.
    pub(crate) rejects: AtomicBool,
    /// Writes are answered before their data has come, however much of it is sent without asking.
    pub(crate) answers_early: AtomicBool,
    /// The data that has come for them.
    pub(crate) late_data: Mutex<Vec<u8>>,
    /// ISID and keys of the logins.
    pub(crate) logins: Mutex<Vec<([u8; 6], String)>>,
    /// Commands, and requests to abort one.
    pub(crate) commands: AtomicUsize,
    pub(crate) aborts: AtomicUsize,
    is_over: AtomicBool,
    connection: Mutex<Option<TcpStream>>,
}

pub(crate) struct Target {
    pub(crate) script: Arc<Script>,
    pub(crate) address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    pub(crate) fn new(device: Box<dyn Device>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let script = Arc::new(Script::default());
        let of_thread = Arc::clone(&script);
        let thread = std::thread::spawn(move || serve(&listener, &of_thread, device));
        Self { script, address, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("iscsi://{}/iqn.2026-01.net.fairlead:scripted/0", self.address)
    }

    /// Cuts the connection.
    pub(crate) fn cut(&self) {
        if let Some(connection) = &*self.script.connection.lock().expect("nobody panics") {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.script.is_over.store(true, SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.address);
        let done = self.thread.take().expect("it runs once").join();
        assert!(done.is_ok() || std::thread::panicking(), "the target has panicked");
    }
}

fn serve(listener: &TcpListener, script: &Script, mut device: Box<dyn Device>) {
    while let Ok((stream, _)) = listener.accept() {
        if script.is_over.load(SeqCst) {
            return;
        }
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let shared = stream.try_clone().expect("a second descriptor");
        *script.connection.lock().expect("nobody panics") = Some(shared);
        let later = VecDeque::new();
        let mut session =
            Session { stream, script, later, stat_sn: 1, exp_cmd_sn: 0, device: &mut *device };
        // An end is an end: of the script, or of the connection.
        let _ = session.run();
        let _ = session.stream.shutdown(Shutdown::Both);
    }
}

type Header = [u8; 48];

fn word(header: &Header, at: usize) -> u32 {
    u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"))
}

struct Session<'a> {
    stream: TcpStream,
    script: &'a Script,
    /// PDUs that came while Data-Out was waited for.
    later: VecDeque<(Header, Vec<u8>)>,
    stat_sn: u32,
    exp_cmd_sn: u32,
    device: &'a mut dyn Device,
}

/// What ends a session.
type Ends<T> = Result<T, std::io::Error>;

fn the_end<T>() -> Ends<T> {
    Err(std::io::ErrorKind::Other.into())
}

impl Session<'_> {
    fn read(&mut self) -> Ends<(Header, Vec<u8>)> {
        let mut header = [0; 48];
        self.stream.read_exact(&mut header)?;
        let length = (word(&header, 4) & 0xFF_FFFF) as usize;
        let mut data = vec![0; length.next_multiple_of(4)];
        self.stream.read_exact(&mut data)?;
        data.truncate(length);
        Ok((header, data))
    }

    /// Sends a PDU: operation code, flags, words by place, and data. `counts`: it takes a StatSN.
    fn send(
        &mut self,
        first: [u8; 4],
        tag: u32,
        words: &[(usize, u32)],
        data: &[u8],
        counts: bool,
    ) -> Ends<()> {
        let mut pdu = vec![0; 48];
        pdu[..4].copy_from_slice(&first);
        let sequence = [
            (4, data.len() as u32),
            (16, tag),
            (24, self.stat_sn),
            (28, self.exp_cmd_sn),
            (32, self.exp_cmd_sn.wrapping_add(WINDOW - 1)),
        ];
        for (at, value) in sequence.iter().chain(words) {
            pdu[*at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        pdu.extend_from_slice(data);
        pdu.resize(pdu.len().next_multiple_of(4), 0);
        self.stat_sn = self.stat_sn.wrapping_add(u32::from(counts));
        self.stream.write_all(&pdu)
    }

    fn run(&mut self) -> Ends<()> {
        loop {
            let (header, data) = match self.later.pop_front() {
                Some(pdu) => pdu,
                None => self.read()?,
            };
            match header[0] & 0x3F {
                opcode::LOGIN_REQUEST => self.log_in(&header, &data)?,
                opcode::SCSI_COMMAND => self.command(&header, data)?,
                opcode::TASK_MANAGEMENT_REQUEST => {
                    self.script.aborts.fetch_add(1, SeqCst);
                    if !self.script.is_deaf.load(SeqCst) {
                        let first = [opcode::TASK_MANAGEMENT_RESPONSE, 0x80, 0, 0];
                        self.send(first, word(&header, 16), &[], &[], true)?;
                    }
                }
                // Data-Out of a command that was answered or aborted.
                opcode::DATA_OUT => {
                    self.script.late_data.lock().expect("nobody panics").extend_from_slice(&data);
                }
                other => panic!("opcode {other:#04X}"),
            }
        }
    }

    /// Takes the stage that was asked for. Spec: RFC 7143 §11.12, §11.13.
    fn log_in(&mut self, header: &Header, data: &[u8]) -> Ends<()> {
        let isid = header[8..14].try_into().expect("six bytes");
        let keys = String::from_utf8_lossy(data).into_owned();
        self.script.logins.lock().expect("nobody panics").push((isid, keys));
        self.exp_cmd_sn = word(header, 24);
        if self.script.is_mute.load(SeqCst) {
            return Ok(());
        }
        let is_early = self.script.answers_early.load(SeqCst);
        let first_burst = if is_early { FIRST_BURST_BYTES_MAX } else { FIRST_BURST_BYTES };
        let elsewhere = self.script.elsewhere.lock().expect("nobody panics").clone();
        let status = match elsewhere {
            Some(_) => 0x0101,
            None => self.script.login_status.load(SeqCst),
        };
        let keys = match elsewhere {
            Some(portal) => format!("TargetAddress={portal}\0"),
            None => format!(
                "HeaderDigest=None\0DataDigest=None\0InitialR2T=No\0ImmediateData=Yes\0\
                 MaxRecvDataSegmentLength={SEGMENT_BYTES}\0FirstBurstLength={first_burst}\0\
                 MaxBurstLength={MAX_BURST_BYTES}\0"
            ),
        };
        let first = [LOGIN_RESPONSE, header[1], 0, 0];
        let status = (36, u32::from(status) << 16);
        self.send(first, word(header, 16), &[(12, 1), status], keys.as_bytes(), true)?;
        if status.1 == 0 { Ok(()) } else { the_end() }
    }

    fn command(&mut self, header: &Header, mut data: Vec<u8>) -> Ends<()> {
        self.script.commands.fetch_add(1, SeqCst);
        self.exp_cmd_sn = word(header, 24).wrapping_add(1);
        let (tag, expected) = (word(header, 16), word(header, 20));
        if self.script.rejects.load(SeqCst) {
            // Reason: invalid PDU field. Spec: RFC 7143 §11.17.
            return self.send([opcode::REJECT, 0x80, 9, 0], u32::MAX, &[], header, true);
        }
        let is_write = header[1] & 0x20 != 0;
        if is_write && !self.script.answers_early.load(SeqCst) {
            self.collect(header, expected, &mut data)?;
        }
        match self.device.answer(&header[32..48], &data) {
            Answer::Says { status, sense, data } => {
                let is_read = header[1] & 0x40 != 0;
                let moved = match (is_read, is_write) {
                    (true, _) => data.len() as u32,
                    (_, true) if status == status::GOOD => expected,
                    _ => 0,
                };
                let sent = data.get(..(expected as usize).min(data.len())).unwrap_or_default();
                self.answer(tag, expected, moved, status, &sense, if is_read { sent } else { &[] })
            }
            Answer::Holds => Ok(()),
            Answer::Vanishes => the_end(),
        }
    }

    /// Waits for unsolicited data, then asks for the rest. Spec: RFC 7143 §11.7, §11.8.
    fn collect(&mut self, header: &Header, expected: u32, data: &mut Vec<u8>) -> Ends<()> {
        let tag = word(header, 16);
        let mut is_final = header[1] & 0x80 != 0;
        let mut r2t_sn = 0;
        loop {
            while !is_final {
                let is_ours = |(header, _): &(Header, Vec<u8>)| {
                    header[0] & 0x3F == opcode::DATA_OUT && word(header, 16) == tag
                };
                let kept = self.later.iter().position(is_ours);
                let pdu = match kept.and_then(|place| self.later.remove(place)) {
                    Some(pdu) => pdu,
                    None => self.read()?,
                };
                if !is_ours(&pdu) {
                    self.later.push_back(pdu);
                    continue;
                }
                let (header, part) = pdu;
                assert_eq!(word(&header, 40) as usize, data.len(), "Buffer Offset");
                data.extend_from_slice(&part);
                is_final = header[1] & 0x80 != 0;
            }
            let (at, left) = (data.len() as u32, expected - data.len() as u32);
            if left == 0 {
                return Ok(());
            }
            let words = [(20, 77), (36, r2t_sn), (40, at), (44, left.min(MAX_BURST_BYTES))];
            self.send([opcode::R2T, 0x80, 0, 0], tag, &words, &[], false)?;
            r2t_sn += 1;
            is_final = false;
        }
    }

    /// Data-In, and the status: with the last of it where that is possible. Spec: RFC 7143 §11.4.
    fn answer(
        &mut self,
        tag: u32,
        expected: u32,
        moved: u32,
        status: u8,
        sense: &[u8],
        data: &[u8],
    ) -> Ends<()> {
        let parts = data.chunks(100_000);
        let (last, carries) = (parts.len(), status == status::GOOD && moved == expected);
        for (number, part) in parts.enumerate() {
            let is_last = number + 1 == last;
            let with_status = is_last && carries;
            let flags = u8::from(is_last) << 7 | u8::from(with_status);
            let words = [(20, u32::MAX), (36, number as u32), (40, number as u32 * 100_000)];
            self.send([opcode::DATA_IN, flags, 0, status], tag, &words, part, with_status)?;
        }
        if carries && !data.is_empty() {
            return Ok(());
        }
        let (residual, flag) = match moved.cmp(&expected) {
            std::cmp::Ordering::Less => (expected - moved, 0x02),
            std::cmp::Ordering::Equal => (0, 0),
            std::cmp::Ordering::Greater => (moved - expected, 0x04),
        };
        let mut segment = Vec::new();
        if !sense.is_empty() {
            segment.extend_from_slice(&(sense.len() as u16).to_be_bytes());
            segment.extend_from_slice(sense);
        }
        let first = [opcode::SCSI_RESPONSE, 0x80 | flag, 0, status];
        self.send(first, tag, &[(44, residual)], &segment, true)
    }
}
