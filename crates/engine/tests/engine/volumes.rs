//! Commands against every kind of volume.

use crate::initiator::{Initiator, parameters};
use crate::rig::{
    BLOCK, CONTEXT, Rig, TEST_UNIT_READY, cdb, on_both_drivers, pattern, read, write,
};
use fairlead_engine::engine::DriverChoice;
use fairlead_engine::program::PIECE_BYTES;
use fairlead_engine::volume::Kind;
use fairlead_proto::iscsi::parameters::Parameters;

on_both_drivers! {
    what_is_written_is_read_whatever_was_negotiated,
    nothing_is_behind_a_null_volume,
    ranges_are_covered_deallocated_and_compared,
    compare_and_write_is_one_step_for_everybody,
    a_write_is_before_or_after_a_compare_and_write,
    many_commands_at_once_are_all_answered,
    commands_wait_for_memory_and_are_all_answered,
    commands_that_cannot_be_are_refused,
    a_read_only_mapping_takes_no_writes,
    pages_are_served_with_and_without_a_unit,
}

/// Three and a half pieces, all of them more than a burst.
const LONG: usize = 7 * PIECE_BYTES as usize / 2;

fn negotiated() -> Vec<Parameters> {
    let usual = parameters();
    vec![
        usual.clone(),
        Parameters { immediate_data: false, ..usual.clone() },
        Parameters {
            max_burst_bytes: 8192,
            first_burst_bytes: 512,
            max_outstanding_r2t: 1,
            ..usual.clone()
        },
        Parameters {
            max_recv_data_segment_bytes: 4096,
            peer_max_recv_data_segment_bytes: 1000,
            ..usual
        },
    ]
}

fn session(rig: &mut Rig, unit: u32, parameters: Parameters) -> Initiator {
    let (socket, mut initiator) = rig.connect(&parameters);
    rig.adopt(socket, parameters, &[Rig::mapping(0, unit, CONTEXT)], Vec::new());
    initiator.run(0, &TEST_UNIT_READY, 0, &[]);
    initiator
}

fn what_is_written_is_read_whatever_was_negotiated(driver: DriverChoice) {
    for kind in [Kind::Memory, Kind::File, Kind::Sim] {
        let mut rig = Rig::new(driver, 1);
        let unit = rig.unit(kind, 8 << 20);
        for (seed, parameters) in (1..).zip(negotiated()) {
            let initiator = &mut session(&mut rig, unit, parameters);
            for (lba, bytes) in [(1, BLOCK), (9, 40 * BLOCK), (500, LONG)] {
                let (data, blocks) = (pattern(seed, bytes), (bytes / BLOCK) as u32);
                let outcome = write(initiator, lba, &data);
                assert!(outcome.is_good() && outcome.residual == 0, "{outcome:?}");
                let outcome = read(initiator, lba, blocks);
                assert!(outcome.is_good() && outcome.data == data, "{kind:?} {seed} {bytes}");
                let mut verify = cdb(0x8F, lba, blocks);
                verify[1] = 0x02;
                assert!(initiator.run(0, &verify, 0, &data).is_good());
                let mut other = data.clone();
                other[bytes - 1] ^= 1;
                assert_eq!(initiator.run(0, &verify, 0, &other).sense, Some((0xE, 0x1D00)));
            }
            // Forced to the medium, and verified there.
            let data = pattern(seed + 50, 4 * BLOCK);
            let mut fua = cdb(0x8A, 0, 4);
            fua[1] = 0x08;
            assert!(initiator.run(0, &fua, 0, &data).is_good());
            fua[0] = 0x88;
            assert_eq!(initiator.run(0, &fua, 4 * BLOCK as u32, &[]).data, data);
            let mut verified = cdb(0x8E, 20, 4);
            verified[1] = 0x02;
            assert!(initiator.run(0, &verified, 0, &data).is_good());
            assert_eq!(read(initiator, 20, 4).data, data);
        }
        rig.stop();
    }
}

