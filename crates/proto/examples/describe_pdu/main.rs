//! Reads PDUs as hex, one to a line, and prints one line for each: `pdu=TYPE` and `field=value`
//! pairs, numbers decimal, bytes in hex; or `error=REASON`. For comparing codecs.
//!
//! A line may start with `H` (header digest), `D` (data digest) or both, and a space.

mod fields;

use fairlead_proto::iscsi::reader::{Reader, Step};
use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        match describe(&line?) {
            Ok(text) => writeln!(out, "{text}")?,
            Err(reason) => writeln!(out, "error={reason}")?,
        }
    }
    out.flush()
}

fn describe(line: &str) -> Result<String, String> {
    let (digests, text) = line.trim().rsplit_once(' ').unwrap_or(("", line.trim()));
    let bytes = unhex(text).ok_or("not hex")?;
    let mut reader = Reader::new(digests.contains('H'), digests.contains('D'), 0xFF_FFFF);
    let mut input = bytes.as_slice();
    let (mut header, mut data) = (None, Vec::new());
    loop {
        match reader.step(&mut input).ok_or("cut short")? {
            Step::Header(bhs) => header = Some(zerocopy::IntoBytes::as_bytes(&bhs).to_vec()),
            Step::Data(piece) => data.extend_from_slice(piece),
            Step::End { intact: true } if input.is_empty() => break,
            Step::End { intact: true } => return Err("bytes after the PDU".into()),
            Step::End { intact: false } => return Err("data digest does not match".into()),
            Step::Broken(violation) => return Err(violation.to_string()),
        }
    }
    let header: [u8; 48] = header.and_then(|bytes| bytes.try_into().ok()).ok_or("no header")?;
    let (name, fields) = fields::describe(&header).ok_or("unknown operation code")?;
    let mut text = format!("pdu={name}");
    for (field, value) in fields {
        text.push_str(&format!(" {field}={value}"));
    }
    text.push_str(&format!(" data={}", fields::hex(&data)));
    Ok(text)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
