//! A cluster of three masters.

use super::server::{HARNESS, Options, Server};
use super::{Engine, Reply, eventually};

/// Three masters that share the slots.
#[derive(Debug)]
pub struct Cluster {
    masters: Vec<Server>,
}

impl Cluster {
    /// Starts the masters, and waits until each serves its slots and knows the others.
    pub fn start(engine: Engine, options: Options) -> Self {
        let options = options.in_cluster();
        let masters: Vec<_> = (0..3).map(|_| Server::start(engine, options.clone())).collect();
        let shares = [("1", "0", "5460"), ("2", "5461", "10922"), ("3", "10923", "16383")];
        for (master, (epoch, first, last)) in masters.iter().zip(shares) {
            // Two masters with the same epoch resolve that later: one gets a greater epoch, and takes back the slots that it gave away.
            assert_eq!(master.command(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]), "OK".into());
            assert_eq!(master.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]), "OK".into());
        }
        for other in &masters[1..] {
            let [port, bus] = [other.port(), other.bus_port()].map(|port| port.to_string());
            assert_eq!(masters[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK".into());
        }
        eventually("the cluster is complete", || {
            let complete = |master: &Server| {
                let info = master.command(&["CLUSTER", "INFO"]);
                info.text().contains("cluster_state:ok") && info.text().contains("cluster_known_nodes:3")
            };
            masters.iter().all(complete).then_some(())
        });
        Self { masters }
    }

    pub fn masters(&self) -> &[Server] {
        &self.masters
    }

    pub fn urls(&self) -> Vec<String> {
        self.masters.iter().map(Server::url).collect()
    }

    pub fn slot_of(&self, key: &str) -> u16 {
        self.masters[0].command(&["CLUSTER", "KEYSLOT", key]).integer().try_into().unwrap()
    }

    /// Returns which of the masters serves the slot.
    pub fn owner(&self, slot: u16) -> usize {
        let slot = i64::from(slot);
        let ranges = self.masters[0].command(&["CLUSTER", "SLOTS"]);
        let has_slot = |range: &&Reply| (range.array()[0].integer()..=range.array()[1].integer()).contains(&slot);
        let id = ranges.array().iter().find(has_slot).unwrap().array()[2].array()[2].text();
        (0..self.masters.len()).find(|master| self.id(*master) == id).unwrap()
    }

    /// Begins to move a slot to another master: from here on its owner sends clients there for the keys that it lacks.
    pub fn migrate_slot(&self, slot: u16, to: usize) -> Migration<'_> {
        let from = self.owner(slot);
        let migration = Migration { cluster: self, slot: slot.to_string(), from, to };
        migration.set(to, "IMPORTING", &self.id(from));
        migration.set(from, "MIGRATING", &self.id(to));
        migration
    }

    fn id(&self, master: usize) -> String {
        self.masters[master].command(&["CLUSTER", "MYID"]).text().to_owned()
    }
}

/// A slot on its way from one master to another.
#[derive(Debug)]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Migration<'_> {
    /// Moves the keys that the slot has, and returns how many those are.
    pub fn move_keys(&self) -> usize {
        let from = &self.cluster.masters[self.from];
        let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "1000"]);
        let keys: Vec<_> = keys.array().iter().map(Reply::text).collect();
        if keys.is_empty() {
            return 0;
        }
        let port = self.cluster.masters[self.to].port().to_string();
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH2", HARNESS, HARNESS, "KEYS"];
        command.extend(&keys);
        assert_eq!(from.command(&command), "OK".into());
        keys.len()
    }

    /// Gives the slot to the master that now has its keys, and tells all masters.
    pub fn finish(self) {
        let id = self.cluster.id(self.to);
        let others = (0..self.cluster.masters.len()).filter(|master| *master != self.to);
        // The new owner first, so that the slot always has one.
        for master in std::iter::once(self.to).chain(others) {
            self.set(master, "NODE", &id);
        }
    }

    fn set(&self, master: usize, what: &str, id: &str) {
        let reply = self.cluster.masters[master].command(&["CLUSTER", "SETSLOT", &self.slot, what, id]);
        assert_eq!(reply, "OK".into());
    }
}
