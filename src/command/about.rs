//! What the table, the limits and the server look like to clients that ask.

use super::{
    CommandAsk, glob,
    spec::{Group, Spec},
    table::{TABLE, lookup},
};
use crate::{
    limits::Limits,
    proto::{Args, reply::ReplyWriter},
    record::{Db, VALUE_SIZE_MAX},
};

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
    match ask {
        CommandAsk::Count => reply.integer(TABLE.len() as i64),
        CommandAsk::List => {
            reply.array(TABLE.len());
            TABLE.iter().for_each(|spec| reply.bulk(spec.name.as_bytes()));
        }
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

/// The answer to CONFIG GET: what of Redis' parameters has a meaning here.
pub fn parameters(patterns: Args<'_>, limits: &Limits, reply: &mut ReplyWriter<'_>) {
    let known = [
        ("appendonly", "yes".to_owned()),
        ("databases", Db::COUNT.to_string()),
        ("maxclients", limits.clients_max.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("proto-max-bulk-len", VALUE_SIZE_MAX.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let wanted = |name: &str| {
        let name = name.as_bytes();
        patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name))
    };
    let wanted: Vec<_> = known.into_iter().filter(|(name, _)| wanted(name)).collect();
    reply.map(wanted.len());
    for (name, value) in wanted {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

fn info(spec: &Spec, reply: &mut ReplyWriter<'_>) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    reply.set(spec.flags().len());
    spec.flags().iter().for_each(|flag| reply.simple(flag));
    spec.keys().into_iter().for_each(|place| reply.integer(place));
    let categories = [category(spec)];
    reply.set(categories.len());
    categories.into_iter().for_each(|name| reply.simple(name));
    // Tips, key specifications, subcommands.
    (0..3).for_each(|_| reply.array(0));
}

fn docs(spec: &Spec, reply: &mut ReplyWriter<'_>) {
    reply.bulk(spec.name.as_bytes());
    reply.map(3);
    reply.bulk(b"summary");
    reply.bulk(spec.summary.as_bytes());
    reply.bulk(b"since");
    reply.bulk(env!("CARGO_PKG_VERSION").as_bytes());
    reply.bulk(b"group");
    reply.bulk(match spec.group {
        Group::Connection => b"connection",
        Group::Data => b"generic",
        Group::Server => b"server",
    });
}

const fn category(spec: &Spec) -> &'static str {
    match spec.group {
        Group::Connection => "@connection",
        Group::Data => "@keyspace",
        Group::Server => "@admin",
    }
}