fn nothing_is_behind_a_null_volume(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Null, 1 << 40);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    assert!(write(&mut initiator, 5, &pattern(1, LONG)).is_good());
    let outcome = read(&mut initiator, 5, (LONG / BLOCK) as u32);
    assert!(outcome.is_good() && outcome.data == vec![0; LONG]);
    assert!(initiator.run(0, &cdb(0x91, 0, 0), 0, &[]).is_good());
    // The whole volume, in some thousand requests: everybody else has a turn between them.
    let (_, mut other) = rig.session(&[Rig::mapping(0, unit, "other")]);
    let mut zero = cdb(0x93, 0, 0);
    zero[1] = 0x01;
    let tag = initiator.put_command(0, &zero, 0, &[]);
    initiator.send();
    assert!(read(&mut other, 0, 1).is_good());
    assert!(initiator.outcome(tag).is_good());
    rig.stop();
}

fn ranges_are_covered_deallocated_and_compared(driver: DriverChoice) {
    for kind in [Kind::Memory, Kind::File, Kind::Sim] {
        let mut rig = Rig::new(driver, 2);
        let unit = rig.unit(kind, 8 << 20);
        let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
        let block = pattern(9, BLOCK);
        // WRITE SAME of a pattern over more than one request.
        let blocks = 1500;
        assert!(initiator.run(0, &cdb(0x93, 2, blocks), 0, &block).is_good());
        let there = read(&mut initiator, 0, blocks + 4).data;
        assert!(there[..2 * BLOCK] == [0; 2 * BLOCK]);
        assert!(there[2 * BLOCK..][..1500 * BLOCK] == block.repeat(1500));
        assert!(there[1502 * BLOCK..] == [0; 2 * BLOCK]);
        // UNMAP of two ranges.
        let mut list = vec![0, 38, 0, 32, 0, 0, 0, 0];
        for (lba, blocks) in [(8_u64, 8_u32), (1000, 100)] {
            list.extend_from_slice(&lba.to_be_bytes());
            list.extend_from_slice(&blocks.to_be_bytes());
            list.extend_from_slice(&[0; 4]);
        }
        let unmap = [0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
        assert!(initiator.run(0, &unmap, 0, &list).is_good());
        let there = read(&mut initiator, 0, blocks).data;
        for lba in 2..1500 {
            let is_gone = (8..16).contains(&lba) || (1000..1100).contains(&lba);
            let expected = if is_gone { vec![0; BLOCK] } else { block.clone() };
            assert!(there[lba * BLOCK..][..BLOCK] == expected, "{kind:?}: block {lba}");
        }
        // COMPARE AND WRITE, once with success.
        let mut compare = cdb(0x89, 2, 0);
        compare[13] = 1;
        let data = [block.clone(), pattern(10, BLOCK)].concat();
        assert!(initiator.run(0, &compare, 0, &data).is_good());
        assert_eq!(initiator.run(0, &compare, 0, &data).sense, Some((0xE, 0x1D00)));
        assert_eq!(read(&mut initiator, 2, 1).data, pattern(10, BLOCK));
        rig.stop();
    }
}

/// Two initiators on two submitters count in one block, each step only if nobody was faster.
fn compare_and_write_is_one_step_for_everybody(driver: DriverChoice) {
    const STEPS: u64 = 100;
    for kind in [Kind::Memory, Kind::File, Kind::Sim] {
        let mut rig = Rig::new(driver, 2);
        let unit = rig.unit(kind, 1 << 20);
        let initiators: Vec<_> = ["first", "second"]
            .map(|context| rig.session(&[Rig::mapping(0, unit, context)]).1)
            .into();
        std::thread::scope(|scope| {
            for mut initiator in initiators {
                scope.spawn(move || {
                    let mut steps = 0;
                    while steps < STEPS {
                        let there = read(&mut initiator, 0, 1).data;
                        let count = u64::from_be_bytes(there[..8].try_into().expect("8 bytes"));
                        let next = [&(count + 1).to_be_bytes()[..], &there[8..]].concat();
                        let mut compare = cdb(0x89, 0, 0);
                        compare[13] = 1;
                        // Plain writes elsewhere in the range's neighbourhood go on meanwhile.
                        let tag = initiator.put_command(0, &cdb(0x8A, 1, 1), 0, &next);
                        let outcome = initiator.run(0, &compare, 0, &[there, next].concat());
                        assert!(initiator.outcome(tag).is_good());
                        steps += u64::from(outcome.is_good());
                        assert!(outcome.is_good() || outcome.sense == Some((0xE, 0x1D00)));
                    }
                });
            }
        });
        let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
        let there = read(&mut initiator, 0, 1).data;
        assert_eq!(there[..8], (2 * STEPS).to_be_bytes(), "{kind:?}: a step was lost");
        rig.stop();
    }
}

/// A plain write that comes between the two halves would be lost: whether it goes first (and the
/// comparison fails) or last, its data is there in the end.
fn a_write_is_before_or_after_a_compare_and_write(driver: DriverChoice) {
    const BLOCKS: usize = 16;
    let mut rig = Rig::new(driver, 2);
    let unit = rig.unit(Kind::File, 1 << 20);
    let (_, mut first) = rig.session(&[Rig::mapping(0, unit, "first")]);
    let (_, mut second) = rig.session(&[Rig::mapping(0, unit, "second")]);
    let data: Vec<_> = (0..3).map(|seed| pattern(seed, BLOCKS * BLOCK)).collect();
    let mut compare = cdb(0x89, 0, 0);
    compare[13] = BLOCKS as u8;
    let replaces = [&data[0][..], &data[1]].concat();
    let mut succeeded = 0;
    for round in 0..400 {
        assert!(write(&mut first, 0, &data[0]).is_good());
        let compares = second.put_command(0, &compare, 0, &replaces);
        let writes = first.put_command(0, &cdb(0x8A, 0, BLOCKS as u32), 0, &data[2]);
        if round % 2 == 0 {
            second.send();
            first.send();
        } else {
            first.send();
            second.send();
        }
        assert!(first.outcome(writes).is_good());
        succeeded += u32::from(second.outcome(compares).is_good());
        assert!(read(&mut first, 0, BLOCKS as u32).data == data[2], "round {round}: lost");
    }
    println!("{succeeded} of 400 compared before the write");
    rig.stop();
}

fn many_commands_at_once_are_all_answered(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::File, 8 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    for round in 0..20_u8 {
        let mut tags = Vec::new();
        assert!(initiator.window() >= 40, "{}", initiator.window());
        for number in 0..30 {
            let data = pattern(round ^ number, 16 * BLOCK);
            tags.push(initiator.put_command(0, &cdb(0x8A, 16 * u64::from(number), 16), 0, &data));
        }
        tags.push(initiator.put_command(0, &cdb(0x91, 0, 0), 0, &[]));
        initiator.send();
        assert!(tags.drain(..).all(|tag| initiator.outcome(tag).is_good()));
        for number in 0..30 {
            let cdb = cdb(0x88, 16 * number, 16);
            tags.push(initiator.put_command(0, &cdb, 16 * BLOCK as u32, &[]));
        }
        initiator.send();
        for (number, tag) in (0_u8..).zip(tags) {
            assert!(initiator.outcome(tag).data == pattern(round ^ number, 16 * BLOCK));
        }
    }
    rig.stop();
}

/// Two buffers of the largest size, and clients that want forty.
fn commands_wait_for_memory_and_are_all_answered(driver: DriverChoice) {
    let mut rig = Rig::with_memory(driver, 1, 2 << 20);
    let unit = rig.unit(Kind::Memory, 8 << 20);
    let mut initiators: Vec<_> =
        ["first", "second"].map(|context| rig.session(&[Rig::mapping(0, unit, context)]).1).into();
    let mut tags = Vec::new();
    for initiator in &mut initiators {
        for _ in 0..20 {
            tags.push(initiator.put_command(0, &cdb(0x88, 0, 2048), 1 << 20, &[]));
        }
        initiator.send();
    }
    std::thread::scope(|scope| {
        for (initiator, tags) in initiators.iter_mut().zip(tags.chunks(20)) {
            scope.spawn(move || {
                assert!(tags.iter().all(|tag| initiator.outcome(*tag).is_good()));
            });
        }
    });
    // Data that comes without being asked for finds no place: that is told, not dropped.
    let initiator = &mut initiators[0];
    let tags: Vec<_> = (0..20)
        .map(|_| initiator.put_command(0, &cdb(0x8A, 0, 2048), 0, &pattern(1, 1 << 20)))
        .collect();
    initiator.send();
    let statuses: Vec<_> = tags.into_iter().map(|tag| initiator.outcome(tag).status).collect();
    assert!(statuses.iter().all(|status| [0x00, 0x28].contains(status)), "{statuses:x?}");
    assert_eq!(statuses[0], 0);
    assert_eq!(read(initiator, 0, 2048).data, pattern(1, 1 << 20));
    rig.stop();
}

fn commands_that_cannot_be_are_refused(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let end = (1 << 20) / BLOCK as u64;
    let data = [0; BLOCK];
    for (lun, cdb, sense) in [
        (0, cdb(0xFF, 0, 0), (0x5, 0x2000)),
        (7, cdb(0x88, 0, 1), (0x5, 0x2500)),
        (7, cdb(0xFF, 0, 1), (0x5, 0x2500)),
        (0, cdb(0x88, end, 1), (0x5, 0x2100)),
        (0, cdb(0x8A, end, 1), (0x5, 0x2100)),
        (0, cdb(0x8A, u64::MAX, 1), (0x5, 0x2100)),
        (0, cdb(0x89, 0, 0), (0x5, 0x2400)),
    ] {
        let outcome = initiator.run(lun, &cdb, 0, &data);
        assert_eq!(outcome.sense, Some(sense), "{lun} {cdb:x?}");
    }
    // More and less than the CDB asks for.
    let outcome = initiator.run(0, &cdb(0x88, 0, 2), BLOCK as u32, &[]);
    assert_eq!((outcome.data.len(), outcome.residual), (BLOCK, -(BLOCK as i64)));
    let outcome = initiator.run(0, &cdb(0x88, 0, 1), 3 * BLOCK as u32, &[]);
    assert_eq!((outcome.data.len(), outcome.residual), (BLOCK, 2 * BLOCK as i64));
    rig.stop();
}

fn a_read_only_mapping_takes_no_writes(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let mut mapping = Rig::mapping(0, unit, "reader");
    mapping.read_only = true;
    let (_, mut reader) = rig.session(&[mapping]);
    let (_, mut writer) = rig.session(&[Rig::mapping(0, unit, "writer")]);
    assert_eq!(write(&mut reader, 0, &pattern(1, BLOCK)).sense, Some((0x7, 0x2700)));
    assert!(write(&mut writer, 0, &pattern(2, BLOCK)).is_good());
    assert_eq!(read(&mut reader, 0, 1).data, pattern(2, BLOCK));
    rig.stop();
}

fn pages_are_served_with_and_without_a_unit(driver: DriverChoice) {
    let mut rig = Rig::new(driver, 1);
    let unit = rig.unit(Kind::Memory, 1 << 20);
    let (_, mut initiator) = rig.session(&[Rig::mapping(0, unit, CONTEXT)]);
    let inquiry = |evpd: u8, page: u8, allocation: u8| [0x12, evpd, page, 0, allocation, 0];
    let outcome = initiator.run(0, &inquiry(0, 0, 36), 255, &[]);
    assert_eq!((outcome.data, outcome.residual), ((0..36).collect(), 255 - 36));
    let outcome = initiator.run(9, &inquiry(0, 0, 36), 255, &[]);
    assert_eq!(outcome.data, [0x7F, 0, 6, 2]);
    assert_eq!(initiator.run(0, &inquiry(1, 0x99, 36), 255, &[]).sense, Some((0x5, 0x2400)));
    assert_eq!(initiator.run(9, &inquiry(1, 0x99, 36), 255, &[]).sense, Some((0x5, 0x2500)));
    let report_luns = |allocation: u8| [0xA0, 0, 0, 0, 0, 0, 0, 0, 0, allocation, 0, 0];
    let outcome = initiator.run(0, &report_luns(255), 255, &[]);
    assert_eq!(outcome.data, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(initiator.run(0, &report_luns(8), 255, &[]).sense, Some((0x5, 0x2400)));
    rig.stop();
}
