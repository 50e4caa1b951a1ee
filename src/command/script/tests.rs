//! The scripts of lock libraries are recognised, and what only looks like them is not.

use super::*;
use crate::{
    command::{Command, Script, op::Op},
    limits::Limits,
    proto::{Dialect, Progress, Step, Workspace, next_request},
};

const UNTIL_THEN: &str = "local token = redis.call('get', KEYS[1])
    if not token or token ~= ARGV[1] then
        return 0
    end";

#[track_caller]
fn check(scripts: &[(&str, Shape)]) {
    for (script, wanted) in scripts {
        assert_eq!(shape(script.as_bytes()), Some(*wanted), "{script}");
    }
}

/// The documentation of SET, ioredis, Go and others, in their ways of writing.
#[test]
fn compare_and_do_something() {
    check(&[
        (
            r#"if redis.call("get",KEYS[1]) == ARGV[1]
               then return redis.call("del",KEYS[1]) else return 0 end"#,
            Shape::Release,
        ),
        (
            "-- Free.\nif (redis.call('GET', KEYS[1]) == ARGV[1]) then\n\t\
             return redis.call('DEL', KEYS[1]);\nelse\n\treturn 0;\nend;\n",
            Shape::Release,
        ),
        (
            "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1])
             return 1 end --[[ not\nours ]] return 0",
            Shape::Release,
        ),
        (
            r#"if redis.call("GET", KEYS[1]) == ARGV[1]
               then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) else return 0 end"#,
            Shape::Expire { unit: 1 },
        ),
        (
            r#"if redis.call("get", KEYS[1]) == ARGV[1]
               then return redis.call("expire", KEYS[1], ARGV[2]) else return 0 end"#,
            Shape::Expire { unit: 1000 },
        ),
    ]);
}

#[test]
fn the_scripts_of_redis_py() {
    let release = format!("\n{UNTIL_THEN}\n redis.call('del', KEYS[1])\n return 1\n");
    let renew = format!("{UNTIL_THEN} redis.call('pexpire', KEYS[1], ARGV[2]) return 1");
    let extend = format!(
        "{UNTIL_THEN}
        local expiration = redis.call('pttl', KEYS[1])
        if not expiration then
            expiration = 0
        end
        if expiration < 0 then
            return 0
        end

        local newttl = ARGV[2]
        if ARGV[3] == \"0\" then
            newttl = ARGV[2] + expiration
        end
        redis.call('pexpire', KEYS[1], newttl)
        return 1"
    );
    check(&[
        (&release, Shape::Release),
        (&renew, Shape::Expire { unit: 1 }),
        (&extend, Shape::Add),
    ]);
}

