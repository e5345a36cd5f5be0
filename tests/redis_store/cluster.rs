//! A cluster, whose slots move.

use gettone::store::{Locked, RedisStore, Replaced, StoreLock, TokenStore, Version};

use super::common::engine::{Cluster, Engine, Options, Server, eventually};
use super::failures::answering;
use super::{PASSWORD, SECOND, keys, text, token};

async fn open(cluster: &Cluster) -> RedisStore {
    RedisStore::cluster(cluster.urls()).timeout(5 * SECOND).connect().await.unwrap()
}

async fn save(store: &RedisStore, name: &str, seen: Option<&Version>) -> Version {
    match store.replace(name, seen, &token("1")).await.unwrap() {
        Replaced::Done(version) => version,
        _ => panic!("conflict"),
    }
}

async fn version(store: &RedisStore, name: &str) -> Option<Version> {
    store.load(name).await.unwrap().map(|record| record.version().clone())
}

async fn lock(store: &RedisStore, name: &str, seen: Option<&Version>) -> StoreLock {
    match store.lock(name, seen).await.unwrap() {
        Locked::Held(lock) => lock,
        other => panic!("{other:?}"),
    }
}

fn count(cluster: &Cluster, suffix: &str) -> Vec<usize> {
    let count = |server: &Server| keys(server).iter().filter(|key| key.ends_with(suffix)).count();
    cluster.masters().iter().map(count).collect()
}

/// Starts a cluster with a user who has the least permissions that a store needs.
fn with_user(engine: Engine) -> Cluster {
    let permissions = "~gettone:* +eval +get +set +del +pexpire +hget +hset +hmget +asking";
    Cluster::start(engine, Options::new().user(&format!("alice on >{PASSWORD} {permissions}")))
}

