//! What programs keep in a server, a proxy before it, and the commands that they send.

use std::fmt;

use super::common::engine::{Engine, Fault, Options, Proxy, Server};
use super::frame::Place;

/// Returns the key of what the programs keep in a server, with this end.
pub fn key(server: &Server, end: &str) -> Option<String> {
    let keys = server.command(&["KEYS", &format!("gettone:*:{end}")]);
    Some(keys.array().first()?.text().to_owned())
}

/// Returns the version of the record in a server.
pub fn record(server: &Server) -> String {
    key(server, "token").map(|key| format!("{:?}", server.command(&["HGET", &key, "v"]))).unwrap_or_default()
}

impl Place {
    pub fn server(&self) -> &Server {
        let Self::Server(_, server) = self else { panic!("it is a file") };
        server
    }
}

/// A server, and a proxy before it. Programs can use either.
#[derive(Debug)]
pub struct Proxied {
    pub engine: Engine,
    pub server: Server,
    pub proxy: Proxy,
}

impl Proxied {
    pub fn start(engine: Engine) -> Self {
        let server = Server::start(engine, Options::new());
        let proxy = Proxy::to(server.port());
        Self { engine, server, proxy }
    }

    /// Lets a fault happen at the `nth` of these commands from now on.
    pub fn plan(&self, command: Sent, nth: usize, fault: Fault) {
        self.proxy.plan(command.parts(), nth, fault);
    }
}

impl fmt::Display for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and a proxy", self.engine)
    }
}

/// A command of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Load,
    /// Looks whether the record has changed, before it takes the lock.
    Look,
    Lock,
    /// A claim, or a save.
    Replace,
    Extend,
    Release,
}

impl Sent {
    /// Returns what only this command has in its bytes.
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Load => &["\r\nHMGET\r\n"],
            Self::Look => &["\r\nHGET\r\n"],
            Self::Lock => &["\r\nEVAL\r\n", "'PX'"],
            Self::Replace => &["\r\nEVAL\r\n", "'HSET'", "ARGV[4]"],
            Self::Extend => &["\r\nEVAL\r\n", "'PEXPIRE', KEYS[1], ARGV[2]"],
            Self::Release => &["\r\nEVAL\r\n", "'DEL'"],
        }
    }
}
