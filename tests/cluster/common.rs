//! What the tests share: processes that end with their guard, free ports, a client that reads
//! lines, and waiting.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest wait for anything. On a busy machine things take their time; on a broken one for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` gives something.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(LOOK);
    }
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Ports that nobody listens on, next to each other, below those that the system gives to outgoing
/// connections. Each is given out once in this process.
pub(crate) fn free_ports(count: u16) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + (std::process::id() % 180) as u16 * 100;
    for _ in 0..100 {
        let first = base + NEXT.fetch_add(count, Ordering::Relaxed);
        let ports: Vec<u16> = (first..first + count).collect();
        let free = |port: &u16| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
                && !matches!(
                    TcpListener::bind((Ipv6Addr::LOCALHOST, *port)),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse
                )
        };
        if ports.iter().all(free) {
            return ports;
        }
    }
    panic!("no free ports from {base} on");
}

/// What a run of the binary left.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end, which `timeout` makes sure of.
pub(crate) fn quorate<A: AsRef<OsStr>>(args: &[A]) -> Outcome {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(env!("CARGO_BIN_EXE_quorate")).args(args);
    let output = command.env("QUORATE_LOG", "warn").stdin(Stdio::null()).output();
    let output = output.expect("timeout is installed");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Outcome { code: output.status.code(), stdout, stderr }
}

/// A running quorate. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary with these arguments.
    pub(crate) fn start(args: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.args(args);
        Self::spawn(command)
    }

    /// Starts a command that becomes the binary.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.env("QUORATE_LOG", "debug");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = gather(child.stdout.take().expect("it is piped"));
        let stderr = gather(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        self.stdout.lock().expect("nobody panics with it").clone()
    }

    /// What it has logged so far.
    pub(crate) fn logged(&self) -> String {
        self.stderr.lock().expect("nobody panics with it").clone()
    }

    /// Sends a signal by name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(status.success(), "{kill}");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the end of a process", || self.child.try_wait().expect("it is our child"))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.strike();
        let _ = self.child.wait();
    }

    /// kill -9, without waiting for the end.
    fn strike(&mut self) {
        // It fails only if the process has ended, which is fine.
        let _ = self.child.kill();
    }

    /// The most resident memory it has had so far, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a VmHWM line");
        let kib = line.split_whitespace().nth(1).expect("a number of KiB");
        kib.parse::<u64>().expect("a number") * 1024
    }

    /// CPU time so far, in ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.proc_file("stat");
        // The fields behind the name in parentheses; user and system time are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    fn proc_file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("a Linux /proc")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- log of process {}\n{}", self.child.id(), self.logged());
        }
    }
}

