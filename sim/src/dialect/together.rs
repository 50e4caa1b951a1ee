//! Replies to transactions: several, of which the last tells what became of them.

use super::{LIST_END, NOT_FOUND, NOT_SET, error, line};
use crate::{
    case::{self, Dialect, Op},
    history::Outcome,
};

/// A reply that is a line or a value, or the error that it is.
type Part = Result<Option<Vec<u8>>, String>;

/// A list of values, or none, or the error in its place.
type List = Result<Option<Vec<Option<Vec<u8>>>>, String>;

/// Takes the replies to a transaction from the front of `bytes`.
pub(super) fn decode(dialect: Dialect, op: &Op, bytes: &[u8]) -> Option<(Outcome, usize)> {
    let mut replies = Replies { dialect, bytes, at: 0 };
    match op {
        Op::Discard { .. } => return discarded(&mut replies),
        Op::InOrder { parts } => return in_order(&mut replies, op, parts),
        Op::Transact { watched, parts } => {
            let before = if *watched { op.keys().len() } else { 0 };
            return transacted(&mut replies, op, (*watched, before, parts.len()));
        }
        _ => {}
    }
    let (found, queued) = match op {
        Op::Swap { .. } => {
            let watched = replies.one()?;
            let found = replies.one()?;
            (Some((watched, found)), 1)
        }
        // Nothing depends on whether the key could be watched.
        Op::Unwatched { .. } => {
            let _ = replies.one()?;
            if let Err(wrong) = replies.ok()? {
                return Some((wrong, replies.at));
            }
            (None, 1)
        }
        _ => (None, op.keys().len()),
    };
    if let Err(wrong) = replies.begun(queued)? {
        return Some((wrong, replies.at));
    }
    let done = replies.list()?;
    let outcome = match (found, done) {
        // What could not be watched was not done.
        (Some((Err(why), _)), Err(done)) if done.starts_with("EXECABORT") => error(op, &why),
        (_, Err(why)) => error(op, &why).or(Some(Outcome::Wrong(why))),
        (Some((Ok(_), Ok(value))), Ok(Some(_))) => {
            Some(value.map_or(Outcome::Missing, Outcome::Value))
        }
        (Some((Ok(_), Ok(value))), Ok(None)) => Some(Outcome::Found(value)),
        // What it held is not known.
        (Some((Ok(_), Err(_))), Ok(Some(_))) => Some(Outcome::Done),
        (Some((Ok(_), Err(_))), Ok(None)) => Some(Outcome::Refused),
        (None, Ok(Some(values))) if op.is_read() => Some(Outcome::List(values)),
        (None, Ok(Some(values))) if values.iter().all(|value| value.as_deref() == Some(b"OK")) => {
            Some(Outcome::Done)
        }
        (_, done) => Some(Outcome::Wrong(format!("{done:?}"))),
    };
    Some((outcome.unwrap_or_else(|| Outcome::Wrong("another error".to_owned())), replies.at))
}

/// The replies to MULTI, SET and DISCARD.
fn discarded(replies: &mut Replies<'_>) -> Option<(Outcome, usize)> {
    if let Err(wrong) = replies.begun(1)? {
        return Some((wrong, replies.at));
    }
    let last = replies.one()?;
    let done = last == Ok(Some(b"OK".into()));
    let outcome = if done { Outcome::Done } else { Outcome::Wrong(format!("{last:?}")) };
    Some((outcome, replies.at))
}

/// The replies to MULTI, so many requests and EXEC, behind those to WATCH and some GET if keys are
/// watched: what was found, and what EXEC says if it did anything.
fn transacted(
    replies: &mut Replies<'_>,
    op: &Op,
    (watched, before, queued): (bool, usize, usize),
) -> Option<(Outcome, usize)> {
    let watched = if watched { replies.one()?.err() } else { None };
    let found: Vec<Part> = (0..before).map(|_| replies.one()).collect::<Option<_>>()?;
    let found: Option<Vec<_>> = found.into_iter().map(Result::ok).collect();
    if let Err(wrong) = replies.begun(queued)? {
        return Some((wrong, replies.at));
    }
    let outcome = match (watched, found, replies.list()?) {
        // What could not be watched was not done.
        (Some(why), _, Err(done)) if done.starts_with("EXECABORT") => error(op, &why),
        (None, _, Err(why)) => error(op, &why).or(Some(Outcome::Wrong(why))),
        (None, Some(found), Ok(Some(done))) if done.len() == queued => {
            Some(Outcome::List([found, done].concat()))
        }
        (None, Some(found), Ok(None)) if before > 0 => Some(Outcome::List(found)),
        // What some key held before is not known.
        (None, None, Ok(Some(done))) if done.len() == queued => Some(Outcome::Done),
        (None, None, Ok(None)) => Some(Outcome::Refused),
        (_, _, done) => Some(Outcome::Wrong(format!("{done:?}"))),
    };
    Some((outcome.unwrap_or_else(|| Outcome::Wrong("another error".to_owned())), replies.at))
}

