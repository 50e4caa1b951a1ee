//! What the documents say is what the program does: their sessions are replayed on a cluster in memory,
//! and the list of commands is that of the command table.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` writes both anew; review the difference.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use quorate::{
    command::{parameters, spec::Group, sub, table::TABLE},
    fuzzing::cluster::{Cluster, Setup},
    time::Millis,
};

const BEGIN: &str =
    "<!-- The rest of this file is written by `UPDATE_DOCS=1 cargo test --test docs`. -->\n";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn update() -> bool {
    env::var_os("UPDATE_DOCS").is_some()
}

/// A cluster of three, and a client of each node.
struct Stage {
    cluster: Cluster,
    clients: [Option<usize>; 3],
}

impl Stage {
    fn new() -> Self {
        let mut cluster = Cluster::new(Setup::default());
        cluster.advance(Millis(1000));
        Self { cluster, clients: [None; 3] }
    }

    /// A request, and what came back.
    fn ask(&mut self, node: usize, request: &str) -> String {
        let open = self.clients[node].filter(|client| !self.cluster.is_closed(*client));
        let client = open.unwrap_or_else(|| self.cluster.connect(node));
        self.clients[node] = Some(client);
        self.cluster.send(client, format!("{request}\n").as_bytes());
        self.cluster.settle();
        self.replies()
    }

    /// What came back since, of all clients.
    fn replies(&mut self) -> String {
        let clients = self.clients.into_iter().flatten();
        let replies = clients.map(|client| self.cluster.take_received(client));
        let replies: Vec<String> =
            replies.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
        replies.concat()
    }

    /// What happens besides requests.
    fn happen(&mut self, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        let number = |word: &str| word.parse::<usize>().expect("a number");
        match words[..] {
            ["node", node, "is", "killed"] => {
                self.cluster.crash(number(node));
                self.clients[number(node)] = None;
            }
            ["node", node, "starts", "again"] => self.cluster.restart(number(node)),
            ["nodes", a, "and", b, "can't", ..] => {
                self.cluster.stall(number(a), number(b));
                self.cluster.stall(number(b), number(a));
            }
            ["all", "nodes", "can", ..] => self.cluster.heal(),
            [ms, "ms", "later"] => self.cluster.advance(Millis(number(ms) as u64)),
            _ => panic!("nothing that happens: {what}"),
        }
    }

    fn replay(&mut self, line: &str) -> String {
        match (line.strip_prefix("# "), line.split_once("> ")) {
            (Some(what), _) => {
                self.happen(what);
                format!("{line}\n{}", self.replies())
            }
            (None, Some((node, request))) if node.len() == 1 => {
                let node = node.parse().expect("a node");
                format!("{line}\n{}", self.ask(node, request))
            }
            // An answer, which is written anew.
            (None, _) => String::new(),
        }
    }
}

#[test]
fn sessions_go_as_written() {
    let mut sessions = 0;
    for name in ["levels.md", "locks.md", "moving-from-redis.md", "transactions.md"] {
        let path = folder().join(name);
        let text = fs::read_to_string(&path).expect("a readable document");
        let (mut stage, mut inside, mut played) = (Stage::new(), false, String::new());
        for line in text.lines() {
            if inside && line != "```" {
                played += &stage.replay(line);
                continue;
            }
            sessions += usize::from(line == "```session");
            inside = line == "```session";
            played += line;
            played.push('\n');
        }
        if update() {
            fs::write(&path, &played).expect("a writable document");
        } else {
            println!("{name}");
            same(&played, &text);
        }
    }
    assert!(sessions > 8, "the sessions were found");
}

fn commands() -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    for (group, title) in
        [(Group::Data, "Data"), (Group::Connection, "Connections"), (Group::Server, "The server")]
    {
        let _ = write!(text, "\n## {title}\n\n| command | what it does |\n|---|---|\n");
        for spec in TABLE.iter().filter(|spec| spec.group == group) {
            let line = |usage: &str| usage.replace('|', "\\|");
            if spec.is_container() {
                let _ = writeln!(text, "| **{}** | {} |", spec.title(), line(spec.summary));
            } else {
                let _ = writeln!(text, "| `{}` | {} |", line(spec.usage), line(spec.summary));
            }
            for sub in sub::of(spec) {
                let (command, word) = sub.words();
                let usage = format!("{command} {word}").to_uppercase();
                let usage = line(format!("{usage} {}", sub.usage).trim_end());
                let _ = writeln!(text, "| `{usage}` | {} |", line(sub.summary));
            }
        }
    }
    text += "\n## Parameters of CONFIG\n\n| parameter | CONFIG SET takes |\n|---|---|\n";
    for (name, settable) in parameters::parameters() {
        let _ = writeln!(text, "| `{name}` | {settable} |");
    }
    text
}

#[test]
fn the_list_of_commands_is_current() {
    let path = folder().join("compatibility.md");
    let text = fs::read_to_string(&path).expect("a readable document");
    let (head, _) = text.split_once(BEGIN).expect("a place for the list");
    let current = format!("{head}{BEGIN}{}", commands());
    if update() {
        fs::write(&path, &current).expect("a writable document");
    } else {
        same(&current, &text);
    }
}

/// Shows where two texts differ first.
fn same(current: &str, written: &str) {
    let mut lines = current.lines().zip(written.lines());
    let difference = lines.find(|(current, written)| current != written);
    assert_eq!(difference, None, "now and as it is written");
    assert_eq!(current.len(), written.len(), "one is longer");
}

/// Links between documents lead to documents.
#[test]
fn links_lead_somewhere() {
    for entry in fs::read_dir(folder()).expect("a folder") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("a readable document");
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().expect("an end");
            assert!(folder().join(target).is_file(), "{}: {target}", path.display());
        }
    }
}
