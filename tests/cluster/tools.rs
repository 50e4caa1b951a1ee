//! Redis' own tools as clients, where they are installed.

use super::common::{Nodes, installed, run_with_input};

#[test]
fn redis_cli_talks_to_a_node() {
    if !installed("redis-cli") {
        return;
    }
    let nodes = Nodes::start(2);
    let ports: Vec<String> = nodes.ports.iter().map(u16::to_string).collect();
    let cli = |node: usize, args: &[&str]| {
        let args = [&["-p", &ports[node]], args].concat();
        run_with_input("redis-cli", &args, b"").trim_end().to_owned()
    };
    assert_eq!(cli(0, &["PING"]), "PONG");
    assert_eq!(cli(0, &["SET", "name", "two words\n\u{1f600}"]), "OK");
    nodes.wait_for_value("name", "\"two words\\n\u{1f600}\"");
    assert_eq!(cli(1, &["GET", "name"]), "two words\n\u{1f600}");
    assert_eq!(cli(1, &["GET", "nobody"]), "");
    assert_eq!(cli(1, &["EXISTS", "name", "nobody"]), "1");
    assert_eq!(cli(1, &["-n", "2", "GET", "name"]), "");
    assert_eq!(cli(1, &["DEL", "name"]), "1");
    assert!(cli(1, &["INFO"]).contains("quorate_version:"));
    assert_eq!(cli(1, &["CONFIG", "GET", "save"]), "save");
    assert!(cli(1, &["NONSENSE", "a"]).starts_with("ERR unknown command 'NONSENSE'"));
    // A session: redis-cli asks for COMMAND first, and QUIT ends it.
    let session = b"SET a 1\nGET a\nSELECT 1\nGET a\n";
    assert_eq!(run_with_input("redis-cli", &["-p", &ports[0]], session), "OK\n1\nOK\n\n");
}

#[test]
fn redis_benchmark_runs_through() {
    if !installed("redis-benchmark") {
        return;
    }
    let nodes = Nodes::start(1);
    let port = nodes.ports[0].to_string();
    for pipeline in ["1", "16", "256"] {
        let args =
            ["-p", &port, "-t", "ping,set,get", "-P", pipeline, "-n", "10000", "-c", "20", "-q"];
        let printed = run_with_input("redis-benchmark", &args, b"");
        for test in ["PING_INLINE", "PING_MBULK", "SET", "GET"] {
            let done = format!("{test}: ");
            let line = printed
                .split(['\r', '\n'])
                .any(|line| line.starts_with(&done) && line.contains("requests per second"));
            assert!(line, "-P {pipeline}: no {test} in {printed}");
        }
    }
}
