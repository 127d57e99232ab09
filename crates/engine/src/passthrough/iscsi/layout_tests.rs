//! Our layouts and constants against the installed headers, by a C compiler.

use super::{ABORT_TASK, RESIDUAL_UNDERFLOW, SESSION_NORMAL, TCP};
use super::{STRING_BYTES_MAX, TASK_CDB_BYTES_MAX, Task, TaskVector, Url, status, transfer};
use std::fmt::Write;
use std::mem::offset_of;
use std::process::{Command, Output};

const HEADERS: &str = "#include <stddef.h>\n#include <stdint.h>\n#include <sys/types.h>\n\
    #include <sys/uio.h>\n#include <iscsi/iscsi.h>\n#include <iscsi/scsi-lowlevel.h>\n";

/// Compiles a program of these lines; nothing is run.
fn compile(lines: &str) -> std::io::Result<Output> {
    let name = format!("fairlead-layout-{}-{}", std::process::id(), lines.len());
    let source = std::env::temp_dir().join(name).with_extension("c");
    std::fs::write(&source, format!("{HEADERS}{lines}"))?;
    let done = Command::new("cc").arg("-fsyntax-only").arg(&source).output();
    std::fs::remove_file(&source)?;
    done
}

/// C expressions and what they are for us.
fn expectations() -> Vec<(String, usize)> {
    let mut expected = Vec::new();
    macro_rules! fields {
        ($type:ty as $name:literal: $($field:ident $(as $theirs:literal)?),+) => {
            expected.push((format!("sizeof(struct {})", $name), size_of::<$type>()));
            $(
                let theirs = [$($theirs,)? stringify!($field)][0];
                let place = offset_of!($type, $field);
                expected.push((format!("offsetof(struct {}, {theirs})", $name), place));
            )+
        };
    }
    fields!(Task as "scsi_task": status, cdb_size, xfer_dir, expxferlen, cdb, residual_status,
        residual, sense, datain_size as "datain.size", datain as "datain.data", mem, ptr, itt,
        cmdsn, lun, iovector_in, iovector_out);
    fields!(TaskVector as "scsi_iovector": iov, niov, nalloc, offset, consumed);
    fields!(Url as "iscsi_url": portal, target, user, passwd, target_user, target_passwd, lun,
        iscsi, transport);
    fields!(libc::iovec as "scsi_iovec": iov_base, iov_len);
    let constants = [
        ("SCSI_CDB_MAX_SIZE", TASK_CDB_BYTES_MAX as i64),
        ("MAX_STRING_SIZE", STRING_BYTES_MAX as i64),
        ("ISCSI_SESSION_NORMAL", SESSION_NORMAL.into()),
        ("ISCSI_TM_ABORT_TASK", ABORT_TASK.into()),
        ("TCP_TRANSPORT", TCP.into()),
        ("SCSI_XFER_NONE", transfer::NONE.into()),
        ("SCSI_XFER_READ", transfer::READ.into()),
        ("SCSI_XFER_WRITE", transfer::WRITE.into()),
        ("SCSI_RESIDUAL_UNDERFLOW", RESIDUAL_UNDERFLOW.into()),
        ("SCSI_STATUS_GOOD", status::GOOD.into()),
        ("SCSI_STATUS_REDIRECT", status::REDIRECT.into()),
        ("SCSI_STATUS_CANCELLED", status::CANCELLED.into()),
        ("SCSI_STATUS_ERROR", status::ERROR.into()),
        ("SCSI_STATUS_TIMEOUT", status::TIMEOUT.into()),
        ("sizeof(enum scsi_residual)", 4),
        ("sizeof(enum iscsi_session_type)", 4),
    ];
    expected.extend(constants.map(|(name, value)| (name.to_owned(), value as usize)));
    expected
}

#[test]
fn layouts_and_constants_are_those_of_the_headers() {
    match compile("") {
        Err(error) => return println!("skipped: no C compiler: {error}"),
        Ok(done) if !done.status.success() => return println!("skipped: no libiscsi-dev"),
        Ok(_) => {}
    }
    let mut lines = String::new();
    for (theirs, ours) in expectations() {
        writeln!(lines, "_Static_assert({theirs} == {ours}, \"{theirs} is not {ours}\");")
            .expect("a string takes it");
    }
    let done = compile(&lines).expect("the compiler has just worked");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let wrong = compile("_Static_assert(sizeof(struct scsi_task) == 3, \"\");");
    assert!(!wrong.expect("the compiler has just worked").status.success(), "it checks nothing");
}

#[test]
fn the_installed_library_is_one_that_we_know() {
    match super::library() {
        Err(error @ super::OpenError::NoLibrary(_)) => println!("skipped: {error}"),
        other => assert!(other.is_ok(), "{:?}", other.err()),
    }
}
