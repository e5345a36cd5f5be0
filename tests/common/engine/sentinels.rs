//! A master, its replicas, and three sentinels that watch them.

use super::server::{HARNESS, Options, Server};
use super::{Engine, Reply, eventually};

/// A master, its replicas, and three sentinels that watch them.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// What the sentinels call the master.
    pub const NAME: &str = "gettone";

    /// Starts a master with this many replicas, all with the same options, and waits until three sentinels agree on them.
    pub fn start(engine: Engine, replicas: usize, options: Options) -> Self {
        Self::start_with(engine, replicas, options, Options::new())
    }

    /// The same, with options of the sentinels.
    pub fn start_with(engine: Engine, replicas: usize, options: Options, sentinels: Options) -> Self {
        let mut servers = vec![Server::start(engine, options.clone())];
        let master = servers[0].port();
        servers.extend((0..replicas).map(|_| Server::start(engine, options.clone().replica_of(master))));
        let name = Self::NAME;
        let mut sentinel = sentinels.of_sentinel();
        for line in [
            format!("monitor {name} 127.0.0.1 {master} 2"),
            format!("down-after-milliseconds {name} 1000"),
            // Also decides when the next failover may start: twice this time after the start of the one before.
            format!("failover-timeout {name} 2000"),
            format!("auth-user {name} {HARNESS}"),
            format!("auth-pass {name} {HARNESS}"),
            // How they log in to each other.
            format!("sentinel-user {HARNESS}"),
            format!("sentinel-pass {HARNESS}"),
        ] {
            sentinel = sentinel.line(format!("sentinel {line}"));
        }
        let all = Self { servers, sentinels: Vec::new() };
        all.wait_for_replicas();
        let sentinels = (0..3).map(|_| Server::start(engine, sentinel.clone())).collect();
        let all = Self { sentinels, ..all };
        all.wait_until_agreed();
        all
    }

    /// Returns the ports of the sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(Server::port).collect()
    }

    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// Returns the sentinels themselves.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// Returns all servers that are or were a master or a replica.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the port of the master, as soon as all sentinels name the same.
    pub fn master_port(&self) -> u16 {
        eventually("all sentinels name one master", || {
            let ports: Option<Vec<_>> = self.sentinels.iter().map(named_master).collect();
            let ports = ports?;
            ports.iter().all(|port| *port == ports[0]).then_some(ports[0])
        })
    }

    /// Returns the server that the sentinels name as the master.
    pub fn master(&self) -> &Server {
        let port = self.master_port();
        self.servers.iter().find(|server| server.port() == port).unwrap()
    }

    /// Returns the servers that run and are not the master.
    pub fn replicas(&self) -> Vec<&Server> {
        let master = self.master_port();
        let running = |server: &&Server| server.port() != master && server.info("role").is_some();
        self.servers.iter().filter(running).collect()
    }

    /// Kills the master, and returns its port.
    pub fn kill_master(&self) -> u16 {
        let master = self.master();
        master.kill();
        master.port()
    }

    /// Waits until all sentinels name another master than this, and it takes writes. Returns its port.
    pub fn wait_for_failover(&self, from: u16) -> u16 {
        eventually("the sentinels name a new master", || {
            let master = self.master();
            (master.port() != from && master.info("role").as_deref() == Some("master")).then(|| master.port())
        })
    }

    /// Starts the killed servers as replicas of the master, and waits until all is as it was at first.
    pub fn revive(&self) {
        let master = self.master_port();
        for server in &self.servers {
            if server.port() != master && server.info("role").is_none() {
                server.restart_as_replica_of(master);
            }
        }
        self.wait_for_replicas();
        self.wait_until_agreed();
    }

    fn wait_for_replicas(&self) {
        let replicas = self.servers.len() - 1;
        eventually("the replicas have what the master has", || {
            let up = |server: &&Server| server.info("master_link_status").as_deref() == Some("up");
            (self.servers.iter().filter(up).count() == replicas).then_some(())
        });
    }

    fn wait_until_agreed(&self) {
        let replicas = (self.servers.len() - 1).to_string();
        let agrees = |sentinel: &Server| {
            let master = sentinel.command(&["SENTINEL", "MASTER", Self::NAME]);
            let known = sentinel.command(&["SENTINEL", "REPLICAS", Self::NAME]);
            let linked =
                |replica: &Reply| replica.field("flags") == "slave" && replica.field("master-link-status") == "ok";
            master.field("flags") == "master"
                && master.field("num-other-sentinels") == "2"
                && master.field("num-slaves") == replicas
                && known.array().iter().all(linked)
        };
        eventually("the sentinels agree", || self.sentinels.iter().all(agrees).then_some(()));
    }
}

fn named_master(sentinel: &Server) -> Option<u16> {
    let address = sentinel.try_command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::NAME]).ok()?;
    let Reply::Array(address) = address else { return None };
    address[1].text().parse().ok()
}
