//! Servers that work together.

use super::assert_error;
use super::common::engine::{Certificates, Cluster, Connection, Engine, Options, Reply, Sentinels};

#[test]
fn sentinels_fail_over_and_take_the_old_master_back() {
    for engine in Engine::all() {
        let [options, of_sentinels] = ["open", "guarded"].map(|password| Options::new().password(password));
        let all = Sentinels::start_with(engine, 1, options, of_sentinels);
        let mut sentinel = Connection::to_port(all.ports()[0]).unwrap();
        assert_error(&sentinel.command(&["PING"]).unwrap(), "NOAUTH");
        assert_eq!(sentinel.command(&["AUTH", "guarded"]).unwrap(), "OK".into());
        let first = all.master_port();
        assert_eq!((all.ports().len(), all.replicas().len()), (3, 1));
        let mut connection = all.master().connect().unwrap();
        assert_eq!(connection.command(&["SET", "key", "kept"]).unwrap(), "OK".into());
        assert_eq!(connection.command(&["WAIT", "1", "5000"]).unwrap().integer(), 1);

        assert_eq!(all.kill_master(), first);
        let second = all.wait_for_failover(first);
        assert_eq!(all.master_port(), second);
        assert_ne!(first, second);
        let mut client = Connection::to_port(second).unwrap();
        assert_eq!(client.command(&["AUTH", "open"]).unwrap(), "OK".into());
        assert_eq!(client.command(&["GET", "key"]).unwrap(), "kept".into());
        assert_eq!(client.command(&["SET", "key", "new"]).unwrap(), "OK".into());
        assert!(all.replicas().is_empty());

        all.revive();
        // On a busy machine the sentinels may take the master for dead once more.
        let master = all.master_port();
        let [replica] = all.replicas()[..] else { panic!("{:?}", all.replicas()) };
        assert_eq!([master, replica.port()].map(|port| [first, second].contains(&port)), [true, true]);
        assert_eq!(replica.command(&["GET", "key"]), "new".into());
        let killed = all.kill_master();
        assert_ne!(all.wait_for_failover(killed), killed);
    }
}

#[test]
fn servers_speak_to_each_other_with_tls_too() {
    let options = Options::new().tls_with_client_certificates(&Certificates::new());
    for engine in Engine::all() {
        let all = Sentinels::start_with(engine, 1, options.clone(), options.clone());
        let urls = all.urls().into_iter().chain([all.master().url()]);
        let cluster = Cluster::start(engine, options.clone());
        assert!(urls.chain(cluster.urls()).all(|url| url.starts_with("rediss://")));
        let slot = cluster.slot_of("key");
        let to = (cluster.owner(slot) + 1) % 3;
        assert_eq!(cluster.masters()[cluster.owner(slot)].command(&["SET", "key", "value"]), "OK".into());
        let migration = cluster.migrate_slot(slot, to);
        assert_eq!(migration.move_keys(), 1);
        migration.finish();
        assert_eq!(cluster.masters()[to].command(&["GET", "key"]), "value".into());
    }
}

#[test]
fn a_cluster_moves_a_slot_step_by_step() {
    for engine in Engine::all() {
        let cluster = Cluster::start(engine, Options::new());
        let slot = cluster.slot_of("{tag}:key");
        let from = cluster.owner(slot);
        let to = (from + 1) % 3;
        let client = |master: usize| Connection::to_port(cluster.masters()[master].port()).unwrap();
        let (mut old, mut new) = (client(from), client(to));
        assert_eq!(old.command(&["SET", "{tag}:key", "value"]).unwrap(), "OK".into());
        assert_error(&new.command(&["GET", "{tag}:key"]).unwrap(), "MOVED");

        let migration = cluster.migrate_slot(slot, to);
        assert_eq!(old.command(&["GET", "{tag}:key"]).unwrap(), "value".into());
        assert_error(&old.command(&["GET", "{tag}:none"]).unwrap(), "ASK");
        assert_eq!(migration.move_keys(), 1);
        assert_error(&old.command(&["GET", "{tag}:key"]).unwrap(), "ASK");
        assert_eq!(cluster.owner(slot), from);
        migration.finish();
        assert_eq!(cluster.owner(slot), to);
        assert_error(&old.command(&["GET", "{tag}:key"]).unwrap(), "MOVED");
        assert_eq!(new.command(&["GET", "{tag}:key"]).unwrap(), "value".into());
        assert_eq!(cluster.masters()[to].command(&["DBSIZE"]), Reply::Integer(1));
    }
}
