//! How replies are shown: to people with their types, as redis-cli shows them; to programs as they
//! are, or as JSON.

use crate::cli::resp::{Value, to_json};

/// Colours, as terminals know them.
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
const RED: &str = "\x1b[31m";

/// One way to show replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Json,
    /// A line for each value, the bytes as they are.
    Raw,
    /// Types, numbers of elements, quotes.
    Typed {
        colours: bool,
    },
}

impl Look {
    /// A reply with the end of its last line.
    pub(super) fn render(self, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Json => out.extend_from_slice(to_json(value).to_string().as_bytes()),
            Self::Raw => raw(value, &mut out),
            Self::Typed { colours } => typed(value, 0, Paint { colours }, &mut out),
        }
        // A text for people may bring its own.
        if !(matches!(value, Value::Verbatim(_)) && out.ends_with(b"\n")) {
            out.push(b'\n');
        }
        out
    }
}

fn raw(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(elements) | Value::Push(elements) | Value::Set(elements) => {
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b'\n');
                }
                raw(element, out);
            }
        }
        Value::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b'\n');
                }
                raw(key, out);
                out.push(b'\n');
                raw(value, out);
            }
        }
        Value::Bulk(bytes) | Value::Verbatim(bytes) => out.extend_from_slice(bytes),
        Value::BigNumber(text) | Value::Double(text) | Value::Error(text) | Value::Simple(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        Value::Boolean(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Null => {}
    }
}

#[derive(Clone, Copy)]
struct Paint {
    colours: bool,
}

impl Paint {
    fn put(self, colour: &str, text: &str, out: &mut Vec<u8>) {
        let (before, after) = if self.colours { (colour, PLAIN) } else { ("", "") };
        [before, text, after].iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
}

/// `indent` is how far from the left the value begins.
fn typed(value: &Value, indent: usize, paint: Paint, out: &mut Vec<u8>) {
    match value {
        Value::Array(elements) => list(elements, ')', "(empty array)", indent, paint, out),
        Value::Push(elements) => list(elements, '>', "(empty push)", indent, paint, out),
        Value::Set(elements) => list(elements, '~', "(empty set)", indent, paint, out),
        Value::Map(pairs) => map(pairs, indent, paint, out),
        Value::BigNumber(digits) => tagged("(big number) ", digits, paint, out),
        Value::Boolean(value) => paint.put(DIM, if *value { "(true)" } else { "(false)" }, out),
        Value::Bulk(bytes) => quote(bytes, out),
        Value::Double(digits) => tagged("(double) ", digits, paint, out),
        Value::Error(text) => {
            paint.put(RED, &format!("(error) {}", printable(text.as_bytes())), out);
        }
        Value::Integer(number) => tagged("(integer) ", &number.to_string(), paint, out),
        Value::Null => paint.put(DIM, "(nil)", out),
        Value::Simple(text) => out.extend_from_slice(printable(text.as_bytes()).as_bytes()),
        Value::Verbatim(bytes) => out.extend_from_slice(printable(bytes).as_bytes()),
    }
}

fn tagged(tag: &str, text: &str, paint: Paint, out: &mut Vec<u8>) {
    paint.put(DIM, tag, out);
    out.extend_from_slice(text.as_bytes());
}

fn list(
    elements: &[Value],
    mark: char,
    empty: &str,
    indent: usize,
    paint: Paint,
    out: &mut Vec<u8>,
) {
    if elements.is_empty() {
        return paint.put(DIM, empty, out);
    }
    let width = elements.len().to_string().len();
    for (index, element) in elements.iter().enumerate() {
        begin_line(index, indent, out);
        paint.put(DIM, &format!("{:>width$}{mark} ", index + 1), out);
        typed(element, indent + width + 2, paint, out);
    }
}

fn map(pairs: &[(Value, Value)], indent: usize, paint: Paint, out: &mut Vec<u8>) {
    if pairs.is_empty() {
        return paint.put(DIM, "(empty hash)", out);
    }
    let width = pairs.len().to_string().len();
    let indent = indent + width + 2;
    for (index, (key, value)) in pairs.iter().enumerate() {
        begin_line(index, indent - width - 2, out);
        paint.put(DIM, &format!("{:>width$}# ", index + 1), out);
        typed(key, indent, paint, out);
        out.extend_from_slice(b" => ");
        if lines(value) > 1 {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b' ', indent));
        }
        typed(value, indent, paint, out);
    }
}

