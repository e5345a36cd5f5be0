//! Replicas, and Sentinel, which promotes one of them to the primary.

use gettone::store::{RedisStore, TokenStore, Version};
use tokio::time::Instant;

use super::common::engine::{Engine, Options, Proxy, Sentinels, Server, eventually};
use super::{NAME, PASSWORD, SECOND, SECRET, loaded, lock, open, save, text, token, token_key};

/// A server with an up-to-date replica.
fn with_replica(engine: Engine) -> (Server, Server) {
    let server = Server::start(engine, Options::new());
    let replica = Server::start(engine, Options::new().replica_of(server.port()));
    eventually("the replica is linked", || {
        (server.info("connected_slaves").as_deref() == Some("1")
            && replica.info("master_link_status").as_deref() == Some("up"))
        .then_some(())
    });
    (server, replica)
}

/// Returns the version that a server has.
fn version_in(server: &Server, key: &str) -> String {
    server.command(&["HGET", key, "v"]).text().to_owned()
}

async fn open_replicated(url: &str) -> RedisStore {
    RedisStore::builder(url).timeout(SECOND).replicas(1).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_replaced_when_a_replica_has_it() {
    for engine in Engine::all() {
        let (server, replica) = with_replica(engine);
        let proxy = Proxy::to(server.port());
        let waits = || proxy.commands().iter().filter(|command| command.starts_with("WAIT 1 ")).count();
        let store = RedisStore::builder(proxy.url()).timeout(10 * SECOND).replicas(1).connect().await.unwrap();
        let before = waits();
        let mut seen: Option<Version> = None;
        for number in 0..20 {
            let version = save(&store, seen.as_ref(), &number.to_string()).await;
            assert_eq!(version_in(&replica, &token_key(&server)), version.as_str());
            seen = Some(version);
        }
        // Nothing else waits for the replica.
        assert_eq!(loaded(&store).await.map(|(version, _)| version), seen);
        drop(lock(&store, seen.as_ref()).await);
        assert_eq!(waits(), before + 20);
    }
}

/// This also fails if the store sends `WAIT` on another connection than the write: there `WAIT` answers at once that all replicas have it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_replica_has_is_not_believed() {
    for engine in Engine::all() {
        let (server, replica) = with_replica(engine);
        let at = format!("the token store failed: Redis at 127.0.0.1:{}", server.port());
        let lacking = format!("{at}: only 0 of 1 replicas have the record; repair the replicas");
        let store = open_replicated(&server.url()).await;
        let first = save(&store, None, "1").await;
        replica.stop();
        let start = Instant::now();
        let error = text(store.replace(NAME, Some(&first), &token(SECRET)).await.unwrap_err());
        assert_eq!(error, lacking);
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
        // The server has the record, but after a failover now another client would find the one before.
        assert_ne!(version_in(&server, &token_key(&server)), first.as_str());
        assert_eq!(text(store.load(NAME).await.unwrap_err()), lacking);
        // This also holds on a connection that has written nothing.
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert_eq!(text(store.load(NAME).await.unwrap_err()), lacking);
        // A store that has not written the record need not confirm it.
        let others = open(&server.url()).await;
        assert!(loaded(&others).await.unwrap().1.contains(SECRET));
        replica.cont();
        let (second, json) = eventually_loaded(&store).await;
        assert!(json.contains(SECRET));
        assert_eq!(version_in(&replica, &token_key(&server)), second.as_str());

        replica.stop();
        store.replace(NAME, Some(&second), &token("3")).await.unwrap_err();
        let (version, _) = loaded(&others).await.unwrap();
        // A record of another client needs no confirmation by this one.
        let last = save(&others, Some(&version), "4").await;
        assert_eq!(loaded(&store).await.unwrap().0, last);
        replica.cont();
    }
}

async fn eventually_loaded(store: &RedisStore) -> (Version, String) {
    for _ in 0..20 {
        if let Ok(Some(record)) = store.load(NAME).await {
            return (record.version().clone(), record.token().unwrap().to_json().expose().to_owned());
        }
    }
    panic!("it is not confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_wants_replicas_says_so() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new().line("min-replicas-to-write 1"));
        let at = format!("the token store failed: Redis at 127.0.0.1:{}", server.port());
        let store = open(&server.url()).await;
        assert_eq!(
            text(store.replace(NAME, None, &token(SECRET)).await.unwrap_err()),
            format!("{at}: the server has fewer replicas than its `min-replicas-to-write`; repair the replicas")
        );
    }
}

