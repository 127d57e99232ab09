//! Fuzzing of every decoder and of the whole full-feature state machine, without a fuzzing engine:
//! reproducible random input, a device that answers at random, and what must hold after each step.
//!
//! `FAIRLEAD_FUZZ_ROUNDS` is how many rounds each test runs (some hundred by default, a second or
//! two in all), `FAIRLEAD_FUZZ_SEED` where it starts. A failure names the seed of its round; with it
//! and one round the failure comes again.

mod device;
mod initiator;
mod random;

use device::Device;
use fairlead_proto::iscsi::bhs::{BHS_BYTES, Bhs};
use fairlead_proto::iscsi::digest;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::reader::{Reader, Step};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Access, CommandTable, Execution, Field, Row, ZeroLength};
use initiator::Initiator;
use random::{Random, rounds};

/// What a reader says, with the data of each PDU put together: independent of how input was cut.
fn read_all(reader: &mut Reader, pieces: &[&[u8]], limit_bytes: u32) -> Vec<String> {
    let mut told = Vec::new();
    let mut data = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let before = input.len();
            match reader.step(&mut input) {
                None => break,
                Some(Step::Header(bhs)) => {
                    assert!(bhs.data_segment_bytes() <= limit_bytes);
                    told.push(format!("{bhs:?}"));
                }
                Some(Step::Data(bytes)) => {
                    assert!(!bytes.is_empty() && bytes.len() <= before);
                    data.extend_from_slice(bytes);
                }
                Some(Step::End { intact }) => {
                    told.push(format!("{} bytes, {intact}", std::mem::take(&mut data).len()));
                }
                Some(Step::Broken(violation)) => {
                    told.push(violation.to_string());
                    return told;
                }
            }
        }
        assert!(input.is_empty(), "a reader that wants more has taken all");
    }
    told
}

/// A stream of PDUs, and how many they are; none where some bytes are damaged.
fn stream(random: &mut Random, header_digest: bool, data_digest: bool) -> (Vec<u8>, Option<usize>) {
    let mut bytes = Vec::new();
    let count = random.below(6) + 1;
    for _ in 0..count {
        let mut header = random.bytes(BHS_BYTES);
        let length = random.below(70);
        for (place, value) in header.iter_mut().zip([0, 0, 0, 0, random.below(3), 0, 0, length]) {
            *place = u8::try_from(value).unwrap_or(0);
        }
        let ahs_words = header.get(4).copied().unwrap_or(0);
        // One additional header segment that fills them all.
        if let Some(length) = (4 * u16::from(ahs_words)).checked_sub(3) {
            header.extend(length.to_be_bytes());
            header.extend(random.bytes(usize::from(length) + 1));
        }
        bytes.extend_from_slice(&header);
        if header_digest {
            bytes.extend_from_slice(&digest::of(&[&header]));
        }
        let mut data = random.bytes(length as usize);
        data.resize(data.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&data);
        if data_digest && length > 0 {
            bytes.extend_from_slice(&digest::of(&[&data]));
        }
    }
    if random.one_in(2) {
        random.damage(&mut bytes);
        return (bytes, None);
    }
    (bytes, Some(count as usize))
}

/// However the bytes are cut, the reader says the same, and it never announces more data than its
/// limit.
#[test]
fn fuzz_reader_is_independent_of_cuts() {
    for mut random in rounds(2000) {
        let (header_digest, data_digest) = (random.one_in(2), random.one_in(2));
        let limit_bytes = random.below(100);
        let (bytes, count) = stream(&mut random, header_digest, data_digest);
        let reader = || Reader::new(header_digest, data_digest, limit_bytes);
        let whole = read_all(&mut reader(), &[&bytes], limit_bytes);
        if count.is_some() && limit_bytes >= 70 {
            let ends = whole.iter().filter(|told| told.ends_with("bytes, true")).count();
            assert_eq!(Some(ends), count, "{random}: {whole:?}");
        }
        let pieces = random.cut(&bytes);
        assert_eq!(read_all(&mut reader(), &pieces, limit_bytes), whole, "{random}");
    }
}

/// What the reader makes of noise ends, one way or the other.
#[test]
fn fuzz_reader_survives_noise() {
    for mut random in rounds(2000) {
        let length = random.below(4000) as usize;
        let bytes = random.bytes(length);
        read_all(&mut Reader::new(random.one_in(2), random.one_in(2), 8192), &[&bytes], 8192);
    }
}

