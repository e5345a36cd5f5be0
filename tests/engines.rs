//! The real servers that other tests use do what these tests need of them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

#[path = "engines/proxy.rs"]
mod proxy;
#[path = "engines/several.rs"]
mod several;

use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::engine::{Certificates, Connection, Engine, Monitor, Options, Reply, Server, eventually};
use rustix::process::{Pid, test_kill_process};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn set(server: &Server, key: &str, value: &str) -> Reply {
    Connection::to_port(server.port()).unwrap().command(&["SET", key, value]).unwrap()
}

#[track_caller]
fn assert_error(reply: &Reply, begin: &str) {
    assert!(matches!(reply, Reply::Error(text) if text.starts_with(begin)), "{reply:?}");
}

#[test]
fn a_server_starts_empty_and_again_on_its_port() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let folder = server.socket().parent().unwrap().to_owned();
        let (port, pid) = (server.port(), server.pid());
        assert_eq!(server.url(), format!("redis://127.0.0.1:{port}"));
        assert_eq!(server.info("valkey_version").is_some(), engine == Engine::Valkey);
        let value = "a value of one's own, ".repeat(10);
        assert_eq!(set(&server, "key", &value), "OK".into());
        assert_eq!(server.command(&["GET", "key"]).text(), value);
        // A dump, which it would read when it starts.
        let dump = server.rdb_bytes();
        assert!(String::from_utf8_lossy(&dump).contains(&value));

        server.kill();
        assert_eq!(
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        server.restart();
        assert_eq!(server.port(), port);
        assert_ne!(server.pid(), pid);
        assert_eq!(server.command(&["DBSIZE"]), Reply::Integer(0));
        assert_eq!(server.command(&["DEBUG", "SLEEP", "0"]), "OK".into());
        let pid = server.pid();
        drop(server);
        assert!(!runs(pid));
        assert!(!folder.exists());
    }
}

#[test]
fn a_stopped_server_answers_when_it_goes_on() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        let mut connection = Connection::over(stream.try_clone().unwrap());
        server.stop();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(connection.command(&["PING"]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        server.cont();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(connection.reply().unwrap(), "PONG".into());
    }
}

#[test]
fn options_restrict_clients_and_not_the_tests() {
    for engine in Engine::all() {
        let options = Options::new().password("open").user("alice on >sesame ~gettone:* +get +auth");
        let server = Server::start(engine, options.maxmemory("3mb", "noeviction"));
        let mut connection = Connection::to_port(server.port()).unwrap();
        let mut reply = |words: &[&str]| connection.command(words).unwrap();
        assert_error(&reply(&["GET", "key"]), "NOAUTH");
        assert_error(&reply(&["AUTH", "closed"]), "WRONGPASS");
        assert_eq!(reply(&["AUTH", "open"]), "OK".into());
        assert_eq!(reply(&["GET", "key"]), Reply::Nil);
        let value = "x".repeat(1_000_000);
        let full = (0..10).map(|key| reply(&["SET", &key.to_string(), &value])).find(|reply| *reply != "OK".into());
        assert_error(&full.unwrap(), "OOM");
        assert_eq!(reply(&["AUTH", "alice", "sesame"]), "OK".into());
        assert_eq!(reply(&["GET", "gettone:key"]), Reply::Nil);
        assert_error(&reply(&["GET", "key"]), "NOPERM");
        assert_error(&reply(&["DEL", "gettone:key"]), "NOPERM");
        assert_eq!(server.command(&["FLUSHALL"]), "OK".into());
    }
}

#[test]
fn tls_demands_what_it_is_told_to() {
    let certificates = Certificates::new();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(&certificates.root)).unwrap();
    let config = || ClientConfig::builder().with_root_certificates(roots.clone());
    let (certificate, key) = &certificates.client;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let known = config().with_client_auth_cert(vec![der(certificate)], key).unwrap();
    let ping = |server: &Server, config: ClientConfig| {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let client = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
        Connection::over(StreamOwned::new(client, stream)).command(&["PING"])
    };
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new().tls(&certificates));
        assert!(server.url().starts_with("rediss://"));
        assert_eq!(ping(&server, config().with_no_client_auth()).unwrap(), "PONG".into());
        let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        assert!(ping(&server, nobody).unwrap_err().to_string().contains("UnknownIssuer"));
        assert!(Connection::to_port(server.port()).unwrap().command(&["PING"]).is_err());

        let server = Server::start(engine, Options::new().tls_with_client_certificates(&certificates));
        assert!(ping(&server, config().with_no_client_auth()).is_err());
        assert_eq!(ping(&server, known.clone()).unwrap(), "PONG".into());
    }
}