fn sentinel_url(sentinels: &Sentinels, login: &str, database: u32) -> String {
    let hosts: Vec<_> = sentinels.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+sentinel://{login}{}/{}/{database}", hosts.join(","), Sentinels::NAME)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_records_are_there_and_written_within_five_seconds() {
    for engine in Engine::all() {
        let sentinels = Sentinels::start(engine, 2, Options::new());
        let builder = RedisStore::sentinel(sentinels.urls(), Sentinels::NAME).timeout(SECOND);
        let (store, fearless) =
            (builder.clone().replicas(1).connect().await.unwrap(), builder.connect().await.unwrap());
        let first = save(&store, None, "1").await;
        assert_eq!(loaded(&fearless).await.unwrap().0, first);
        let held = lock(&store, Some(&first)).await;
        let old = sentinels.kill_master();
        // A sentinel does not answer, either.
        sentinels.sentinels()[0].stop();
        let start = Instant::now();
        let mut written = None;
        while written.is_none() {
            assert!(start.elapsed() < 5 * SECOND, "{:?}", start.elapsed());
            let seen = match store.load(NAME).await {
                Ok(record) => record.map(|record| record.version().clone()),
                Err(error) => {
                    text(error);
                    continue;
                }
            };
            // The record was confirmed before, so the replica has it.
            assert_eq!(seen.as_ref(), Some(&first));
            match store.replace(NAME, seen.as_ref(), &token("2")).await {
                Ok(replaced) => written = Some(replaced),
                Err(error) => drop(text(error)),
            }
        }
        println!("{engine:?}: written again after {:?}", start.elapsed());
        drop(held);
        sentinels.sentinels()[0].cont();
        assert_ne!(sentinels.wait_for_failover(old), old);
        // The other store finds the new primary with its next call.
        let (second, _) = loaded(&fearless).await.unwrap();
        save(&fearless, Some(&second), "3").await;
        // The old primary comes back as a replica, and no store asks it.
        sentinels.revive();
        assert!(loaded(&store).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_have_a_login_of_their_own_and_a_database_is_used() {
    for engine in Engine::all() {
        let permissions = "~gettone:* +eval +get +set +del +pexpire +hget +hset +hmget +select";
        let servers = Options::new().password("unused-password").user(&format!("alice on >{PASSWORD} {permissions}"));
        let sentinels = Options::new().password("of-sentinels");
        let all = Sentinels::start_with(engine, 0, servers, sentinels);
        let store = RedisStore::builder(sentinel_url(&all, ":of-sentinels@", 3)).username("alice").password(PASSWORD);
        let store = store.timeout(5 * SECOND).connect().await.unwrap();
        save(&store, None, "1").await;
        let mut connection = all.master().connect().unwrap();
        connection.command(&["SELECT", "3"]).unwrap();
        assert_eq!(connection.command(&["DBSIZE"]).unwrap().integer(), 1);

        let error = RedisStore::builder(sentinel_url(&all, "", 3)).connect().await.unwrap_err();
        assert!(error.to_string().ends_with("the server demands a password; add it to the URL"));
        let wrong = RedisStore::builder(sentinel_url(&all, &format!(":{PASSWORD}@"), 3));
        let error = wrong.connect().await.unwrap_err().to_string();
        assert!(error.ends_with("the server rejects the user name or the password; correct them"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_may_have_no_login_and_know_no_such_name() {
    for engine in Engine::all() {
        let user = format!("alice on >{PASSWORD} ~* +@all");
        let all = Sentinels::start(engine, 0, Options::new().user(&user));
        let store = RedisStore::builder(sentinel_url(&all, &format!("alice:{PASSWORD}@"), 0)).timeout(5 * SECOND);
        save(&store.connect().await.unwrap(), None, "1").await;

        let sentinel = &all.sentinels()[0];
        let at = format!("Redis at 127.0.0.1:{}", sentinel.port());
        for (builder, said) in [
            (RedisStore::builder(sentinel.url()), "the server is a sentinel; write `redis+sentinel://`"),
            (
                RedisStore::sentinel([sentinel.url()], "other"),
                "the sentinel knows no primary of the name `other`; correct the name",
            ),
        ] {
            let error = builder.timeout(5 * SECOND).connect().await.unwrap_err();
            assert!(error.is_invalid_input());
            assert_eq!(error.to_string(), format!("{at}: {said}"));
        }
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_servers_may_have_one_login_and_speak_tls() {
    let certificates = super::common::engine::Certificates::new();
    for engine in Engine::all() {
        let options = Options::new().tls(&certificates);
        let servers = options.clone().user(&format!("alice on >{PASSWORD} ~* +@all"));
        // The least permissions that the user needs on the sentinels.
        let least = format!("alice on >{PASSWORD} +sentinel|get-master-addr-by-name");
        let all = Sentinels::start_with(engine, 0, servers, options.line("user default off").user(&least));
        let url = sentinel_url(&all, &format!("alice:{PASSWORD}@"), 0).replacen("redis", "rediss", 1);
        let store = RedisStore::builder(url).root_certificate(&*certificates.root).timeout(5 * SECOND);
        save(&store.connect().await.unwrap(), None, "1").await;
    }
}
