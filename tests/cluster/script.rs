//! The test script of the program that this project began from, which failed seven of its own
//! checks: two nodes, keys set on either and read on the other, an overwrite, a stress of thirty
//! keys, a missing key. With netcat as there, and the same without it.

use super::common::{Client, Nodes, installed, run_with_input, wait_until};

/// Sends one line to a port and gives the reply.
type Ask = fn(port: u16, request: &str) -> String;

fn by_socket(port: u16, request: &str) -> String {
    Client::connect(port).ask(request)
}

fn by_netcat(port: u16, request: &str) -> String {
    let input = format!("{request}\n");
    let reply = run_with_input("nc", &["-N", "localhost", &port.to_string()], input.as_bytes());
    reply.trim_end_matches('\n').to_owned()
}

fn expect(ask: Ask, port: u16, request: &str, reply: &str) {
    wait_until(&format!("{request} -> {reply}"), || ask(port, request) == reply);
}

fn run(ask: Ask) {
    let nodes = Nodes::start(2);
    let [a, b] = nodes.ports[..] else { unreachable!("two nodes") };
    for (write, read, name) in [(a, b, "first"), (b, a, "second")] {
        for n in 1..=5 {
            assert_eq!(ask(write, &format!("SET {name}{n} value{n}")), "OK");
        }
        for n in 1..=5 {
            expect(ask, read, &format!("GET {name}{n}"), &format!("value{n}"));
        }
    }
    assert_eq!(ask(a, "SET name john"), "OK");
    expect(ask, b, "GET name", "john");
    assert_eq!(ask(b, "SET name jane"), "OK");
    assert_eq!(ask(b, "GET name"), "jane");
    expect(ask, a, "GET name", "jane");
    for n in 1..=30 {
        assert_eq!(ask(a, &format!("SET stress{n} data{n}")), "OK");
    }
    for n in 1..=30 {
        expect(ask, b, &format!("GET stress{n}"), &format!("data{n}"));
    }
    assert_eq!(ask(a, "GET missing"), "Not Found");
    assert_eq!(ask(b, "GET missing"), "Not Found");
}

#[test]
fn the_original_script_passes() {
    run(by_socket);
}

#[test]
fn the_original_script_passes_with_netcat() {
    if installed("nc") {
        run(by_netcat);
    }
}

/// `printf 'SET a 1\nGET a' | nc`: the last line has no end, and all replies arrive.
#[test]
fn half_closed_input_gets_every_reply() {
    let nodes = Nodes::start(1);
    let client = nodes.client(0);
    client.send(b"SET a 1\nGET a");
    assert_eq!(client.finish(), b"OK\n1\n");
    if installed("nc") {
        let port = nodes.ports[0].to_string();
        let replies = run_with_input("nc", &["-N", "localhost", &port], b"SET a 2\nGET a");
        assert_eq!(replies, "OK\n2\n");
        let many: String = (0..5000).map(|n| format!("SET k{n} {n}\nGET k{n}\n")).collect();
        let replies = run_with_input("nc", &["-N", "localhost", &port], many.as_bytes());
        let expected: String = (0..5000).map(|n| format!("OK\n{n}\n")).collect();
        assert_eq!(replies, expected);
    }
}
