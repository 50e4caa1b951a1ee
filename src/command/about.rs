//! What the table and the server look like to clients that ask.

use super::{
    Called, CommandAsk, CommandError, glob,
    spec::{Group, Spec},
    sub,
    table::{TABLE, lookup},
};
use crate::proto::{Args, reply::ReplyWriter};

/// The version of Redis whose commands these are.
pub const REDIS_VERSION: &str = "7.4.0";

/// The answer to HELLO.
pub fn hello(version: i64, id: i64, reply: &mut ReplyWriter<'_>) {
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"quorate");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}

/// The answer to COMMAND and its subcommands.
pub fn commands(ask: CommandAsk, names: Args<'_>, reply: &mut ReplyWriter<'_>) {
    let operand = names.get(0).unwrap_or_default();
    match ask {
        CommandAsk::Count => reply.integer(TABLE.len() as i64),
        CommandAsk::GetKeys => keys(names, false, reply),
        CommandAsk::GetKeysAndFlags => keys(names, true, reply),
        CommandAsk::List => list(|_| true, reply),
        CommandAsk::ListMatching => {
            list(|spec| glob::matches(operand, spec.name.as_bytes()), reply);
        }
        CommandAsk::ListOfCategory => list(|spec| spec.is_of(operand), reply),
        CommandAsk::ListOfModule => list(|_| false, reply),
        CommandAsk::Info if names.is_empty() => {
            reply.array(TABLE.len());
            TABLE.iter().for_each(|spec| info(spec, reply));
        }
        CommandAsk::Info => {
            reply.array(names.len());
            names.iter().for_each(|name| match lookup(name) {
                Some(spec) => info(spec, reply),
                None => reply.null(),
            });
        }
        CommandAsk::Docs if names.is_empty() => {
            reply.map(TABLE.len());
            TABLE.iter().for_each(|spec| docs(spec, reply));
        }
        CommandAsk::Docs => {
            reply.map(names.iter().filter_map(lookup).count());
            names.iter().filter_map(lookup).for_each(|spec| docs(spec, reply));
        }
    }
}

fn list(wanted: impl Fn(&Spec) -> bool, reply: &mut ReplyWriter<'_>) {
    let wanted = || TABLE.iter().filter(|spec| wanted(spec));
    reply.array(wanted().count());
    wanted().for_each(|spec| reply.bulk(spec.name.as_bytes()));
}

/// The keys of a request that is not carried out.
fn keys(request: Args<'_>, flags: bool, reply: &mut ReplyWriter<'_>) {
    let called = match Called::of(request) {
        Ok(called) => called,
        Err(CommandError::UnknownCommand { .. } | CommandError::UnknownSubcommand { .. }) => {
            return reply.error("ERR Invalid command specified");
        }
        Err(_) => {
            return reply.error("ERR Invalid number of arguments specified for command");
        }
    };
    let Some(([first, last, step], access)) = called.keys() else {
        return reply.error("ERR The command has no key arguments");
    };
    let end = if last < 0 { request.len() as i64 + last } else { last };
    let found: Vec<&[u8]> = (first..=end)
        .step_by(step.max(1) as usize)
        .filter_map(|place| request.get(place as usize))
        .collect();
    reply.array(found.len());
    for key in found {
        if flags {
            reply.array(2);
        }
        reply.bulk(key);
        if flags {
            let access = called.access(request, access).flags();
            reply.set(access.len());
            access.iter().for_each(|flag| reply.simple(flag));
        }
    }
}

fn info(spec: &'static Spec, reply: &mut ReplyWriter<'_>) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    words(&spec.flags(), reply);
    spec.keys().into_iter().for_each(|place| reply.integer(place));
    words(&spec.categories(), reply);
    // Tips, key specifications.
    reply.array(0);
    reply.array(0);
    reply.array(sub::of(spec).count());
    for sub in sub::of(spec) {
        let called = Called { spec, sub: Some(sub) };
        let keys = called.keys();
        reply.array(10);
        reply.bulk(sub.name.as_bytes());
        reply.integer(i64::from(sub.arity));
        words(if keys.is_some() { &["readonly"] } else { &[] }, reply);
        let places = keys.map_or([0; 3], |(places, _)| places);
        places.into_iter().for_each(|place| reply.integer(place));
        words(&spec.categories(), reply);
        (0..3).for_each(|_| reply.array(0));
    }
}