#[test]
fn commands_are_seen_as_by_an_operator() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let monitor = Monitor::start(&server);
        assert_eq!(set(&server, "key", "seen"), "OK".into());
        let mut connection = Connection::to_port(server.port()).unwrap();
        let script = "return redis.call('GET', KEYS[1])";
        assert_eq!(connection.command(&["EVAL", script, "1", "key"]).unwrap(), "seen".into());
        let lines = monitor.lines();
        let ends = [r#" "SET" "key" "seen""#, r#" "1" "key""#, r#" lua] "GET" "key""#];
        assert_eq!(lines.len(), ends.len(), "{lines:?}");
        for (line, end) in lines.iter().zip(ends) {
            assert!(line.ends_with(end), "{lines:?}");
        }
        let mut log = server.slowlog();
        // Some list what a script calls, before the script.
        log.retain(|words| *words != ["GET", "key"]);
        assert_eq!(log, [vec!["SET", "key", "seen"], vec!["EVAL", script, "1", "key"]]);
    }
}

const CHILD: [&str; 3] = ["--exact", "child", "--ignored"];

/// Not a test: what a test that starts servers does.
#[test]
#[ignore = "tests run it"]
fn child() {
    let servers: Vec<_> = Engine::all().into_iter().map(|engine| Server::start(engine, Options::new())).collect();
    for server in &servers {
        println!("\nserver {} {}", server.pid(), server.socket().display());
    }
    println!("\nall");
    io::stdin().read_exact(&mut [0]).unwrap();
}

fn this_test() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(CHILD).stdin(Stdio::null());
    command
}

#[test]
fn no_server_outlives_a_test_that_is_killed() {
    let mut child = this_test().arg("--nocapture").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<_> = lines.take_while(|line| line != "all").collect();
    let servers = lines.iter().filter_map(|line| line.strip_prefix("server ")?.split_once(' '));
    let servers: Vec<(u32, PathBuf)> = servers.map(|(pid, socket)| (pid.parse().unwrap(), socket.into())).collect();
    assert_eq!(servers.len(), Engine::all().len());
    assert!(servers.iter().all(|(pid, socket)| runs(*pid) && socket.exists()));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the servers end", || {
        servers.iter().all(|(pid, socket)| !runs(*pid) && !socket.parent().unwrap().exists()).then_some(())
    });
}

/// Whether a process runs. One that has ended, and that nobody has waited for, does not.
fn runs(pid: u32) -> bool {
    let process = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(process).is_ok() && !state.contains(") Z ")
}

#[test]
fn a_missing_server_is_said_and_in_ci_a_failure() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = this_test();
        // A folder without tools.
        command.current_dir(std::env::temp_dir()).env_remove("CI").env("PATH", "");
        command.env("GETTONE_REDIS_SERVER", "none").env_remove("GETTONE_VALKEY_SERVER").envs(variables.iter().copied());
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (said.contains("child ... ok") || said.contains("failed to fill whole buffer"), said)
    };
    let (went_on, said) = run(&[]);
    assert!(went_on, "{said}");
    assert!(said.contains("not checked here: child with Redis: GETTONE_REDIS_SERVER is `none`\n"), "{said}");
    let missing = "no valkey-server in PATH: install it, or set GETTONE_VALKEY_SERVER to its path";
    assert!(said.contains(&format!("not checked here: child with Valkey: {missing}\n")), "{said}");

    let (went_on, said) = run(&[("CI", "true")]);
    assert!(!went_on && said.contains(missing) && !said.contains("with Valkey"), "{said}");
    let (went_on, said) = run(&[("CI", "true"), ("GETTONE_VALKEY_SERVER", "none")]);
    assert!(went_on, "{said}");
    let (went_on, said) = run(&[("GETTONE_VALKEY_SERVER", "/no/server")]);
    assert!(!went_on && said.contains("GETTONE_VALKEY_SERVER is \"/no/server\", which is no file"), "{said}");
}
