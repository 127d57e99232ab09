//! The full-feature phase fed with raw bytes, before a host that answers everything at once.
//!
//! Input: one byte of settings, then the stream. Every command that is told is answered once, as
//! long as its data comes, and memory stays bounded.
#![no_main]

use fairlead_proto::iscsi::connection::{Connection, Event, Request};
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_proto::scsi::status;
use libfuzzer_sys::fuzz_target;

static ZEROES: [u8; 8192] = [0; 8192];
const RETAINED_BYTES_MAX: usize = 512 * 1024;

fn parameters(settings: u8) -> Parameters {
    Parameters {
        tsih: 1,
        exp_cmd_sn: 1,
        stat_sn: 1,
        max_recv_data_segment_bytes: 8192,
        peer_max_recv_data_segment_bytes: 8192,
        max_burst_bytes: 16384,
        first_burst_bytes: 4096,
        initial_r2t: settings & 4 != 0,
        immediate_data: settings & 8 == 0,
        max_outstanding_r2t: 2,
        header_digest: settings & 1 != 0,
        data_digest: settings & 2 != 0,
        queue_depth: 16,
    }
}

fn execute(connection: &mut Connection, slot: Slot) {
    let task = connection.task(slot);
    let end = task.expected_bytes.min(20_000);
    let answer = Answer { status: status::GOOD, sense: task.fault, cdb_bytes: u64::from(end) };
    connection.data_in(slot, 0, end, Some(answer));
}

fuzz_target!(|input: &[u8]| {
    let [settings, stream @ ..] = input else { return };
    let mut stream = stream;
    let mut connection = Connection::new(parameters(*settings));
    let reads = settings & 0x10 == 0;
    let mut owed = 0_usize;
    while let Some(event) = connection.poll(&mut stream) {
        match event {
            Event::Command(slot) => connection.want(slot, u32::MAX),
            Event::Execute(slot) => {
                execute(&mut connection, slot);
                owed += 1;
            }
            Event::Request(Request::Management {
                initiator_task_tag,
                referenced_task_tag,
                ref_cmd_sn,
                ..
            }) => {
                match connection.find(referenced_task_tag) {
                    Some(slot) => {
                        let was_owed = connection.task(slot).answer.is_some();
                        owed -= usize::from(was_owed);
                        connection.release(slot);
                    }
                    None => _ = connection.skip(ref_cmd_sn),
                }
                connection.answer_management(initiator_task_tag, 0);
            }
            Event::Request(Request::Text { initiator_task_tag, data, .. }) => {
                connection.answer_text(initiator_task_tag, u32::MAX, 0x80, &data);
            }
            Event::Request(Request::Logout { initiator_task_tag, .. }) => {
                connection.answer_logout(initiator_task_tag, 0);
            }
            Event::Data { .. } | Event::Rejected(_) | Event::Broken(_) => {}
        }
        while reads {
            let frame = connection.next_frame(|_, _, length| &ZEROES[..length as usize]);
            let Some(frame) = frame else { break };
            if let Some(slot) = frame.ends {
                owed = owed.checked_sub(1).expect("answered once");
                connection.release(slot);
            }
        }
        assert!(connection.retained_bytes() < RETAINED_BYTES_MAX);
    }
    assert!(!reads || owed == 0, "all that was executed is answered");
});