fn words(words: &[&str], reply: &mut ReplyWriter<'_>) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

fn docs(spec: &Spec, reply: &mut ReplyWriter<'_>) {
    let subs = sub::of(spec);
    let has_subs = subs.clone().next().is_some();
    let arguments = if has_subs { Vec::new() } else { arguments(spec.usage) };
    reply.bulk(spec.name.as_bytes());
    reply.map(3 + usize::from(has_subs || !arguments.is_empty()));
    summary(spec.summary, spec, reply);
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        reply.array(arguments.len());
        for Argument { name, flag } in arguments {
            reply.map(2 + usize::from(flag.is_some()));
            reply.bulk(b"name");
            reply.bulk(name.as_bytes());
            reply.bulk(b"type");
            reply.bulk(b"string");
            if let Some(flag) = flag {
                reply.bulk(b"flags");
                reply.set(1);
                reply.simple(flag);
            }
        }
    }
    if has_subs {
        reply.bulk(b"subcommands");
        reply.map(subs.clone().count());
        for sub in subs {
            reply.bulk(sub.name.as_bytes());
            reply.map(3);
            summary(sub.summary, spec, reply);
        }
    }
}

/// What redis-cli hints at while a command is typed.
#[derive(Debug, PartialEq, Eq)]
struct Argument {
    name: &'static str,
    /// Whether it may be left out, or stand several times.
    flag: Option<&'static str>,
}

/// The arguments that a usage line tells of: words, and what stands in brackets.
fn arguments(usage: &'static str) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    let mut rest = usage.split_once(' ').map_or("", |(_, parameters)| parameters);
    while !rest.is_empty() {
        let mut depth = 0_usize;
        let end = rest.find(|c: char| {
            depth = depth + usize::from(c == '[') - usize::from(c == ']');
            c == ' ' && depth == 0
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.trim_start();
        let inner = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        match (inner, arguments.last_mut()) {
            (Some(inner), Some(last)) if inner.strip_suffix(" ...") == Some(last.name) => {
                last.flag = Some("multiple");
            }
            (Some(inner), _) => arguments.push(Argument { name: inner, flag: Some("optional") }),
            (None, _) => arguments.push(Argument { name: word, flag: None }),
        }
    }
    arguments
}

fn summary(summary: &str, spec: &Spec, reply: &mut ReplyWriter<'_>) {
    reply.bulk(b"summary");
    reply.bulk(summary.as_bytes());
    reply.bulk(b"since");
    reply.bulk(env!("CARGO_PKG_VERSION").as_bytes());
    reply.bulk(b"group");
    reply.bulk(match spec.group {
        Group::Connection => b"connection",
        Group::Data => b"generic",
        Group::Server => b"server",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_of_the_usage() {
        let told = |usage| {
            let told = arguments(usage).into_iter().map(|argument| (argument.name, argument.flag));
            told.collect::<Vec<_>>()
        };
        assert_eq!(told("DBSIZE"), []);
        assert_eq!(told("SETEX key seconds"), [("key", None), ("seconds", None)]);
        assert_eq!(told("DEL key [key ...]"), [("key", Some("multiple"))]);
        let range = [("key", None), ("start end [BYTE|BIT]", Some("optional"))];
        assert_eq!(told("BITCOUNT key [start end [BYTE|BIT]]"), range);
        // No brackets are left open by any line of the table.
        for argument in TABLE.iter().flat_map(|spec| arguments(spec.usage)) {
            let count = |c| argument.name.matches(c).count();
            assert_eq!(count('['), count(']'), "{argument:?}");
        }
    }
}