/// Reads everything in a thread of its own, so that the writer is never held up.
fn gather(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
            let mut text = into.lock().expect("nobody panics with it");
            text.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

/// Some nodes that know each other.
pub(crate) struct Nodes {
    pub(crate) ports: Vec<u16>,
    /// Where all of them keep their data, each in a folder of its own.
    pub(crate) data: TempDir,
    /// The database of [`Nodes::client`].
    pub(crate) db: u8,
    /// Further arguments of each.
    flags: Vec<String>,
    processes: Vec<Option<Process>>,
}

impl Nodes {
    /// Starts a cluster and waits until every node answers.
    pub(crate) fn start(count: u16) -> Self {
        Self::start_with(count, &[])
    }

    /// The same, each with these further arguments.
    pub(crate) fn start_with(count: u16, flags: &[&str]) -> Self {
        let mut nodes = Self::prepare(count, flags);
        nodes.start_all();
        nodes
    }

    /// The same, for what is about the eventual database.
    pub(crate) fn start_eventual(count: u16) -> Self {
        let mut nodes = Self::start(count);
        nodes.db = 2;
        nodes
    }

    /// A cluster of which no node was started yet.
    pub(crate) fn prepare(count: u16, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let ports = free_ports(count);
        let processes = ports.iter().map(|_| None).collect();
        let data = tempfile::tempdir().expect("a place for tests");
        Self { ports, data, db: 0, flags, processes }
    }

    /// Starts every node and waits until all of them serve.
    pub(crate) fn start_all(&mut self) {
        (0..self.ports.len()).for_each(|node| self.spawn(node));
        (0..self.ports.len()).for_each(|node| self.wait_for_node(node));
        self.ports.iter().for_each(|port| wait_for_strong(*port));
    }

    /// Starts a node that is down, and waits until it answers.
    pub(crate) fn restart(&mut self, node: usize) {
        self.spawn(node);
        self.wait_for_node(node);
    }

    /// The same, of several at once.
    pub(crate) fn restart_all(&mut self, nodes: &[usize]) {
        nodes.iter().for_each(|node| self.spawn(*node));
        nodes.iter().for_each(|node| self.wait_for_node(*node));
    }

    /// A further argument of each node that is started from now on.
    pub(crate) fn add_flag(&mut self, flag: &str) {
        self.flags.push(flag.to_owned());
    }

    fn spawn(&mut self, node: usize) {
        assert!(self.processes[node].is_none(), "node {node} is up");
        self.processes[node] = Some(Process::start(&self.args(node)));
    }

    /// The command line of a node.
    pub(crate) fn args(&self, node: usize) -> Vec<String> {
        let own = self.ports[node];
        let others: Vec<u16> = self.ports.iter().copied().filter(|port| *port != own).collect();
        let mut args = serve_args(own, &others, self.data.path());
        args.extend_from_slice(&self.flags);
        args
    }

    /// Where a node keeps its data.
    pub(crate) fn directory(&self, node: usize) -> PathBuf {
        self.data.path().join(self.ports[node].to_string())
    }

    /// A process takes the place of a node that is down; waits until it answers.
    pub(crate) fn adopt(&mut self, node: usize, process: Process) {
        assert!(self.processes[node].is_none(), "node {node} is up");
        self.processes[node] = Some(process);
        self.wait_for_node(node);
    }

    fn wait_for_node(&self, node: usize) {
        wait_until("a node that answers", || answers(self.ports[node]));
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, node: usize) {
        self.kill_all(&[node]);
    }

    /// kill -9 of several at once.
    pub(crate) fn kill_all(&mut self, nodes: &[usize]) {
        nodes.iter().for_each(|node| self.process(*node).strike());
        nodes.iter().for_each(|node| self.processes[*node] = None);
    }

    /// Takes a node's process, which has ended or is to end.
    pub(crate) fn take(&mut self, node: usize) -> Process {
        self.processes[node].take().expect("the node is up")
    }

    pub(crate) fn process(&mut self, node: usize) -> &mut Process {
        self.processes[node].as_mut().expect("the node is up")
    }

    pub(crate) fn client(&self, node: usize) -> Client {
        let mut client = Client::connect(self.ports[node]);
        if self.db != 0 {
            assert_eq!(client.ask(&format!("SELECT {}", self.db)), "OK");
        }
        client
    }

    /// Waits until `key` reads as `value` on every node that is up.
    pub(crate) fn wait_for_value(&self, key: &str, value: &str) {
        for node in (0..self.ports.len()).filter(|node| self.processes[*node].is_some()) {
            self.client(node).wait_for(&format!("GET {key}"), value);
        }
    }

    /// Every key's value on every node that is up, when they have become the same.
    pub(crate) fn wait_for_agreement(&self, keys: &BTreeSet<String>) -> Vec<String> {
        wait_for("nodes that agree", || {
            let up = (0..self.ports.len()).filter(|node| self.processes[*node].is_some());
            let mut tables = up.map(|node| self.client(node).table(keys));
            let first = tables.next()?;
            tables.all(|table| table == first).then_some(first)
        })
    }
}

/// The command line of one node.
pub(crate) fn serve_args(port: u16, peers: &[u16], data: &Path) -> Vec<String> {
    let data = data.join(port.to_string()).display().to_string();
    let mut args = vec![port.to_string(), "--data".to_owned(), data];
    if !peers.is_empty() {
        let peers: Vec<String> = peers.iter().map(|port| format!("localhost:{port}")).collect();
        args.extend(["--peers".to_owned(), peers.join(",")]);
    }
    args
}

/// Waits until a node carries out operations of the strong database: the cluster has formed, and all
/// slots are led. Reads leave no trace.
pub(crate) fn wait_for_strong(port: u16) {
    let keys: Vec<String> = (0..50).map(|n| format!("nothing{n}")).collect();
    let mut client = Client::connect(port);
    wait_until("a node that serves", || {
        // A second one at once: who has just been elected may be challenged once more.
        (0..2).all(|_| client.table(&keys).iter().all(|reply| reply == "Not Found"))
    });
}

/// Whether a node answers at `port`.
pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|stream| {
        let mut client = Client::new(stream);
        client.try_ask("PING").is_ok_and(|reply| reply == "PONG")
    })
}

/// A client that sends lines and reads lines, and waits for neither for ever.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        Self::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the node listens"))
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option of TCP");
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.stream().write_all(bytes).expect("the node reads");
    }

    /// A line, without its end. Nothing at the end of the stream.
    pub(crate) fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let whole = line.pop() == Some(b'\n');
        assert!(whole, "half a reply: {}", line.escape_ascii());
        Ok(Some(String::from_utf8(line).expect("plain replies are text")))
    }

    fn try_ask(&mut self, request: &str) -> io::Result<String> {
        self.stream().write_all(format!("{request}\n").as_bytes())?;
        self.line()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// One request, one line of reply.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.try_ask(request).unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    /// Asks until the reply is `wanted`.
    pub(crate) fn wait_for(&mut self, request: &str, wanted: &str) {
        wait_until(&format!("{request} -> {wanted}"), || self.ask(request) == wanted);
    }

    /// The replies to all keys, asked for at once.
    pub(crate) fn table<'a>(&mut self, keys: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        let requests: Vec<String> = keys.into_iter().map(|key| format!("GET {key}\n")).collect();
        self.pipeline(&requests)
    }

    /// The replies to requests that end with LF and have one line of reply each. In batches that
    /// fit into the system's buffers.
    pub(crate) fn pipeline(&mut self, requests: &[String]) -> Vec<String> {
        let mut replies = Vec::new();
        for batch in requests.chunks(200) {
            self.send(batch.concat().as_bytes());
            for _ in batch {
                replies.push(self.line().expect("a reply in time").expect("a reply"));
            }
        }
        replies
    }

    /// One section of INFO.
    pub(crate) fn info(&mut self, section: &str) -> String {
        self.send(format!("INFO {section}\r\nPING\r\n").as_bytes());
        let mut info = String::new();
        while !info.ends_with("+PONG\r\n") {
            info.push_str(&self.line().expect("a reply").expect("a reply"));
            info.push('\n');
        }
        info
    }

    /// Says that nothing more will be sent, and reads what still comes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.stream().shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("the node closes");
        rest
    }
}

/// Whether a program can be run here. Says so loudly if not.
pub(crate) fn installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// Runs a program with some input to its end, which `timeout` makes sure of; what it printed.
pub(crate) fn run_with_input(program: &str, args: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(program).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("timeout is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("the program reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {} {errors}", output.status);
    String::from_utf8(output.stdout).expect("its output is text")
}