/// The replies to MULTI, these requests and EXEC, whose list may have errors in it.
fn in_order(replies: &mut Replies<'_>, op: &Op, parts: &[case::Part]) -> Option<(Outcome, usize)> {
    if let Err(wrong) = replies.begun(parts.len())? {
        return Some((wrong, replies.at));
    }
    let outcome = match replies.each()? {
        Ok(each) if each.len() == parts.len() => {
            let each: Vec<Outcome> =
                parts.iter().zip(each).map(|(part, reply)| alone(&part.alone(), reply)).collect();
            let wrong = each.iter().find(|outcome| matches!(outcome, Outcome::Wrong(_))).cloned();
            wrong.unwrap_or(Outcome::Each(each))
        }
        Ok(each) => Outcome::Wrong(format!("{each:?}")),
        Err(why) => error(op, &why).unwrap_or(Outcome::Wrong(why)),
    };
    Some((outcome, replies.at))
}

/// What an element of that list tells.
fn alone(op: &Op, reply: Part) -> Outcome {
    let count = |value: &[u8]| str::from_utf8(value).ok()?.parse().ok();
    match (op, reply) {
        (op, Err(why)) => error(op, &why).unwrap_or(Outcome::Wrong(why)),
        (Op::Get { .. }, Ok(value)) => value.map_or(Outcome::Missing, Outcome::Value),
        (Op::Set { .. }, Ok(Some(value))) if value == b"OK" => Outcome::Done,
        (Op::Add { .. } | Op::Del { .. }, Ok(Some(value))) => {
            let sum = matches!(op, Op::Add { .. });
            let told = count(&value).filter(|count| sum || [0, 1].contains(count));
            told.map_or_else(|| Outcome::Wrong(format!("{value:?}")), Outcome::Count)
        }
        (_, Ok(other)) => Outcome::Wrong(format!("{other:?}")),
    }
}

/// Replies one behind the other.
struct Replies<'a> {
    dialect: Dialect,
    bytes: &'a [u8],
    at: usize,
}

