//! The crate `redis` as a client, over RESP2 and RESP3, in its usual use. Other clients are run by
//! tests/clients/run.

use std::collections::BTreeSet;

use redis::{
    Client, Commands as _, Connection, ExistenceCheck, RedisError, RedisResult, SetExpiry,
    SetOptions,
};

use super::common::{Nodes, wait_until};

const PROTOCOLS: [&str; 2] = ["resp2", "resp3"];

fn connect(nodes: &Nodes, node: usize, db: u8, protocol: &str) -> Connection {
    let url = format!("redis://127.0.0.1:{}/{db}?protocol={protocol}", nodes.ports[node]);
    Client::open(url).and_then(|client| client.get_connection()).expect("it connects")
}

/// What needs commands that a node may not know yet is skipped, loudly.
fn unless_unknown<T>(what: &str, outcome: RedisResult<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) if error.to_string().to_lowercase().contains("unknown command") => {
            eprintln!("SKIPPED: {what}: {error}");
            None
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn values_numbers_and_ends_of_keys() -> RedisResult<()> {
    let nodes = Nodes::start(3);
    for protocol in PROTOCOLS {
        let mut one = connect(&nodes, 0, 0, protocol);
        let mut other = connect(&nodes, 1, 0, protocol);
        let _: () = one.set("name", "john")?;
        assert_eq!(other.get::<_, String>("name")?, "john");
        assert_eq!(one.get::<_, Option<String>>("nobody")?, None);
        let bytes: Vec<u8> = (0..=255).collect();
        let _: () = one.set("bytes", &bytes)?;
        assert_eq!(other.get::<_, Vec<u8>>("bytes")?, bytes);
        let options = SetOptions::default().conditional_set(ExistenceCheck::NX);
        let options = options.with_expiration(SetExpiry::EX(100));
        let refused: Option<String> = one.set_options("name", "jack", options.clone())?;
        assert_eq!(refused, None);
        let _: () = one.del("fresh")?;
        assert_eq!(one.set_options::<_, _, String>("fresh", "x", options)?, "OK");
        let left: i64 = other.ttl("fresh")?;
        assert!((99..=100).contains(&left), "{left}");
        assert!(one.persist::<_, bool>("fresh")? && other.ttl::<_, i64>("fresh")? == -1);
        let _: () = one.del("n")?;
        assert_eq!(one.incr::<_, _, i64>("n", 5)?, 5);
        assert_eq!(other.decr::<_, _, i64>("n", 2)?, 3);
        let both: (Option<String>, Option<i64>) = one.mget(&["nobody", "n"])?;
        assert_eq!(both, (None, Some(3)));
        assert!(one.exists::<_, bool>("n")? && one.strlen::<_, usize>("name")? == 4);
        assert_eq!(one.get_del::<_, String>("name")?, "john");
        let _: () = one.set("word", "x")?;
        let error = one.incr::<_, _, i64>("word", 1).expect_err("it is no number");
        assert_eq!((error.code(), error.detail()), (Some("ERR"), Some(NO_NUMBER)));
    }
    Ok(())
}

const NO_NUMBER: &str = "value is not an integer or out of range";

#[test]
fn pipelines_scans_and_levels() -> RedisResult<()> {
    let nodes = Nodes::start(1);
    for protocol in PROTOCOLS {
        let mut client = connect(&nodes, 0, 0, protocol);
        let mut pipe = redis::pipe();
        for n in 0..500 {
            pipe.set(format!("key:{n}"), n).ignore().get(format!("key:{n}"));
        }
        assert_eq!(pipe.query::<Vec<i64>>(&mut client)?, (0..500).collect::<Vec<i64>>());
        let found: RedisResult<BTreeSet<String>> = client.scan_match("key:1*")?.collect();
        assert_eq!(found?.len(), 111);
        let mut eventual = connect(&nodes, 0, 2, protocol);
        assert_eq!(eventual.get::<_, Option<i64>>("key:1")?, None, "databases are apart");
        let error = eventual.incr::<_, _, i64>("n", 1).expect_err("it reads before it writes");
        assert!(error.to_string().contains("needs the strong database"), "{error}");
        let told: String = redis::cmd("INFO").arg("server").query(&mut client)?;
        assert!(told.contains("redis_version:7"), "{told}");
        // Asked for by itself first: the crate can't go on after an error in place of MULTI's OK.
        let multi = redis::cmd("MULTI").exec(&mut client);
        if unless_unknown("MULTI", multi).is_some() {
            redis::cmd("DISCARD").exec(&mut client)?;
            let mut atomic = redis::pipe();
            atomic.atomic().set("{a}n", 1).ignore().incr("{a}n", 1);
            assert_eq!(atomic.query::<(i64,)>(&mut client)?, (2,));
        }
        let unlock = redis::Script::new(
            "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) \
             else return 0 end",
        );
        let _: () = client.set("lock", "mine")?;
        let mut ask = |who: &str| unlock.key("lock").arg(who).invoke::<i64>(&mut client);
        if let Some(gone) = unless_unknown("EVALSHA", ask("other")) {
            assert_eq!((gone, ask("mine")?, ask("mine")?), (0, 1, 0));
        }
    }
    Ok(())
}

#[test]
fn a_cluster_without_a_majority_says_so_in_words_for_clients() {
    let mut nodes = Nodes::start(3);
    let mut client = connect(&nodes, 0, 0, "resp3");
    nodes.kill_all(&[1, 2]);
    let code = |error: &RedisError| error.code().map(str::to_owned);
    let mut codes = BTreeSet::new();
    wait_until("a refusal", || {
        let set: RedisResult<()> = client.set("name", "john");
        codes.extend(set.as_ref().err().and_then(code));
        codes.contains("NOREPLICAS")
    });
    // What was under way when they went may be in doubt; nothing else is said.
    codes.remove("INDOUBT");
    assert_eq!(codes, BTreeSet::from(["NOREPLICAS".to_owned()]));
}
