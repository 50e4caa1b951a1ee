//! What was asked and heard as JSON, an object a line.
//!
//! ```text
//! {"process":3,"f":"SET","key":"check:1f:0:2","value":"3.7 NX","start":81,"end":95,
//!  "type":"ok","answer":"OK"}
//! ```
//! Times are nanoseconds since the start. `type` is `ok` for what was answered, `fail` for what
//! certainly had no effect, `info` for what may or may not have had one; `answer` is the answer or
//! the reason.

use std::io::{self, Write};

use quorate::check::keys::{Event, Fate};

/// Writes one line.
pub(super) fn write(event: &Event, out: &mut impl Write) -> io::Result<()> {
    let words = event.asked.words();
    let mut words = words.iter();
    let name = words.next().map(Vec::as_slice).unwrap_or_default();
    let key = words.next().map(Vec::as_slice).unwrap_or_default();
    let value: Vec<&[u8]> = words.map(Vec::as_slice).collect();
    let (kind, answer) = match &event.fate {
        Fate::Failed(why) => ("fail", why.clone()),
        Fate::Ok(told) => ("ok", told.to_string()),
        Fate::Unknown(why) => ("info", why.clone()),
    };
    writeln!(
        out,
        "{{\"process\":{},\"f\":{},\"key\":{},\"value\":{},\"start\":{},\"end\":{},\
         \"type\":\"{kind}\",\"answer\":{}}}",
        event.process,
        quoted(name),
        quoted(key),
        quoted(&value.join(&b' ')),
        event.start,
        event.end,
        quoted(answer.as_bytes()),
    )
}

/// A JSON string. Bytes that are no text become question marks in a diamond.
fn quoted(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use quorate::{
        check::cell::{Asked, Told},
        command::op::{Action, Answer, Condition, Expiry, Op, SetReply},
    };

    use super::*;

    #[test]
    fn a_line_is_json() {
        let (value, condition) = (&b"a\"\\\n\x01"[..], Condition::Absent);
        let action =
            Action::Set { value, condition, reply: SetReply::Outcome, expiry: Expiry::Never };
        let asked = Asked::new(&Op::new(b"k", action));
        let fate = Fate::Ok(Told(Answer::Ok));
        let event = Event { process: 7, asked, start: 1, end: 2, fate };
        let mut line = Vec::new();
        write(&event, &mut line).expect("writing to memory");
        let expected = "{\"process\":7,\"f\":\"SET\",\"key\":\"k\",\
                        \"value\":\"a\\\"\\\\\\u000a\\u0001 NX\",\"start\":1,\"end\":2,\
                        \"type\":\"ok\",\"answer\":\"OK\"}\n";
        assert_eq!(String::from_utf8(line).expect("text"), expected);
    }
}
