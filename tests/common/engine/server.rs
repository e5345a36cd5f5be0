//! One server.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::resp::{Connection, Reply};
use super::{Certificates, Engine, eventually};

/// The user as whom the tests, replicas and sentinels log in, whatever a test allows other users.
pub const HARNESS: &str = "harness";

/// How a server is configured.
#[derive(Debug, Clone, Default)]
pub struct Options {
    lines: Vec<String>,
    certificates: Option<Certificates>,
    sentinel: bool,
    cluster: bool,
}

impl Options {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line to the configuration file.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Demands this password from the default user.
    pub fn password(self, password: &str) -> Self {
        self.line(format!("requirepass {password}"))
    }

    /// Adds a user, as a line of an ACL file says it after the word `user`: `alice on >password ~gettone:* +get`.
    pub fn user(self, rules: &str) -> Self {
        self.line(format!("user {rules}"))
    }

    pub fn replica_of(self, port: u16) -> Self {
        self.line(format!("replicaof 127.0.0.1 {port}"))
    }

    pub fn maxmemory(self, size: &str, policy: &str) -> Self {
        self.line(format!("maxmemory {size}")).line(format!("maxmemory-policy {policy}"))
    }

    /// Listens with TLS only.
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self.line("tls-auth-clients no")
    }

    /// Listens with TLS only, and demands a certificate of the same root from clients.
    pub fn tls_with_client_certificates(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self.line("tls-auth-clients yes")
    }

    pub(super) fn of_sentinel(self) -> Self {
        Self { sentinel: true, ..self }
    }

    pub(super) fn in_cluster(self) -> Self {
        Self { cluster: true, ..self }
    }
}

/// A running server, which ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    options: Mutex<Options>,
    port: u16,
    bus_port: u16,
    tls: bool,
    // Dropped before the folder, which is removed afterwards.
    process: Mutex<Option<Process>>,
    folder: Folder,
}

impl Server {
    /// Starts a server on a free port, and waits until the server answers.
    pub fn start(engine: Engine, options: Options) -> Self {
        for _ in 0..10 {
            let server = Self {
                engine,
                port: free_port(),
                bus_port: free_port(),
                tls: options.certificates.is_some(),
                options: Mutex::new(options.clone()),
                folder: Folder::new(),
                process: Mutex::new(None),
            };
            match server.launch() {
                Ok(()) => return server,
                // Somebody else took the port in between.
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("{engine:?} does not start with {options:?}: {log}"),
            }
        }
        panic!("no port is free");
    }

    /// Returns what the server logged if it ended.
    fn launch(&self) -> Result<(), String> {
        fs::write(self.folder.0.join("server.conf"), self.configuration()).unwrap();
        let sentinel = self.options.lock().unwrap().sentinel;
        let mut process = Process::start(self.engine, &self.folder.0, sentinel);
        let up = eventually("the server answers", || {
            if process.server.try_wait().unwrap().is_some() {
                return Some(Err(fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()));
            }
            (self.try_command(&["PING"]).ok()? == "PONG".into()).then_some(Ok(()))
        });
        *self.process.lock().unwrap() = Some(process);
        up
    }

    fn configuration(&self) -> String {
        let folder = &self.folder.0;
        let options = self.options.lock().unwrap();
        let mut text = format!(
            "bind 127.0.0.1\n{}port {}\nunixsocket {:?}\ndir {folder:?}\nlogfile {:?}\nuser {HARNESS} on >{HARNESS} ~* &* +@all\n",
            if self.tls { "port 0\ntls-" } else { "" },
            self.port,
            self.socket(),
            folder.join("log"),
        );
        if !options.sentinel {
            text.push_str("save \"\"\nappendonly no\nenable-debug-command yes\n");
            text.push_str(&format!("masteruser {HARNESS}\nmasterauth {HARNESS}\nrepl-diskless-sync-delay 0\n"));
            // A dump that can be searched, and a log of all commands.
            text.push_str("rdbcompression no\nslowlog-log-slower-than 0\nslowlog-max-len 100000\n");
        }
        if options.cluster {
            text.push_str(&format!("cluster-enabled yes\ncluster-port {}\n", self.bus_port));
        }
        if let Some(certificates) = &options.certificates {
            text.push_str(&certificates.write(folder));
            text.push_str("tls-replication yes\ntls-cluster yes\n");
        }
        options.lines.iter().fold(text, |text, line| text + line + "\n")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn bus_port(&self) -> u16 {
        self.bus_port
    }

    pub fn url(&self) -> String {
        format!("redis{}://127.0.0.1:{}", if self.tls { "s" } else { "" }, self.port)
    }

    /// Returns the path of the socket by which the tests speak to it, which only they use.
    pub fn socket(&self) -> PathBuf {
        self.folder.0.join("socket")
    }

    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap().as_ref().unwrap().server.id()
    }

