//! Answers that are always the same, or follow from the command table.

use std::fmt::Write as _;

use super::{Fact, sub, table::TABLE, traits::CATEGORIES};
use crate::proto::{Style, reply::ReplyWriter};

/// What the one user may do, in Redis' words: everything, without a password.
const DEFAULT_USER: &str = "user default on nopass ~* &* +@all";
const CLUSTER_OFF: &str = "ERR This instance has cluster support disabled";
const NO_CONFIG_FILE: &str = "ERR The server is running without a config file";
const NO_SHUTDOWN: &str = "ERR No shutdown in progress.";

/// Answers one.
pub fn answer(fact: Fact<'_>, reply: &mut ReplyWriter<'_>) {
    match fact {
        Fact::AclCat(None) => names(CATEGORIES.iter().copied(), reply),
        Fact::AclCat(Some(category)) => commands_of(category, reply),
        Fact::AclGetUser(b"default") => user(reply),
        Fact::AclGetUser(_) => reply.null(),
        Fact::AclList => names([DEFAULT_USER].into_iter(), reply),
        Fact::AclUsers => names(["default"].into_iter(), reply),
        Fact::AclWhoAmI => reply.bulk(b"default"),
        Fact::ClusterOff => reply.error(CLUSTER_OFF),
        Fact::FunctionFlush => reply.ok(),
        Fact::FunctionList | Fact::ModuleList => reply.array(0),
        Fact::NoConfigFile => reply.error(NO_CONFIG_FILE),
        Fact::NoShutdown => reply.error(NO_SHUTDOWN),
        // No replica follows one node only: see INFO replication for the members.
        Fact::Role => {
            reply.array(3);
            reply.bulk(b"master");
            reply.integer(0);
            reply.array(0);
        }
        Fact::Sample(kind) => sample(kind, reply),
        Fact::SubHelp(command) => sub_help(command, reply),
    }
}

/// What DEBUG PROTOCOL answers, by type: in RESP2 and in RESP3. Most of these types nothing else here has.
const SAMPLES: [(&str, &[u8], &[u8]); 12] = [
    ("string", b"$11\r\nHello World\r\n", b"$11\r\nHello World\r\n"),
    ("integer", b":12345\r\n", b":12345\r\n"),
    ("double", b"$5\r\n3.141\r\n", b",3.141\r\n"),
    (
        "bignum",
        b"$37\r\n1234567999999999999999999999999999999\r\n",
        b"(1234567999999999999999999999999999999\r\n",
    ),
    ("null", b"$-1\r\n", b"_\r\n"),
    ("array", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"*3\r\n:0\r\n:1\r\n:2\r\n"),
    ("set", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n"),
    (
        "map",
        b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n",
        b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n",
    ),
    (
        "attrib",
        b"$39\r\nSome real reply following the attribute\r\n",
        b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n\
          $39\r\nSome real reply following the attribute\r\n",
    ),
    (
        "verbatim",
        b"$25\r\nThis is a verbatim\nstring\r\n",
        b"=29\r\ntxt:This is a verbatim\nstring\r\n",
    ),
    ("true", b":1\r\n", b"#t\r\n"),
    ("false", b":0\r\n", b"#f\r\n"),
];
/// Not a reply, and so a reply stands behind it.
const PUSH: &[u8] = b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n\
    $40\r\nSome real reply following the push reply\r\n";
const NO_SAMPLE: &str = "ERR Wrong protocol type name. Please use one of the following: \
    string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";

fn sample(kind: &[u8], reply: &mut ReplyWriter<'_>) {
    let known = SAMPLES.iter().find(|(name, ..)| kind.eq_ignore_ascii_case(name.as_bytes()));
    let push = kind.eq_ignore_ascii_case(b"push");
    match (known, reply.style()) {
        (None, _) if !push => reply.error(NO_SAMPLE),
        (_, Style::Plain) => {
            reply.error("ERR plain text has no types; HELLO 3, or a line with CRLF")
        }
        (Some((_, two, _)), Style::Resp) => reply.written(two),
        (Some((.., three)), Style::Resp3) => reply.written(three),
        (None, Style::Resp) => reply.error("ERR RESP2 is not supported by this command"),
        (None, Style::Resp3) => reply.written(PUSH),
    }
}

fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>, reply: &mut ReplyWriter<'_>) {
    reply.array(names.len());
    names.for_each(|name| reply.bulk(name.as_bytes()));
}

fn commands_of(category: &[u8], reply: &mut ReplyWriter<'_>) {
    let known = CATEGORIES.iter().any(|name| category.eq_ignore_ascii_case(name.as_bytes()));
    if !known {
        let category = String::from_utf8_lossy(category);
        return reply.error(format_args!("ERR Unknown category '{category}'"));
    }
    let found: Vec<&str> =
        TABLE.iter().filter(|spec| spec.is_of(category)).map(|spec| spec.name).collect();
    names(found.into_iter(), reply);
}

fn user(reply: &mut ReplyWriter<'_>) {
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(2);
    reply.bulk(b"on");
    reply.bulk(b"nopass");
    reply.bulk(b"passwords");
    reply.array(0);
    for (name, all) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        reply.bulk(name.as_bytes());
        reply.bulk(all.as_bytes());
    }
    reply.bulk(b"selectors");
    reply.array(0);
}

fn sub_help(command: &str, reply: &mut ReplyWriter<'_>) {
    let mut lines = vec![format!("{} takes one of these:", command.to_ascii_uppercase())];
    for sub in sub::SUBS.iter().filter(|sub| sub.words().0 == command) {
        let mut line = sub.words().1.to_ascii_uppercase();
        if !sub.usage.is_empty() {
            // Writing to a string can't fail.
            let _ = write!(line, " {}", sub.usage);
        }
        lines.extend([line, format!("    {}", sub.summary)]);
    }
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
}
