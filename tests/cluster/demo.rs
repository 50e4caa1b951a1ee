//! `quorate demo`: three nodes in one terminal, until Ctrl-C.

use std::{fs, process::Command};

use super::common::{Client, Process, answers, free_ports, wait_for_strong, wait_until};

#[test]
fn the_demo_says_what_to_try_and_it_works() {
    let ports = free_ports(3);
    let args = ["demo", "--port", &ports[0].to_string()].map(str::to_owned);
    let mut demo = Process::start(&args);
    wait_until("three nodes that answer", || ports.iter().all(|port| answers(*port)));
    wait_until("what to try", || demo.printed().contains("Ctrl-C"));
    let printed = demo.printed();
    for port in &ports {
        assert!(printed.contains(&format!("nc localhost {port}")), "{printed}");
    }
    ports.iter().for_each(|port| wait_for_strong(*port));
    // What it suggests, literally.
    assert_eq!(Client::connect(ports[0]).ask("SET name john"), "OK");
    Client::connect(ports[1]).wait_for("GET name", "john");
    Client::connect(ports[2]).wait_for("GET name", "john");
    assert_eq!(Client::connect(ports[2]).ask("DEL name"), "1");
    Client::connect(ports[0]).wait_for("GET name", "Not Found");
    demo.signal("INT");
    assert_eq!(demo.wait().code(), Some(0));
    assert!(!ports.iter().any(|port| answers(*port)));
}

#[test]
fn the_demo_leaves_nothing_behind_unless_told_where() {
    let place = tempfile::tempdir().expect("a place for tests");
    let kept = place.path().join("kept");
    let run = |flags: &[&str], request: &str, reply: &str| {
        let ports = free_ports(3);
        let temporary = tempfile::tempdir().expect("a place for tests");
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.args(["demo", "--port", &ports[0].to_string()]).args(flags);
        command.env("TMPDIR", temporary.path());
        let mut demo = Process::spawn(command);
        wait_until("three nodes that answer", || ports.iter().all(|port| answers(*port)));
        Client::connect(ports[0]).wait_for(request, reply);
        demo.signal("TERM");
        assert_eq!(demo.wait().code(), Some(0));
        let left = fs::read_dir(temporary.path()).expect("it is there").count();
        assert_eq!(left, 0, "temporary directories");
    };
    run(&[], "SET a 1", "OK");
    run(&["--data", &kept.display().to_string()], "SET a 1", "OK");
    assert_eq!(fs::read_dir(&kept).expect("it was made").count(), 3);
}