impl Replies<'_> {
    /// The replies to MULTI and to so many requests that are queued.
    fn begun(&mut self, queued: usize) -> Option<Result<(), Outcome>> {
        for wanted in std::iter::once("OK").chain(std::iter::repeat_n("QUEUED", queued)) {
            let told = self.told(wanted)?;
            if told.is_err() {
                return Some(told);
            }
        }
        Some(Ok(()))
    }

    /// OK.
    fn ok(&mut self) -> Option<Result<(), Outcome>> {
        self.told("OK")
    }

    fn told(&mut self, wanted: &str) -> Option<Result<(), Outcome>> {
        let reply = self.one()?;
        let fits = reply == Ok(Some(wanted.into()));
        Some(if fits { Ok(()) } else { Err(Outcome::Wrong(format!("{reply:?} for {wanted}"))) })
    }

    /// The next reply, which is no list.
    fn one(&mut self) -> Option<Part> {
        let rest = self.bytes.get(self.at..)?;
        let end: &[u8] = if self.dialect == Dialect::Resp { b"\r\n" } else { b"\n" };
        let (head, size) = line(rest, end)?;
        let (part, size) = match (self.dialect, head.split_at_checked(1)) {
            (Dialect::Text, _) if is_error(head) => (Err(head.to_owned()), size),
            (Dialect::Text, _) if head == NOT_FOUND => (Ok(None), size),
            (Dialect::Resp, Some(("-", error))) => (Err(error.to_owned()), size),
            (Dialect::Resp, Some(("+" | ":", word))) => (Ok(Some(word.into())), size),
            (Dialect::Resp, Some(("$", "-1"))) => (Ok(None), size),
            (Dialect::Resp, Some(("$", length))) => {
                let end = size + length.parse::<usize>().ok()?;
                (Ok(Some(rest.get(size..end + 2)?[..end - size].to_vec())), end + 2)
            }
            (Dialect::Text, _) => (Ok(Some(head.into())), size),
            (Dialect::Resp, _) => (Err(format!("{head} is no reply that was awaited")), size),
        };
        self.at += size;
        Some(part)
    }

    /// The reply to EXEC of what is of several slots: a list with errors in it, or one in its place.
    fn each(&mut self) -> Option<Result<Vec<Part>, String>> {
        let mut parts = Vec::new();
        if self.dialect == Dialect::Resp {
            let (head, size) = line(self.bytes.get(self.at..)?, b"\r\n")?;
            self.at += size;
            let count = head.strip_prefix('*').and_then(|count| count.parse::<usize>().ok());
            let Some(count) = count else {
                return Some(Err(head.trim_start_matches('-').to_owned()));
            };
            for _ in 0..count {
                parts.push(self.one()?);
            }
            return Some(Ok(parts));
        }
        loop {
            let (head, size) = line(self.bytes.get(self.at..)?, b"\n")?;
            // Any other error is that of the first request.
            let none = head == NOT_SET || head.starts_with("EXECABORT ");
            if head == LIST_END || (parts.is_empty() && none) {
                self.at += size;
                return Some(if head == LIST_END { Ok(parts) } else { Err(head.to_owned()) });
            }
            parts.push(self.one()?);
        }
    }

    /// The reply to EXEC: a list, or none because of what was watched, or an error.
    fn list(&mut self) -> Option<List> {
        let rest = self.bytes.get(self.at..)?;
        if self.dialect == Dialect::Resp {
            let (head, size) = line(rest, b"\r\n")?;
            let Some(count) = head.strip_prefix('*') else {
                self.at += size;
                return Some(Err(head.trim_start_matches('-').to_owned()));
            };
            self.at += size;
            let Ok(count) = count.parse::<usize>() else { return Some(Ok(None)) };
            let parts = (0..count).map(|_| self.one()).collect::<Option<Vec<Part>>>()?;
            return Some(parts.into_iter().collect::<Result<_, _>>().map(Some));
        }
        let mut parts = Vec::new();
        loop {
            let rest = self.bytes.get(self.at..)?;
            let (head, size) = line(rest, b"\n")?;
            if parts.is_empty() && head == NOT_SET {
                self.at += size;
                return Some(Ok(None));
            }
            if head == LIST_END {
                self.at += size;
                return Some(parts.into_iter().collect::<Result<_, _>>().map(Some));
            }
            let error = is_error(head);
            parts.push(self.one()?);
            // An error in place of the list; none of the requests has one of its own.
            if error {
                return Some(parts.into_iter().collect::<Result<_, _>>().map(Some));
            }
        }
    }
}