async fn open_as_user(cluster: &Cluster) -> RedisStore {
    let store = RedisStore::cluster(cluster.urls()).username("alice").password(PASSWORD);
    store.timeout(5 * SECOND).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_is_in_one_slot_and_found_there_while_slots_move() {
    for engine in Engine::all() {
        let cluster = with_user(engine);
        let store = open_as_user(&cluster).await;
        let names: Vec<_> = (0..30).map(|number| format!("name {number}")).collect();
        let mut locks = Vec::new();
        for name in &names {
            let version = save(&store, name, None).await;
            locks.push(lock(&store, name, Some(&version)).await);
        }
        let tokens = count(&cluster, ":token");
        assert!(tokens.iter().all(|count| *count > 0) && tokens.iter().sum::<usize>() == 30, "{tokens:?}");
        assert_eq!(count(&cluster, ":lock"), tokens);
        drop(locks);
        eventually("the locks are released", || (count(&cluster, ":lock").iter().sum::<usize>() == 0).then_some(()));
        // With one URL of one node, too, in another form.
        let url = cluster.urls()[2].replace("redis://", &format!("redis+cluster://alice:{PASSWORD}@"));
        let other = RedisStore::builder(url).timeout(5 * SECOND).connect().await.unwrap();
        for name in &names {
            let version = version(&other, name).await.unwrap();
            save(&other, name, Some(&version)).await;
            store.remove(name).await.unwrap();
        }
        assert_eq!(count(&cluster, ":token"), [0, 0, 0]);

        // A slot that moves takes its records along.
        let (store, other) = (open_as_user(&cluster).await, open_as_user(&cluster).await);
        let name = "a name";
        let first = save(&store, name, None).await;
        let key = cluster.masters().iter().flat_map(keys).next().unwrap();
        let slot = cluster.slot_of(&key);
        for round in 0..3 {
            let seen = version(&other, name).await;
            let held = lock(&store, name, seen.as_ref()).await;
            let migration = cluster.migrate_slot(slot, (cluster.owner(slot) + 1) % 3);
            // The lock is still where it was.
            let second = save(&store, name, seen.as_ref()).await;
            held_by_another(&other, name, &second).await;
            migration.move_keys();
            // Now the lock is at the new node, and the slot is still at the old one.
            held_by_another(&other, name, &second).await;
            let third = save(&other, name, Some(&second)).await;
            assert_eq!(version(&store, name).await, Some(third.clone()));
            drop(held);
            eventually("the lock is released", || (count(&cluster, ":lock").iter().sum::<usize>() == 0).then_some(()));
            // New records too.
            store.remove(name).await.unwrap();
            let fourth = save(&store, name, None).await;
            let held = lock(&store, name, Some(&fourth)).await;
            migration.finish();
            let fifth = save(&store, name, Some(&fourth)).await;
            assert_eq!(version(&other, name).await, Some(fifth), "round {round}");
            drop(held);
            eventually("the lock is released", || (count(&cluster, ":lock").iter().sum::<usize>() == 0).then_some(()));
        }
        assert_ne!(version(&store, name).await, Some(first));
    }
}

async fn held_by_another(store: &RedisStore, name: &str, seen: &Version) {
    let waiting = tokio::time::timeout(SECOND / 10, store.lock(name, Some(seen))).await;
    assert!(waiting.is_err(), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_takes_only_its_names_along() {
    for engine in Engine::all() {
        // Otherwise no node serves anything as soon as one is down.
        let cluster = Cluster::start(engine, Options::new().line("cluster-require-full-coverage no"));
        let store = open(&cluster).await;
        let names: Vec<_> = (0..12).map(|number| format!("name {number}")).collect();
        for name in &names {
            save(&store, name, None).await;
        }
        let lost = count(&cluster, ":token")[0];
        // The first of the URLs.
        cluster.masters()[0].kill();
        let late = open(&cluster).await;
        for store in [&store, &late] {
            let mut failed = 0;
            for name in &names {
                match store.load(name).await {
                    Ok(record) => assert!(record.is_some()),
                    Err(error) => {
                        let error = text(error);
                        assert!(
                            error.contains(": connection refused;") || error.contains("the cluster is down;"),
                            "{error}"
                        );
                        failed += 1;
                    }
                }
            }
            assert_eq!(failed, lost);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_of_the_node_of_a_record_is_waited_for() {
    for engine in Engine::all() {
        let cluster = Cluster::start(engine, Options::new());
        let replica = Server::start(engine, Options::new().line("cluster-enabled yes"));
        let master = &cluster.masters()[1];
        let [port, bus] = [master.port(), master.bus_port()].map(|port| port.to_string());
        replica.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        let id = master.command(&["CLUSTER", "MYID"]);
        eventually("the replica knows its master", || {
            (replica.command(&["CLUSTER", "REPLICATE", id.text()]) == "OK".into()).then_some(())
        });
        eventually("the replica is linked", || {
            (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
        });
        let store = RedisStore::cluster(cluster.urls()).timeout(SECOND).replicas(1).connect().await.unwrap();
        let (mut done, mut failed) = (0, 0);
        for number in 0..12 {
            match store.replace(&number.to_string(), None, &token("1")).await {
                Ok(Replaced::Done(_)) => done += 1,
                Err(error) => {
                    assert!(text(error).ends_with(": only 0 of 1 replicas have the record; repair the replicas"));
                    failed += 1;
                }
                Ok(_) => panic!("conflict"),
            }
        }
        assert_eq!(done, count(&cluster, ":token")[1]);
        assert!(done > 0 && failed > 0);
        assert_eq!(keys(&replica).len(), done);

        // The replica takes over the slots that the store has found at the master.
        master.kill();
        assert_eq!(replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]), "OK".into());
        eventually("the others know it", || {
            let port = replica.port().to_string();
            let slots = cluster.masters()[0].command(&["CLUSTER", "SLOTS"]);
            slots.array().iter().any(|range| format!("{:?}", range.array()[2]).contains(&port)).then_some(())
        });
        let late = open(&cluster).await;
        for store in [&store, &late] {
            for number in 0..12 {
                // Records at masters without a replica stay unconfirmed for the store that wrote them, and for no other.
                let loaded = store.load(&number.to_string()).await.map(|record| record.is_some());
                assert!(loaded.unwrap_or_else(|error| text(error).contains("only 0 of 1 replicas")));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_but_not_forever() {
    let node = |answer: fn(&str) -> &'static str, next: &str| {
        let next = next.rsplit_once(':').map_or("", |(_, port)| port).to_owned();
        answering(move |command| match command {
            _ if command.contains("HELLO") => "-ERR unknown command".to_owned(),
            _ => answer(command).replace("NEXT", &next),
        })
    };
    // A version and no record behind a node without a host in its address, one that asks for once, and one whose slot has moved on.
    let last = node(
        |command| match command {
            _ if command.contains("HMGET") => "*2\r\n$1\r\n7\r\n$-1",
            _ if command.contains("EVAL") || command.contains("$3\r\nDEL") => ":1",
            _ => "$-1",
        },
        "",
    );
    let third =
        node(|command| if command.contains("ASKING") { "+OK\r\n-MOVED 1 127.0.0.1:NEXT" } else { "-ERR" }, &last);
    let second = node(|_| "-ASK 1 127.0.0.1:NEXT", &third);
    let first = node(|_| "-MOVED 1 :NEXT", &second);
    let store = RedisStore::cluster([&first]).timeout(5 * SECOND).connect().await.unwrap();
    let record = store.load("name").await.unwrap().unwrap();
    assert_eq!(record.version().as_str(), "7");

    let around = node(|_| "-MOVED 1 127.0.0.1:1", "");
    let store = RedisStore::cluster([&around]).timeout(5 * SECOND).connect().await.unwrap();
    assert!(text(store.load("name").await.unwrap_err()).contains("connection refused"));
    let endless = answering(|command| match command {
        _ if command.contains("HELLO") => "-ERR unknown command".to_owned(),
        // To itself.
        _ => "-MOVED 1 127.0.0.1:PORT".to_owned(),
    });
    let store = RedisStore::cluster([&endless]).timeout(5 * SECOND).connect().await.unwrap();
    let error = text(store.load("name").await.unwrap_err());
    assert!(error.ends_with(": the cluster redirects again and again; repair its slots"), "{error}");
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_speaks_tls() {
    let certificates = super::common::engine::Certificates::new();
    for engine in Engine::all() {
        let cluster = Cluster::start(engine, Options::new().tls(&certificates));
        let store = RedisStore::cluster(cluster.urls()).root_certificate(&*certificates.root).timeout(5 * SECOND);
        let store = store.connect().await.unwrap();
        for number in 0..12 {
            save(&store, &number.to_string(), None).await;
        }
        assert!(count(&cluster, ":token").iter().all(|count| *count > 0));
    }
}
