//! Dialogues: the bytes that a client sends to a node, and the bytes that it gets.
//!
//! Each file under `tests/dialogues` is a list of dialogues with an empty line between them, each
//! with a fresh node and connection: `# ` a comment, `> ` bytes sent, `< ` bytes expected by then,
//! `eof` (the client has sent its last byte and goes on reading), `closed` (the node has closed the
//! connection; anywhere else it has not). Escapes: `\n \r \t \\ \xHH`, and `\{x*100}` for a byte a
//! hundred times. A line has no end but the one it spells.
//!
//! Each dialogue runs step by step as written, then in one piece, in two pieces cut at every byte,
//! and byte by byte: always the same bytes must come back. In a long dialogue the inside of a
//! repeated byte is cut at its edges and at a few places between.
//!
//! `UPDATE_DIALOGUES=1 cargo test --test dialogues` writes the expected bytes anew; review the
//! difference.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use quorate::fuzzing::cluster::{Cluster, Setup};

/// Runs of a byte from this length on are written as a repetition.
const REPEAT_MIN: usize = 40;
/// So many equal lines are written as a repetition.
const SAME_MIN: usize = 10;
/// Inputs up to this size are cut at every byte.
const ALL_CUTS_MAX: usize = 2048;
/// Most bytes that go through a node for the cuts of one dialogue.
const WORK_MAX: usize = 8 << 20;
/// Inputs up to this size are also sent byte by byte; longer ones in pieces.
const BYTEWISE_MAX: usize = 80 << 10;

#[derive(Debug, PartialEq)]
enum Line {
    Closed,
    Comment(String),
    Eof,
    Expect(Vec<u8>),
    Send(Vec<u8>),
}

impl Line {
    fn parse(line: &str) -> Self {
        match line {
            "closed" => Self::Closed,
            "eof" => Self::Eof,
            _ => match line.split_once(' ') {
                Some(("#", _)) => Self::Comment(line.to_owned()),
                Some((">", bytes)) => Self::Send(unescape(bytes)),
                Some(("<", bytes)) => Self::Expect(unescape(bytes)),
                Some(_) | None => panic!("no line of a dialogue: {line}"),
            },
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Closed => "closed".to_owned(),
            Self::Comment(comment) => comment.clone(),
            Self::Eof => "eof".to_owned(),
            Self::Expect(bytes) => format!("< {}", escape(bytes)),
            Self::Send(bytes) => format!("> {}", escape(bytes)),
        }
    }
}

/// What came back in all, and whether the node closed the connection.
#[derive(PartialEq)]
struct Outcome {
    received: Vec<u8>,
    closed: bool,
}

/// One client of a node of its own.
struct Talk {
    cluster: Cluster,
    client: usize,
}

impl Talk {
    fn new(piece: usize) -> Self {
        let mut cluster = Cluster::new(Setup { nodes: 1, piece, ..Setup::default() });
        let client = cluster.connect(0);
        Self { cluster, client }
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.cluster.ask(self.client, bytes)
    }

    fn end(&mut self) -> Vec<u8> {
        self.cluster.half_close(self.client);
        self.send(b"")
    }

    fn is_closed(&self) -> bool {
        self.cluster.is_closed(self.client)
    }
}

/// Sends the pieces one after another, each when all is quiet.
fn talk(pieces: &[&[u8]], piece: usize, eof: bool) -> Outcome {
    let mut talk = Talk::new(piece);
    let mut received = Vec::new();
    for bytes in pieces {
        received.extend(talk.send(bytes));
    }
    if eof {
        received.extend(talk.end());
    }
    Outcome { received, closed: talk.is_closed() }
}

/// Runs the steps as they are written; the dialogue with what really came back.
fn replay(lines: Vec<Line>) -> Vec<Line> {
    let mut talk = Talk::new(usize::MAX);
    let mut printed: Vec<Line> = Vec::new();
    let mut received = Vec::new();
    let mut told_closed = false;
    let mut rest = lines.into_iter().peekable();
    while let Some(line) = rest.next() {
        match &line {
            Line::Closed | Line::Expect(_) => continue,
            Line::Comment(_) => {}
            Line::Eof => received.extend(talk.end()),
            Line::Send(bytes) => received.extend(talk.send(bytes)),
        }
        printed.push(line);
        // Answers stand where they were expected: behind the last of several lines sent.
        if matches!(rest.peek(), Some(Line::Send(_) | Line::Comment(_))) {
            continue;
        }
        let answer = std::mem::take(&mut received);
        let lines: Vec<&[u8]> = answer.split_inclusive(|byte| *byte == b'\n').collect();
        for same in lines.chunk_by(|a, b| a == b) {
            if same.len() < SAME_MIN {
                printed.extend(same.iter().map(|line| Line::Expect(line.to_vec())));
            } else {
                printed.push(Line::Expect(same.concat()));
            }
        }
        if talk.is_closed() && !told_closed {
            told_closed = true;
            printed.push(Line::Closed);
        }
    }
    printed
}