fn is_error(line: &str) -> bool {
    ["ERR ", "EXECABORT ", "INDOUBT ", "NOREPLICAS "].iter().any(|code| line.starts_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Part as Queued;

    fn both() -> Op {
        Op::Both { keys: ["a", "b"].map(str::to_owned).to_vec(), value: "v".to_owned() }
    }

    fn swap() -> Op {
        Op::Swap { key: "k".to_owned(), value: "v".to_owned() }
    }

    /// In both dialects, and never before all of it is there.
    fn told(op: &Op, resp: &str, text: &str) -> Outcome {
        let resp = resp.replace('\n', "\r\n");
        for (dialect, bytes) in [(Dialect::Resp, resp.as_bytes()), (Dialect::Text, text.as_bytes())]
        {
            for cut in 0..bytes.len() {
                assert_eq!(decode(dialect, op, &bytes[..cut]), None, "{dialect:?} cut at {cut}");
            }
        }
        let resp = decode(Dialect::Resp, op, resp.as_bytes()).expect("whole");
        let text = decode(Dialect::Text, op, text.as_bytes()).expect("whole");
        assert_eq!(resp.0, text.0);
        resp.0
    }

    #[test]
    fn writes_together() {
        let (resp, text) = ("+OK\n+QUEUED\n+QUEUED\n", "OK\nQUEUED\nQUEUED\n");
        let both = |end: &str, line: &str| {
            told(&both(), &(resp.to_owned() + end), &(text.to_owned() + line))
        };
        assert_eq!(both("*2\n+OK\n+OK\n", "OK\nOK\nEND\n"), Outcome::Done);
        assert_eq!(both("-NOREPLICAS x\n", "NOREPLICAS x\n"), Outcome::Refused);
        assert_eq!(both("-INDOUBT x\n", "INDOUBT x\n"), Outcome::InDoubt);
    }

    #[test]
    fn reads_together() {
        let op = Op::GetBoth { keys: ["a", "b"].map(str::to_owned).to_vec() };
        let list = Outcome::List(vec![None, Some(b"v1".to_vec())]);
        let resp = "+OK\n+QUEUED\n+QUEUED\n*2\n$-1\n$2\nv1\n";
        assert_eq!(told(&op, resp, "OK\nQUEUED\nQUEUED\nNot Found\nv1\nEND\n"), list);
        let doubt = "+OK\r\n+QUEUED\r\n+QUEUED\r\n-INDOUBT x\r\n";
        let (outcome, _) = decode(Dialect::Resp, &op, doubt.as_bytes()).expect("whole");
        assert!(matches!(outcome, Outcome::Wrong(_)), "a read is never in doubt");
    }

    #[test]
    fn writes_of_what_is_watched() {
        let swap = |resp: &str, text: &str| told(&swap(), resp, text);
        let value = Outcome::Value(b"v1".to_vec());
        assert_eq!(
            swap("+OK\n$2\nv1\n+OK\n+QUEUED\n*1\n+OK\n", "OK\nv1\nOK\nQUEUED\nOK\nEND\n"),
            value
        );
        assert_eq!(
            swap("+OK\n$-1\n+OK\n+QUEUED\n*-1\n", "OK\nNot Found\nOK\nQUEUED\nNot Set\n"),
            Outcome::Found(None)
        );
        let (resp, text) = ("-NOREPLICAS x\n", "NOREPLICAS x\n");
        let abort = "EXECABORT Transaction discarded because of previous errors.\n";
        assert_eq!(
            swap(
                &format!("{resp}{resp}+OK\n+QUEUED\n-{abort}"),
                &format!("{text}{text}OK\nQUEUED\n{abort}")
            ),
            Outcome::Refused
        );
        assert_eq!(
            swap("+OK\n$-1\n+OK\n+QUEUED\n-INDOUBT x\n", "OK\nNot Found\nOK\nQUEUED\nINDOUBT x\n"),
            Outcome::InDoubt
        );
    }
    #[test]
    fn what_is_discarded() {
        let op = Op::Discard { key: "k".to_owned(), value: "v".to_owned() };
        assert_eq!(told(&op, "+OK\n+QUEUED\n+OK\n", "OK\nQUEUED\nOK\n"), Outcome::Done);
        let resp = b"+OK\r\n+QUEUED\r\n*1\r\n";
        assert!(matches!(decode(Dialect::Resp, &op, resp), Some((Outcome::Wrong(_), _))));
    }

    #[test]
    fn transactions_that_read_and_write() {
        let key = || "a".to_owned();
        let parts = vec![Queued::Add { key: key(), by: 2 }, Queued::Get { key: "b".to_owned() }];
        let plain = Op::Transact { watched: false, parts: parts.clone() };
        let list = |values: &[&str]| {
            let value = |value: &&str| (!value.is_empty()).then(|| value.as_bytes().to_vec());
            Outcome::List(values.iter().map(value).collect())
        };
        let (resp, text) = ("+OK\n+QUEUED\n+QUEUED\n", "OK\nQUEUED\nQUEUED\n");
        let with = |op: &Op, before: [&str; 2], end: [&str; 2]| {
            let [resp, text] = [(before[0], resp, end[0]), (before[1], text, end[1])]
                .map(|(before, begun, end)| [before, begun, end].concat());
            told(op, &resp, &text)
        };
        let none = ["", ""];
        let done = with(&plain, none, ["*2\n:7\n$-1\n", "7\nNot Found\nEND\n"]);
        assert_eq!(done, list(&["7", ""]));
        let doubt = with(&plain, none, ["-INDOUBT x\n", "INDOUBT x\n"]);
        assert_eq!(doubt, Outcome::InDoubt);
        let op = Op::Transact { watched: true, parts };
        let before = ["+OK\n$1\n5\n$-1\n", "OK\n5\nNot Found\n"];
        let done = with(&op, before, ["*2\n:7\n$-1\n", "7\nNot Found\nEND\n"]);
        assert_eq!(done, list(&["5", "", "7", ""]));
        assert_eq!(with(&op, before, ["*-1\n", "Not Set\n"]), list(&["5", ""]));
        let unread = ["+OK\n-NOREPLICAS x\n$-1\n", "OK\nNOREPLICAS x\nNot Found\n"];
        let done = with(&op, unread, ["*2\n:7\n$-1\n", "7\nNot Found\nEND\n"]);
        assert_eq!(done, Outcome::Done);
        assert_eq!(with(&op, unread, ["*-1\n", "Not Set\n"]), Outcome::Refused);
        let apart = ["-NOREPLICAS x\n$-1\n$-1\n", "NOREPLICAS x\nNot Found\nNot Found\n"];
        let abort = ["-EXECABORT x\n", "EXECABORT x\n"];
        assert_eq!(with(&op, apart, abort), Outcome::Refused);
    }

    #[test]
    fn requests_that_answer_for_themselves() {
        let key = || "a".to_owned();
        let parts = vec![
            Queued::Set { key: key(), value: "v".to_owned() },
            Queued::Get { key: key() },
            Queued::Del { key: key() },
        ];
        let op = Op::InOrder { parts };
        let (resp, text) = ("+OK\n+QUEUED\n+QUEUED\n+QUEUED\n", "OK\nQUEUED\nQUEUED\nQUEUED\n");
        let with = |end: &str, line: &str| told(&op, &[resp, end].concat(), &[text, line].concat());
        let each = |each: [Outcome; 3]| Outcome::Each(each.to_vec());
        assert_eq!(
            with("*3\n+OK\n$1\nv\n:1\n", "OK\nv\n1\nEND\n"),
            each([Outcome::Done, Outcome::Value(b"v".to_vec()), Outcome::Count(1)])
        );
        assert_eq!(
            with(
                "*3\n-NOREPLICAS x\n$-1\n-INDOUBT x\n",
                "NOREPLICAS x\nNot Found\nINDOUBT x\nEND\n"
            ),
            each([Outcome::Refused, Outcome::Missing, Outcome::InDoubt])
        );
        for (end, line) in [
            ("-EXECABORT x\r\n", "EXECABORT x\n"),
            ("*-1\r\n", "Not Set\n"),
            ("*1\r\n+OK\r\n", "OK\nEND\n"),
            ("*3\r\n+OK\r\n-INDOUBT x\r\n:1\r\n", "OK\nINDOUBT x\n1\nEND\n"),
            ("*3\r\n+OK\r\n$-1\r\n:2\r\n", "OK\nNot Found\n2\nEND\n"),
        ] {
            let resp = resp.replace('\n', "\r\n") + end;
            let text = text.to_owned() + line;
            for (dialect, bytes) in [(Dialect::Resp, resp), (Dialect::Text, text)] {
                let told = decode(dialect, &op, bytes.as_bytes());
                assert!(
                    matches!(&told, Some((Outcome::Wrong(_), size)) if *size == bytes.len()),
                    "{told:?} of {bytes}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_watched_any_more_does_not_matter() {
        let op = Op::Unwatched { key: "k".to_owned(), value: "v".to_owned() };
        for (resp, text) in [("+OK\n", "OK\n"), ("-NOREPLICAS x\n", "NOREPLICAS x\n")] {
            let with = |[end, line]: [&str; 2]| {
                let resp = [resp, "+OK\n+OK\n+QUEUED\n", end].concat();
                told(&op, &resp, &[text, "OK\nOK\nQUEUED\n", line].concat())
            };
            assert_eq!(with(["*1\n+OK\n", "OK\nEND\n"]), Outcome::Done);
            assert_eq!(with(["-INDOUBT x\n", "INDOUBT x\n"]), Outcome::InDoubt);
            assert!(matches!(with(["*-1\n", "Not Set\n"]), Outcome::Wrong(_)));
        }
    }
}
