//! HELP: the command table as a text for people, and how to quote.
//!
//! Built when asked for; nothing here is on a hot path. It shows only what the table has.

use std::fmt::Write;

use super::{
    spec::{Group, Spec},
    table::{TABLE, lookup},
};

/// Room for a usage line in front of its summary.
pub(super) const USAGE_WIDTH: usize = 42;

/// The text about `topic`, a command's name; about all commands without one. `None` if there is no
/// such command.
#[must_use]
pub fn text(topic: Option<&[u8]>) -> Option<String> {
    let mut text = String::new();
    match topic {
        None => write_overview(&mut text),
        Some(topic) => write_command(&mut text, lookup(topic)?),
    }
    Some(text)
}

fn write_overview(text: &mut String) {
    for group in [Group::Data, Group::Connection, Group::Server] {
        for spec in TABLE.iter().filter(|spec| spec.group == group) {
            write_command(text, spec);
        }
        text.push('\n');
    }
    text.push_str(
        "A value with spaces goes in quotes: SET greeting \"hello world\"\n\
         Within them: \\n \\r \\t \\\" \\\\ and \\xHH for any byte. Values that need it are shown the same way.\n",
    );
}

fn write_command(text: &mut String, spec: &Spec) {
    let written = writeln!(text, "{:USAGE_WIDTH$} {}", spec.usage, spec.summary);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_every_command() {
        let overview = text(None).unwrap_or_default();
        for spec in &TABLE {
            assert!(overview.contains(spec.usage), "{}", spec.name);
            let own = text(Some(spec.name.as_bytes())).unwrap_or_default();
            assert!(own.contains(spec.summary) && own.lines().count() == 1);
        }
        assert_eq!(text(Some(b"nonsense")), None);
    }
}
