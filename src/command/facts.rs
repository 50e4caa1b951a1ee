//! Answers that are always the same, or follow from the command table.

use std::fmt::Write as _;

use super::{Fact, sub, table::TABLE, traits::CATEGORIES};
use crate::proto::reply::ReplyWriter;

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
        Fact::SubHelp(command) => sub_help(command, reply),
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
