//! The fields of every PDU, by the names that the Python codec has for them.
//!
//! A table of its own, and not the connection's code: what the state machine reads through
//! [`Bhs`] and writes through [`Reply`] must sit where this table, the vectors and the Python
//! codec say. Spec: RFC 7143 §11.

use fairlead_proto::iscsi::bhs::{Bhs, Reply};
use zerocopy::{FromBytes, IntoBytes};

/// A field's value: what it is called, and how it is printed.
pub(crate) type Field = (&'static str, String);

/// The type's name, and its fields except `data`; `None`: the operation code is unknown.
pub(crate) fn describe(header: &[u8; 48]) -> Option<(&'static str, Vec<Field>)> {
    let bhs = Bhs::read_from_bytes(header).ok()?;
    let reply = Reply::read_from_bytes(header).ok()?;
    Some(match bhs.opcode() {
        0x00 => {
            ("NopOut", numbered(&bhs, [lun(&bhs), tag(&bhs), word_20("target_transfer_tag", &bhs)]))
        }
        0x01 => ("ScsiCommand", scsi_command(&bhs)),
        0x02 => ("TaskManagementRequest", task_management_request(&bhs)),
        0x03 => ("LoginRequest", login_request(&bhs)),
        0x04 => ("TextRequest", text_request(&bhs)),
        0x05 => ("DataOut", data_out(&bhs)),
        0x06 => ("LogoutRequest", logout_request(&bhs)),
        0x10 => ("SnackRequest", snack_request(&bhs)),
        0x20 => ("NopIn", stamped(&reply, [reply_lun(&reply), reply_tag(&reply), ttt(&reply)])),
        0x21 => ("ScsiResponse", scsi_response(&reply)),
        0x22 => ("TaskManagementResponse", stamped(&reply, [response(&reply), reply_tag(&reply)])),
        0x23 => ("LoginResponse", login_response(&reply)),
        0x24 => ("TextResponse", text_response(&reply)),
        0x25 => ("DataIn", data_in(&reply)),
        0x26 => ("LogoutResponse", logout_response(&reply)),
        0x31 => ("R2t", r2t(&reply)),
        0x32 => ("AsyncMessage", async_message(&reply)),
        0x3F => ("Reject", reject(&reply)),
        _ => return None,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(name: &'static str, value: impl Into<u64>) -> Field {
    (name, value.into().to_string())
}

fn bit(name: &'static str, value: bool) -> Field {
    (name, value.to_string())
}

fn lun(bhs: &Bhs) -> Field {
    ("lun_field", hex(bhs.lun.as_bytes()))
}

fn tag(bhs: &Bhs) -> Field {
    number("initiator_task_tag", bhs.initiator_task_tag.get())
}

fn word_20(name: &'static str, bhs: &Bhs) -> Field {
    number(name, bhs.word_20.get())
}

/// Of requests that count in the command order: I bit, CmdSN and ExpStatSN.
fn numbered(bhs: &Bhs, fields: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let mut all = vec![
        bit("immediate", bhs.is_immediate()),
        number("cmd_sn", bhs.cmd_sn.get()),
        number("exp_stat_sn", bhs.exp_stat_sn.get()),
    ];
    all.extend(fields);
    all
}

fn scsi_command(bhs: &Bhs) -> Vec<Field> {
    numbered(
        bhs,
        [
            bit("final", bhs.is_final()),
            bit("read", bhs.flags & 0x40 != 0),
            bit("write", bhs.flags & 0x20 != 0),
            number("attribute", bhs.flags & 0x07),
            lun(bhs),
            tag(bhs),
            word_20("expected_data_bytes", bhs),
            ("cdb", hex(&bhs.rest)),
        ],
    )
}

fn task_management_request(bhs: &Bhs) -> Vec<Field> {
    numbered(
        bhs,
        [
            number("function", bhs.flags & 0x7F),
            lun(bhs),
            tag(bhs),
            word_20("referenced_task_tag", bhs),
            number("ref_cmd_sn", bhs.word_32()),
            number("exp_data_sn", bhs.word_36()),
        ],
    )
}

fn login_request(bhs: &Bhs) -> Vec<Field> {
    let mut fields = login(bhs.flags, bhs.specific, "version_min", bhs.lun.as_bytes());
    fields.extend([
        tag(bhs),
        number("cid", bhs.word_20.get() >> 16),
        number("cmd_sn", bhs.cmd_sn.get()),
        number("exp_stat_sn", bhs.exp_stat_sn.get()),
    ]);
    fields
}

fn login_response(reply: &Reply) -> Vec<Field> {
    let versions = [reply.byte_2, reply.byte_3];
    let mut fields = login(reply.flags, versions, "version_active", reply.lun.as_bytes());
    fields.push(reply_tag(reply));
    fields.push(number("status", reply.word_36.get() >> 16));
    stamped(reply, fields)
}

fn login(flags: u8, versions: [u8; 2], second: &'static str, session: &[u8]) -> Vec<Field> {
    let (isid, tsih) = session.split_at(6);
    vec![
        bit("transit", flags & 0x80 != 0),
        bit("continue_", flags & 0x40 != 0),
        number("csg", flags >> 2 & 3),
        number("nsg", flags & 3),
        number("version_max", versions[0]),
        number(second, versions[1]),
        ("isid", hex(isid)),
        number("tsih", tsih.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))),
    ]
}

fn text_request(bhs: &Bhs) -> Vec<Field> {
    numbered(
        bhs,
        [
            bit("final", bhs.is_final()),
            bit("continue_", bhs.flags & 0x40 != 0),
            lun(bhs),
            tag(bhs),
            word_20("target_transfer_tag", bhs),
        ],
    )
}

fn data_out(bhs: &Bhs) -> Vec<Field> {
    vec![
        bit("final", bhs.is_final()),
        lun(bhs),
        tag(bhs),
        word_20("target_transfer_tag", bhs),
        number("exp_stat_sn", bhs.exp_stat_sn.get()),
        number("data_sn", bhs.word_36()),
        number("buffer_offset_bytes", bhs.word_40()),
    ]
}

fn logout_request(bhs: &Bhs) -> Vec<Field> {
    let cid = bhs.word_20.get() >> 16;
    numbered(bhs, [number("reason", bhs.flags & 0x7F), tag(bhs), number("cid", cid)])
}

fn snack_request(bhs: &Bhs) -> Vec<Field> {
    vec![
        number("type_", bhs.flags & 0x0F),
        lun(bhs),
        tag(bhs),
        word_20("target_transfer_tag", bhs),
        number("exp_stat_sn", bhs.exp_stat_sn.get()),
        number("beg_run", bhs.word_40()),
        number(
            "run_length",
            u32::from_be_bytes([bhs.rest[12], bhs.rest[13], bhs.rest[14], bhs.rest[15]]),
        ),
    ]
}

fn reply_lun(reply: &Reply) -> Field {
    ("lun_field", hex(reply.lun.as_bytes()))
}

fn reply_tag(reply: &Reply) -> Field {
    number("initiator_task_tag", reply.initiator_task_tag.get())
}

fn ttt(reply: &Reply) -> Field {
    number("target_transfer_tag", reply.word_20.get())
}

fn response(reply: &Reply) -> Field {
    number("response", reply.byte_2)
}

/// Of every PDU of the target: StatSN, ExpCmdSN and MaxCmdSN.
fn stamped(reply: &Reply, fields: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let mut all = vec![
        number("stat_sn", reply.stat_sn.get()),
        number("exp_cmd_sn", reply.exp_cmd_sn.get()),
        number("max_cmd_sn", reply.max_cmd_sn.get()),
    ];
    all.extend(fields);
    all
}

fn scsi_response(reply: &Reply) -> Vec<Field> {
    stamped(
        reply,
        [
            bit("bidirectional_overflow", reply.flags & 0x10 != 0),
            bit("bidirectional_underflow", reply.flags & 0x08 != 0),
            bit("overflow", reply.flags & 0x04 != 0),
            bit("underflow", reply.flags & 0x02 != 0),
            response(reply),
            number("status", reply.byte_3),
            reply_tag(reply),
            number("snack_tag", reply.word_20.get()),
            number("exp_data_sn", reply.word_36.get()),
            number("bidirectional_residual_bytes", reply.word_40.get()),
            number("residual_bytes", reply.word_44.get()),
        ],
    )
}

fn text_response(reply: &Reply) -> Vec<Field> {
    let (is_final, continues) = (reply.flags & 0x80 != 0, reply.flags & 0x40 != 0);
    let flags = [bit("final", is_final), bit("continue_", continues)];
    let mut fields = stamped(reply, flags);
    fields.extend([reply_lun(reply), reply_tag(reply), ttt(reply)]);
    fields
}

fn data_in(reply: &Reply) -> Vec<Field> {
    stamped(
        reply,
        [
            bit("final", reply.flags & 0x80 != 0),
            bit("acknowledge", reply.flags & 0x40 != 0),
            bit("overflow", reply.flags & 0x04 != 0),
            bit("underflow", reply.flags & 0x02 != 0),
            bit("has_status", reply.flags & 0x01 != 0),
            number("status", reply.byte_3),
            reply_lun(reply),
            reply_tag(reply),
            ttt(reply),
            number("data_sn", reply.word_36.get()),
            number("buffer_offset_bytes", reply.word_40.get()),
            number("residual_bytes", reply.word_44.get()),
        ],
    )
}

fn logout_response(reply: &Reply) -> Vec<Field> {
    let (wait, retain) = (reply.word_40.get() >> 16, reply.word_40.get() & 0xFFFF);
    let times = [number("time2wait_s", wait), number("time2retain_s", retain)];
    let mut fields = stamped(reply, times);
    fields.extend([response(reply), reply_tag(reply)]);
    fields
}

fn r2t(reply: &Reply) -> Vec<Field> {
    stamped(
        reply,
        [
            reply_lun(reply),
            reply_tag(reply),
            ttt(reply),
            number("r2t_sn", reply.word_36.get()),
            number("buffer_offset_bytes", reply.word_40.get()),
            number("desired_bytes", reply.word_44.get()),
        ],
    )
}

fn async_message(reply: &Reply) -> Vec<Field> {
    let (first, second) = (reply.word_36.get(), reply.word_40.get());
    stamped(
        reply,
        [
            reply_lun(reply),
            number("event", first >> 24),
            number("vendor_code", first >> 16 & 0xFF),
            number("parameter_1", first & 0xFFFF),
            number("parameter_2", second >> 16),
            number("parameter_3", second & 0xFFFF),
        ],
    )
}

fn reject(reply: &Reply) -> Vec<Field> {
    let (reason, data_sn) = (number("reason", reply.byte_2), reply.word_36.get());
    stamped(reply, [reason, number("data_sn", data_sn)])
}