    /// Sends a command with all permissions, on a connection of its own and not on the clients' port.
    pub fn command(&self, words: &[&str]) -> Reply {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub fn try_command(&self, words: &[&str]) -> io::Result<Reply> {
        self.connect()?.command(words)
    }

    /// Connects with all permissions, for commands that must share a connection.
    pub fn connect(&self) -> io::Result<Connection> {
        let mut connection = Connection::to_socket(&self.socket())?;
        connection.command(&["AUTH", HARNESS, HARNESS])?;
        Ok(connection)
    }

    /// Returns a field of `INFO`.
    pub fn info(&self, field: &str) -> Option<String> {
        let info = self.try_command(&["INFO"]).ok()?;
        let Reply::Text(info) = info else { return None };
        info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned))
    }

    /// Returns the commands of clients that the slow log has, the oldest first. Every command is slow enough for it, but long words are cut.
    pub fn slowlog(&self) -> Vec<Vec<String>> {
        let log = self.command(&["SLOWLOG", "GET", "-1"]);
        let of_clients = |entry: &&Reply| !entry.array()[4].text().starts_with('/');
        let words = |entry: &Reply| entry.array()[3].array().iter().map(|word| word.text().to_owned()).collect();
        log.array().iter().rev().filter(of_clients).map(words).collect()
    }

    /// Returns a dump of all that is kept, not compressed.
    pub fn rdb_bytes(&self) -> Vec<u8> {
        assert_eq!(self.command(&["SAVE"]), "OK".into());
        fs::read(self.dump()).unwrap()
    }

    fn dump(&self) -> PathBuf {
        self.folder.0.join("dump.rdb")
    }

    /// Stops the process where it stands, until [`cont`](Self::cont).
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Kills the process, which has no chance to close its connections in order.
    pub fn kill(&self) {
        *self.process.lock().unwrap() = None;
    }

    /// Starts the server on the same port, empty.
    pub fn restart(&self) {
        self.kill();
        let _ = fs::remove_file(self.dump());
        let log = self.folder.0.join("log");
        let _ = fs::remove_file(&log);
        self.launch().unwrap_or_else(|log| panic!("{:?} does not start again: {log}", self.engine));
    }

    /// Starts the server on the same port, as an empty replica of another.
    pub fn restart_as_replica_of(&self, port: u16) {
        let mut options = self.options.lock().unwrap();
        options.lines.retain(|line| !line.starts_with("replicaof "));
        *options = options.clone().replica_of(port);
        drop(options);
        self.restart();
    }
}

/// A server's process, and a watchdog that kills it if the test's process ends first.
#[derive(Debug)]
struct Process {
    server: Child,
    watchdog: Child,
}

impl Process {
    fn start(engine: Engine, folder: &Path, sentinel: bool) -> Self {
        let program = engine.program().unwrap();
        let mut command = Command::new(program);
        command.arg(folder.join("server.conf")).args(sentinel.then_some("--sentinel"));
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut command = Command::new("sh");
        // The watchdog's input ends with this process, however that ends.
        command.args(["-c", r#"read -r _; kill -9 "$0"; rm -rf "$1""#, &server.id().to_string()]).arg(folder);
        let watchdog = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { server, watchdog }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the server was waited for, its process id may belong to another process.
        for child in [&mut self.watchdog, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gettone-engine-{}-{number}", std::process::id()));
        // An earlier process with the same id may have left it.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a port on which nobody listens, of those that the system gives to no connection, so that a server finds its port again
/// when it is started anew.
pub fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}