/// A table of random rows, as wrong as a table can be.
fn table(random: &mut Random) -> CommandTable {
    let field = |random: &mut Random| {
        random.one_in(2).then(|| Field {
            offset: random.byte(),
            bytes: random.byte() % 9,
            mask: random.next(),
        })
    };
    let rows = (0..random.below(40))
        .map(|_| Row {
            opcode: random.byte() % 16,
            service_action: random.one_in(2).then(|| random.byte() % 4),
            execution: Execution::Read,
            lba: field(random),
            length: field(random),
            allocation: field(random),
            zero_length: *random.pick(&[
                ZeroLength::Nothing,
                ZeroLength::Blocks256,
                ZeroLength::ToTheEnd,
            ]),
            refused: if random.one_in(4) { random.bytes(16) } else { Vec::new() },
            has_fua: random.one_in(2),
            page_key: if random.one_in(2) { random.bytes(6) } else { Vec::new() },
            writes_medium: false,
            passes_unit_attention: false,
            access: Access::Read,
            harmless: (random.byte(), random.byte()),
        })
        .collect();
    CommandTable::new(rows)
}

/// Whatever a CDB holds, the range of blocks is inside the unit or refused.
#[test]
fn fuzz_cdbs_never_leave_the_unit() {
    for mut random in rounds(2000) {
        let table = table(&mut random);
        let unit_blocks = random.extreme();
        for _ in 0..20 {
            let mut cdb = [0; 16];
            cdb.copy_from_slice(&random.bytes(16));
            cdb[0] %= 16;
            let Ok(request) = table.parse(&cdb) else { continue };
            if let Ok((lba, blocks)) = request.blocks(unit_blocks) {
                let end = lba.checked_add(blocks);
                assert!(end.is_some_and(|end| end <= unit_blocks), "{random}");
            }
            let (_, length) = request.page_key(&cdb);
            assert!(length <= 16, "{random}");
        }
    }
}

/// Sense data that was understood is written back as it came, as far as we know its fields.
#[test]
fn fuzz_sense_round_trip() {
    for mut random in rounds(5000) {
        let length = random.below(30) as usize;
        let bytes = random.bytes(length);
        if let Some(sense) = Sense::decode(&bytes) {
            assert_eq!(Sense::decode(&sense.encode()), Some(sense), "{random}");
        }
    }
}

fn parameters(random: &mut Random) -> Parameters {
    Parameters {
        tsih: 1,
        exp_cmd_sn: *random.pick(&[0, 1, 77, u32::MAX - 3]),
        stat_sn: *random.pick(&[0, u32::MAX - 2]),
        max_recv_data_segment_bytes: *random.pick(&[512, 1024, 8192]),
        peer_max_recv_data_segment_bytes: *random.pick(&[512, 700, 8192]),
        max_burst_bytes: *random.pick(&[512, 2048, 16384]),
        first_burst_bytes: *random.pick(&[512, 2048]),
        initial_r2t: random.one_in(2),
        immediate_data: random.one_in(2),
        max_outstanding_r2t: u16::try_from(random.below(4)).unwrap_or(1) + 1,
        header_digest: random.one_in(4),
        data_digest: random.one_in(4),
        queue_depth: *random.pick(&[1, 2, 8]),
    }
}

/// An initiator that mostly keeps the rules, in any order and cut anywhere, against a device that
/// answers late, in pieces, with errors, or not at all: nothing panics, memory stays bounded, every
/// task is answered at most once, and every frame is well formed.
#[test]
fn fuzz_full_feature_phase() {
    let mut answered = 0;
    for mut random in rounds(400) {
        let parameters = parameters(&mut random);
        let mut initiator = Initiator::new(&parameters, random.one_in(3));
        let mut device = Device::new(parameters, random.to_string());
        for _ in 0..120 {
            let bytes = initiator.next_pdu(&mut random);
            for mut piece in random.cut(&bytes) {
                device.receive(&mut random, &mut piece);
            }
            device.work(&mut random);
            device.send(&mut random, &mut initiator);
            device.check();
            if device.is_broken() {
                break;
            }
        }
        answered += device.answered();
    }
    // The state machine is really exercised: not everything dies at its first PDU.
    assert!(answered > 0, "no task was ever answered");
}

/// The same with noise: it ends, and nothing is kept of it.
#[test]
fn fuzz_full_feature_phase_with_noise() {
    for mut random in rounds(400) {
        let mut device = Device::new(parameters(&mut random), random.to_string());
        for _ in 0..20 {
            let length = random.below(600) as usize;
            let bytes = random.bytes(length);
            device.receive(&mut random, &mut &bytes[..]);
            device.work(&mut random);
            device.check();
        }
    }
}

/// Every 48 bytes are a header, and say nothing impossible.
#[test]
fn fuzz_headers_are_total() {
    for mut random in rounds(5000) {
        let bytes = random.bytes(BHS_BYTES);
        let bhs: Bhs = zerocopy::FromBytes::read_from_bytes(&bytes[..]).expect("48 bytes");
        assert!(bhs.opcode() < 64 && bhs.ahs_bytes() <= 1020);
        assert!(bhs.data_segment_bytes() < 1 << 24);
    }
}