/// Cuts the input in every way that must not matter; which ways did.
fn cut(lines: &[Line]) -> Result<(), String> {
    let sent = |line: &Line| match line {
        Line::Send(bytes) => bytes.clone(),
        _ => Vec::new(),
    };
    let input: Vec<u8> = lines.iter().flat_map(sent).collect();
    let eof = lines.contains(&Line::Eof);
    let whole = talk(&[&input], usize::MAX, eof);
    let expected: Vec<u8> = lines.iter().flat_map(expected_bytes).collect();
    let expected = Outcome { received: expected, closed: lines.contains(&Line::Closed) };
    let check = |outcome: &Outcome, how: &str| {
        if *outcome == expected {
            return Ok(());
        }
        let Outcome { received, closed } = outcome;
        Err(format!("{how}: got {} (closed: {closed})\n", escape(received)))
    };
    check(&whole, "in one piece")?;
    for at in cuts(&input) {
        let (first, second) = input.split_at(at);
        check(&talk(&[first, second], usize::MAX, eof), &format!("cut at {at}"))?;
    }
    let piece = if input.len() <= BYTEWISE_MAX { 1 } else { 65_537 };
    check(&talk(&[&input], piece, eof), &format!("in pieces of {piece}"))
}

fn expected_bytes(line: &Line) -> Vec<u8> {
    match line {
        Line::Expect(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

/// Where to cut: everywhere, or in a long input where bytes change and at some places between.
fn cuts(input: &[u8]) -> Vec<usize> {
    let all = 1..input.len();
    if input.len() <= ALL_CUTS_MAX {
        return all.collect();
    }
    let near = |at: usize| {
        let around = &input[at.saturating_sub(3)..(at + 3).min(input.len())];
        around.iter().any(|byte| *byte != around[0])
    };
    let mut chosen: Vec<usize> = all.filter(|at| near(*at) || at % 16_381 == 0).collect();
    let most = (WORK_MAX / input.len()).max(4);
    let step = chosen.len().div_ceil(most).max(1);
    chosen = chosen.into_iter().step_by(step).collect();
    chosen
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(repeat) = rest.strip_prefix("\\{") {
            let (inside, after) = repeat.split_once('}').expect("a repetition ends with a brace");
            let (unit, count) = inside.rsplit_once('*').expect("a repetition has a count");
            let count: usize = count.parse().expect("a repetition's count is a number");
            bytes.extend(unescape(unit).repeat(count));
            rest = after;
            continue;
        }
        let size = if next == '\\' { 2 } else { next.len_utf8() };
        let (unit, after) = rest.split_at(size);
        rest = after;
        match unit {
            "\\n" => bytes.push(b'\n'),
            "\\r" => bytes.push(b'\r'),
            "\\t" => bytes.push(b'\t'),
            "\\\\" => bytes.push(b'\\'),
            "\\x" => {
                let (digits, after) = rest.split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
                rest = after;
            }
            other => {
                assert!(!other.starts_with('\\'), "no escape: {other}");
                bytes.extend(other.as_bytes());
            }
        }
    }
    bytes
}

fn escape(bytes: &[u8]) -> String {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.len() >= SAME_MIN && lines.iter().all(|line| *line == lines[0]) {
        return format!("\\{{{}*{}}}", escape_one(lines[0]), lines.len());
    }
    escape_one(bytes)
}

fn escape_one(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|byte| *byte == first).count();
        let unit = match first {
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(*first).to_string(),
            other => format!("\\x{other:02x}"),
        };
        if run >= REPEAT_MIN {
            write!(text, "\\{{{unit}*{run}}}").expect("writing to a string");
            rest = &rest[run..];
        } else {
            text.push_str(&unit);
            rest = &rest[1..];
        }
    }
    text
}

/// Runs the dialogues of one file; the file as it should be, and what differed.
fn run(text: &str) -> (String, Vec<String>) {
    let mut printed = Vec::new();
    let mut wrong = Vec::new();
    for dialogue in text.split("\n\n").map(str::trim).filter(|dialogue| !dialogue.is_empty()) {
        let lines = || dialogue.lines().map(Line::parse).collect::<Vec<Line>>();
        let real = replay(lines());
        let shown: Vec<String> = real.iter().map(Line::render).collect();
        if lines().iter().map(Line::render).ne(shown.iter().cloned()) {
            wrong.push(format!("step by step:\n{}\n", shown.join("\n")));
        } else if let Err(how) = cut(&real) {
            wrong.push(format!("{dialogue}\n{how}"));
        }
        // What was sent stays as its author spelled it.
        let mut sent = dialogue.lines().filter(|line| line.starts_with("> "));
        let spelled = real.iter().zip(shown).map(|(line, shown)| match line {
            Line::Send(_) => sent.next().expect("as many lines sent").to_owned(),
            _ => shown,
        });
        printed.push(spelled.collect::<Vec<String>>().join("\n"));
    }
    (printed.join("\n\n") + "\n", wrong)
}

#[test]
fn dialogues_go_as_written_however_they_are_cut() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let entries = fs::read_dir(&folder).expect("the folder of dialogues");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no dialogues");
    let mut failures = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a readable dialogue");
        let (printed, wrong) = run(&text);
        if env::var_os("UPDATE_DIALOGUES").is_some() {
            fs::write(path, &printed).expect("a writable dialogue");
        } else if !wrong.is_empty() {
            failures.push(format!("== {}\n{}", path.display(), wrong.join("\n")));
        }
    }
    assert!(failures.is_empty(), "dialogues that went another way:\n{}", failures.join("\n"));
    println!("{} files of dialogues", paths.len());
}

#[test]
fn escapes_read_back() {
    let all: Vec<u8> = (0..=255).chain([b'x'; 50]).collect();
    assert_eq!(unescape(&escape(&all)), all);
    assert_eq!(unescape("é\\{\\x00*3}\\\\n"), b"\xc3\xa9\0\0\0\\n");
}
