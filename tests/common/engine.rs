//! Real servers, Redis and Valkey: started on free ports of 127.0.0.1, each in a folder of its own, and ended with the test.
//!
//! The tests speak to them without the client library that the crate uses, so that what they see does not come through what they test.
//! All of it blocks the thread. A test whose clients must run meanwhile uses several threads.
#![allow(clippy::disallowed_methods)]

mod certificates;
mod cluster;
mod monitor;
mod proxy;
mod resp;
mod sentinels;
mod server;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub use certificates::Certificates;
pub use cluster::{Cluster, Migration};
pub use monitor::Monitor;
pub use proxy::{Fault, Mode, Proxy};
pub use resp::{Connection, Reply};
pub use sentinels::Sentinels;
pub use server::{Options, Server};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Redis,
    Valkey,
}

impl Engine {
    /// Returns the engines that this machine has. If one is missing, says so on the real stderr, and panics in CI.
    pub fn all() -> Vec<Self> {
        [Self::Redis, Self::Valkey].into_iter().filter(|engine| engine.program().is_some()).collect()
    }

    /// Returns the path of the server's program: that of the environment, or of `PATH`, or the one that `.ci/run` unpacked.
    ///
    /// `none` in the environment means that this machine cannot get the server, which is no failure in CI either.
    pub fn program(self) -> Option<PathBuf> {
        let (program, variable) = match self {
            Self::Redis => ("redis-server", "GETTONE_REDIS_SERVER"),
            Self::Valkey => ("valkey-server", "GETTONE_VALKEY_SERVER"),
        };
        let given = env::var_os(variable);
        let reason = match &given {
            Some(path) if path == "none" => format!("{variable} is `none`"),
            Some(path) => {
                let path = PathBuf::from(path);
                assert!(path.is_file(), "{variable} is {path:?}, which is no file: set it to the path of {program}");
                return Some(path);
            }
            None => {
                let folders = env::var_os("PATH").unwrap_or_default();
                let mut folders = env::split_paths(&folders).chain([PathBuf::from("target/tools/bin")]);
                if let Some(found) = folders.find_map(|folder| program_in(&folder, program)) {
                    return Some(found);
                }
                format!("no {program} in PATH: install it, or set {variable} to its path")
            }
        };
        assert!(given.is_some() || env::var_os("CI").is_none(), "{reason}");
        let test = thread::current().name().unwrap_or("a test").to_owned();
        // Not by `eprintln!`, whose output libtest hides when the test passes.
        std::io::stderr().write_all(format!("not checked here: {test} with {self:?}: {reason}\n").as_bytes()).unwrap();
        None
    }
}

fn program_in(folder: &Path, program: &str) -> Option<PathBuf> {
    let path = folder.join(program);
    path.is_file().then_some(path)
}

/// Waits until `done` returns something. Panics after 30 s, which is more than any condition takes on a busy machine.
pub fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it did not happen in 30 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