/// Ends the line before, except before the first element.
fn begin_line(index: usize, indent: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', indent));
    }
}

/// How many lines a value begins by itself.
fn lines(value: &Value) -> usize {
    match value {
        Value::Array(elements) | Value::Push(elements) | Value::Set(elements) => elements.len(),
        Value::Map(pairs) => pairs.len(),
        _ => 1,
    }
}

/// Appends bytes between quotes: text as it is, the rest with escapes that can be typed again.
fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                c if c.is_control() => escape(c.encode_utf8(&mut [0; 4]).as_bytes(), out),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        escape(chunk.invalid(), out);
    }
    out.push(b'"');
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.iter().for_each(|byte| out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()));
}

/// Text without control characters but ends of lines and tabs: what somebody stored must not steer
/// the terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| if c.is_control() && !"\n\r\t".contains(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).filter(|c| *c != '\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    fn shown(look: Look, value: &Value) -> String {
        String::from_utf8(look.render(value)).expect("text")
    }

    const TYPED: Look = Look::Typed { colours: false };

    #[test]
    fn single_values_have_their_types() {
        for (value, typed, raw) in [
            (bulk("a \"b\"\n\x01é"), "\"a \\\"b\\\"\\n\\x01é\"\n", "a \"b\"\n\x01é\n"),
            (Value::Bulk(vec![b'a', 0xff]), "\"a\\xff\"\n", ""),
            (Value::Integer(-3), "(integer) -3\n", "-3\n"),
            (Value::Null, "(nil)\n", "\n"),
            (Value::Simple("OK".to_owned()), "OK\n", "OK\n"),
            (Value::Error("ERR no".to_owned()), "(error) ERR no\n", "ERR no\n"),
            (Value::Boolean(true), "(true)\n", "true\n"),
            (Value::Double("1.5".to_owned()), "(double) 1.5\n", "1.5\n"),
            (Value::Verbatim(b"# A\r\nb:1\r\n".to_vec()), "# A\nb:1\n", "# A\r\nb:1\r\n"),
        ] {
            assert_eq!(shown(TYPED, &value), typed);
            if !raw.is_empty() {
                assert_eq!(shown(Look::Raw, &value), raw);
            }
        }
    }

    /// What redis-cli 7.0.15 prints for the same replies.
    #[test]
    fn aggregates_are_shown_as_redis_cli_does() {
        let flags = Value::Set(vec![Value::Simple("RO".into()), Value::Simple("access".into())]);
        let one = Value::Map(vec![(bulk("index"), Value::Integer(1))]);
        let spec = Value::Map(vec![
            (bulk("flags"), flags),
            (bulk("spec"), one),
            (bulk("modules"), Value::Array(vec![])),
        ]);
        let mut list: Vec<Value> = (1..=9).map(Value::Integer).collect();
        list.push(Value::Array(vec![spec]));
        let text = shown(TYPED, &Value::Array(list));
        let tail = text.split_once("9) (integer) 9\n").expect("nine numbers").1;
        assert!(text.starts_with(" 1) (integer) 1\n 2) "), "{text}");
        assert_eq!(
            tail,
            "10) 1) 1# \"flags\" => \n\
             \x20         1~ RO\n\
             \x20         2~ access\n\
             \x20      2# \"spec\" => 1# \"index\" => (integer) 1\n\
             \x20      3# \"modules\" => (empty array)\n"
        );
    }

    #[test]
    fn raw_and_json_are_for_programs() {
        let value = Value::Map(vec![
            (bulk("a"), Value::Array(vec![bulk("x"), Value::Null])),
            (bulk("b"), bulk("y")),
        ]);
        assert_eq!(shown(Look::Raw, &value), "a\nx\n\nb\ny\n");
        assert_eq!(shown(Look::Json, &value), "{\"a\":[\"x\",null],\"b\":\"y\"}\n");
    }

    #[test]
    fn colours_only_where_wanted_and_no_control_characters_from_a_node() {
        let error = Value::Error("ERR \x1b[2J".to_owned());
        assert_eq!(
            shown(Look::Typed { colours: true }, &error),
            "\x1b[31m(error) ERR \u{fffd}[2J\x1b[0m\n"
        );
        assert_eq!(shown(TYPED, &error), "(error) ERR \u{fffd}[2J\n");
        assert_eq!(shown(TYPED, &bulk("\x1b[2J")), "\"\\x1b[2J\"\n");
    }
}