/// And of rslock.
#[test]
fn the_scripts_of_node_redlock() {
    let loops = |check: &str| {
        format!(
            "for i, key in ipairs(KEYS) do {check} return 0 end end
             -- And now all of them.
             for i, key in ipairs(KEYS) do
               redis.call(\"set\", key, ARGV[1], \"PX\", ARGV[2])
             end
             return #KEYS"
        )
    };
    let release = r#"local count = 0
        for i, key in ipairs(KEYS) do
          -- Only ours.
          if redis.call("get", key) == ARGV[1] then
            redis.pcall("del", key)
            count = count + 1
          end
        end
        return count"#;
    let rslock = r#"if redis.call("get", KEYS[1]) ~= ARGV[1] then
          return 0
        else
          if redis.call("set", KEYS[1], ARGV[1], "PX", ARGV[2]) ~= nil then
            return 1
          else
            return 0
          end
        end"#;
    check(&[
        (&loops(r#"if redis.call("exists", key) == 1 then"#), Shape::Acquire),
        (&loops(r#"if redis.call("get", key) ~= ARGV[1] then"#), Shape::Renew),
        (release, Shape::Release),
        (rslock, Shape::Renew),
    ]);
}

#[test]
fn what_is_nearly_one_is_none() {
    let release = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return \
                   redis.call(\"del\",KEYS[1]) else return 0 end";
    assert_eq!(shape(release.as_bytes()), Some(Shape::Release));
    let changes = [
        ("ARGV[1]", "ARGV[2]"),
        ("KEYS[1]) else", "KEYS[2]) else"),
        ("==", "~="),
        ("return 0", "return 1"),
        ("return 0", "return 0.5"),
        ("return 0", "return -0"),
        ("\"get\"", "\"getdel\""),
        ("\"del\"", "\"unlink\""),
        ("\"get\"", "\"\\103et\""),
        ("\"get\"", "\"get' , KEYS1 ) \""),
        ("redis.call(\"del\"", "call(\"del\""),
        ("redis.call(\"del\"", "redis.del(\"del\""),
        ("if ", "if not "),
        (" end", " end return 1"),
        (" end", " end --[[ it never ends"),
        ("if ", "--[==[ if "),
        ("if ", "\u{a0}if "),
        ("redis.call", "redis. --[[x]] calls"),
    ];
    for (from, to) in changes {
        let script = release.replacen(from, to, 1);
        assert_ne!(script, release);
        assert_eq!(shape(script.as_bytes()), None, "{script}");
    }
    assert_eq!(shape(b"return 1"), None);
    assert_eq!(shape(b""), None);
    assert_eq!(shape(b"\xff"), None);
    assert_eq!(shape("end ".repeat(10_000).as_bytes()), None);
    // The other name is a variable of its own.
    let other = UNTIL_THEN.replacen("or token", "or tokens", 1);
    assert_eq!(shape(format!("{other} redis.call('del', KEYS[1]) return 1").as_bytes()), None);
}

/// With and without a look at whether there is anything.
#[test]
fn the_scripts_of_django_redis() {
    let held = "
                    local exists = redis.call('EXISTS', KEYS[1])
                    if (exists == 1) then
                        return redis.call('INCRBY', KEYS[1], ARGV[1])
                    else return false end
                    ";
    let any = "
                    return redis.call('INCRBY', KEYS[1], ARGV[1])
                    ";
    check(&[(held, Shape::Count { held: true }), (any, Shape::Count { held: false })]);
    for (from, to) in [("== 1", "== 0"), ("INCRBY", "DECRBY"), ("false", "nil"), ("EXISTS", "GET")]
    {
        let script = held.replacen(from, to, 1);
        assert_ne!(script, held);
        assert_eq!(shape(script.as_bytes()), None, "{script}");
    }
    assert_eq!(told(Shape::Count { held: true }, "1 n -7"), "IncrementHeld { by: -7 }");
    assert_eq!(told(Shape::Count { held: false }, "1 n 7"), "Increment { by: 7 }");
    assert_eq!(told(Shape::Count { held: true }, "1 n 1.5"), Unfit::Number.error());
    assert_eq!(told(Shape::Count { held: true }, "1 n"), Unfit::Arguments.error());
}

/// What a script of a shape does, told as the operation, or the error.
fn told(shape: Shape, rest: &str) -> String {
    let line = format!("EVALSHA 0 {rest}\n");
    let (mut workspace, mut progress) = (Workspace::new(), Progress::default());
    let step = next_request(
        line.as_bytes(),
        Dialect::Detect,
        false,
        &Limits::DEFAULT,
        &mut workspace,
        &mut progress,
    );
    let Step::Complete { args, .. } = step else { panic!("{step:?}") };
    let Ok(Command::Eval { script: Script::Hash(b"0"), keys, operands }) = Command::parse(args)
    else {
        panic!("{line}")
    };
    match shape.action(keys, operands) {
        Ok(action) => {
            let mut bytes = Vec::new();
            Op::new(keys.get(0).unwrap_or_default(), action).encode(&mut bytes);
            format!("{:?}", Op::decode(&bytes).expect("as written").action)
        }
        Err(unfit) => unfit.error().to_owned(),
    }
}

#[test]
fn scripts_come_to_operations() {
    assert_eq!(told(Shape::Release, "1 lock me"), "DeleteIf { condition: Equal([109, 101]) }");
    let extend = |by, add, ends| {
        format!("Extend {{ value: [109, 101], by: {by}, add: {add}, ends: {ends} }}")
    };
    assert_eq!(told(Shape::Expire { unit: 1000 }, "1 lock me 7"), extend(7000, false, false));
    assert_eq!(told(Shape::Add, "1 lock me 7 0"), extend(7, true, true));
    assert_eq!(told(Shape::Add, "1 lock me 7 1"), extend(7, false, true));
    assert!(told(Shape::Acquire, "1 lock me 7").contains("Absent"));
    assert!(told(Shape::Renew, "1 lock me 7").contains("Equal([109, 101])"));
    for (shape, rest) in [
        (Shape::Release, "0 me"),
        (Shape::Release, "1 lock"),
        (Shape::Release, "2 lock other me"),
        (Shape::Acquire, "1 lock me"),
        (Shape::Add, "1 lock me 7"),
    ] {
        assert_eq!(told(shape, rest), Unfit::Arguments.error(), "{rest}");
    }
    for rest in ["1 lock me x", "1 lock me 9223372036854775807"] {
        assert_eq!(told(Shape::Expire { unit: 1000 }, rest), Unfit::Number.error(), "{rest}");
    }
    assert_eq!(told(Shape::Acquire, "1 lock me 0"), Unfit::Number.error());
}
