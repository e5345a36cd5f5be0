//! What a store does while its server is down, hangs, is full, or has lost something.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use gettone::store::{Locked, RedisStore, Replaced, Sealing, TokenStore};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

use super::common::engine::{Engine, Fault, Mode, Options, Proxy, Server, eventually};
use super::{NAME, PASSWORD, SECOND, SECRET, loaded, lock, lock_key, open, plain_token, replace, save, text, token};

/// Returns the text of the error of each call.
async fn errors(store: &RedisStore) -> Vec<String> {
    vec![
        text(store.load(NAME).await.unwrap_err()),
        text(store.replace(NAME, None, &token(SECRET)).await.unwrap_err()),
        text(store.lock(NAME, None).await.unwrap_err()),
        text(store.remove(NAME).await.unwrap_err()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_no_error_of_connect_and_is_used_as_soon_as_it_answers() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let at = format!("127.0.0.1:{}", server.port());
        server.kill();
        let store = open(&server.url()).await;
        let refused = format!(
            "the token store failed: Redis at {at}: connection refused; start the server, or correct the address"
        );
        assert_eq!(errors(&store).await, vec![refused; 4]);
        server.restart();
        let version = save(&store, None, "1").await;
        assert_eq!(loaded(&store).await.unwrap().0, version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_found_is_no_error_of_connect_either() {
    let store = open("redis://no-such-host.invalid").await;
    for error in errors(&store).await {
        let begin = "the token store failed: Redis at no-such-host.invalid:6379: ";
        assert!(
            error.starts_with(begin) && error.ends_with("; correct the address, or repair the connection"),
            "{error}"
        );
    }
}

#[cfg(feature = "tracing")]
#[test]
fn a_server_that_is_away_is_an_event_of_connect() {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::fmt::format::FmtSpan;

    let (written, subscriber) = super::common::capture::capture(LevelFilter::TRACE, FmtSpan::NONE);
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("redis://alice:{PASSWORD}@127.0.0.1:1");
        runtime.block_on(RedisStore::connect(url)).unwrap();
    });
    let text = written.text();
    let [line] = &text.lines().filter(|line| line.contains("WARN")).collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(line.contains("token store failed") && line.contains(r#"action="connect to""#), "{line}");
    assert!(line.contains("the token store failed: Redis at 127.0.0.1:1: connection refused"), "{line}");
    text.lines().for_each(super::clean);
}

#[cfg(feature = "tracing")]
#[test]
fn a_server_that_evicts_keys_is_an_event_of_connect() {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::fmt::format::FmtSpan;

    for engine in Engine::all() {
        for (policy, events) in [("allkeys-lru", 1), ("noeviction", 0)] {
            let server = Server::start(engine, Options::new().maxmemory("100mb", policy));
            let (written, subscriber) = super::common::capture::capture(LevelFilter::WARN, FmtSpan::NONE);
            tracing::subscriber::with_default(subscriber, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(open(&server.url()));
            });
            let text = written.text();
            let advice = "the server evicts keys (`allkeys-lru`); set its `maxmemory-policy` to `noeviction`";
            assert_eq!(text.matches(advice).count(), events, "{text}");
            assert_eq!(text.lines().count(), events, "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_anew_is_used_by_the_next_call() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        for call in 0..4 {
            // The connection has ended, and nobody has noticed.
            assert_eq!(loaded(&store).await, None);
            server.restart();
            match call {
                0 => assert_eq!(loaded(&store).await, None),
                1 => assert!(matches!(replace(&store, None, "1").await, Replaced::Done(_))),
                2 => drop(lock(&store, None).await),
                _ => store.remove(NAME).await.unwrap(),
            }
            store.remove(NAME).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_forgotten_the_scripts_or_all_records_is_used() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        let first = save(&store, None, "1").await;
        server.command(&["SCRIPT", "FLUSH"]);
        let second = save(&store, Some(&first), "2").await;
        let held = lock(&store, Some(&second)).await;
        server.command(&["SCRIPT", "FLUSH"]);
        drop(held);
        eventually("the lock is released", || lock_key(&server).is_none().then_some(()));
        server.command(&["FLUSHALL"]);
        assert_eq!(loaded(&store).await, None);
        assert_eq!(replace(&store, Some(&second), "3").await, Replaced::Conflict);
        save(&store, None, "3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_the_time_of_one_command_and_a_load_twice_that() {
    const LIMIT: Duration = Duration::from_millis(600);
    // The extra time that a busy machine may take.
    const MORE: Duration = Duration::from_millis(550);

    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let at = format!("127.0.0.1:{}", server.port());
        let silent = format!(
            "the token store failed: Redis at {at}: no answer in time; repair the server or the connection to it"
        );
        let quick = RedisStore::builder(server.url()).timeout(LIMIT);
        let store = quick.clone().connect().await.unwrap();
        let version = save(&store, None, "1").await;
        server.stop();
        for call in 0..6 {
            let start = Instant::now();
            let (error, limit) = match call {
                // The second time without a connection.
                0 | 1 => (text(store.load(NAME).await.unwrap_err()), 2 * LIMIT),
                2 => (text(store.lock(NAME, Some(&version)).await.unwrap_err()), LIMIT),
                3 => (text(store.replace(NAME, Some(&version), &token("2")).await.unwrap_err()), LIMIT),
                4 => (text(store.remove(NAME).await.unwrap_err()), LIMIT),
                // Once for what the store needs, and once to see whether the server speaks TLS.
                _ => {
                    quick.clone().connect().await.unwrap();
                    (silent.clone(), 2 * LIMIT)
                }
            };
            let time = start.elapsed();
            assert_eq!(error, silent);
            assert!(time < limit + MORE, "call {call}: {time:?}");
            assert!(time >= LIMIT, "call {call}: {time:?}");
        }
        server.cont();
        // The server carries out what was sent meanwhile: the record may be any of three.
        let seen = loaded(&store).await.map(|(version, _)| version);
        save(&store, seen.as_ref(), "3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_of_which_nobody_told_costs_a_load_one_time_limit() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let proxy = Proxy::to(server.port());
        let store = RedisStore::builder(proxy.url()).timeout(Duration::from_millis(500)).connect().await.unwrap();
        let version = save(&store, None, "1").await;
        // Like a router that has forgotten the connection.
        proxy.set_one(0, Mode::Hold);
        assert_eq!(proxy.connections(), 1);
        assert_eq!(loaded(&store).await.unwrap().0, version);
        assert_eq!(proxy.connections(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answer_is_cut_is_sent_again_and_carried_out_once() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let proxy = Proxy::to(server.port());
        let store = open(&proxy.url()).await;
        let mut seen = None;
        for (number, fault) in [Fault::CutBefore, Fault::CutAfter].into_iter().enumerate() {
            proxy.plan(&["EVAL", "HSET"], 1, fault);
            let version = save(&store, seen.as_ref(), &number.to_string()).await;
            assert_eq!(loaded(&store).await.unwrap().0, version);
            proxy.plan(&["EVAL", "'SET'"], 1, fault);
            // Not as soon as the lock of the first one ends.
            let held = timeout(10 * SECOND, lock(&store, Some(&version))).await.unwrap();
            proxy.plan(&["EVAL", "'DEL'"], 1, fault);
            drop(held);
            eventually("the lock is released", || lock_key(&server).is_none().then_some(()));
            proxy.plan(&["HMGET"], 1, fault);
            assert_eq!(loaded(&store).await.unwrap().0, version);
            seen = Some(version);
        }
        assert_eq!(proxy.fired(), 8);
        for fault in [Fault::CutBefore, Fault::CutAfter] {
            proxy.plan(&["DEL"], 1, fault);
            store.remove(NAME).await.unwrap();
        }
        // An answer that never comes is an error, and what was written is there with a version that nobody was told.
        let store = RedisStore::builder(proxy.url()).timeout(Duration::from_millis(500)).connect().await.unwrap();
        proxy.plan(&["EVAL", "HSET"], 1, Fault::DropReplies);
        let error = text(store.replace(NAME, None, &token(SECRET)).await.unwrap_err());
        assert!(error.ends_with("no answer in time; repair the server or the connection to it"), "{error}");
        assert!(loaded(&store).await.unwrap().1.contains(SECRET));
    }
}

#[test]
fn a_store_is_used_from_several_runtimes() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let new = || Runtime::new().unwrap();
        let store = new().block_on(open(&server.url()));
        // A runtime that has ended, with its connection.
        let version = new().block_on(save(&store, None, "1"));
        // A runtime that exists and does not run.
        let idle = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(idle.block_on(loaded(&store)).unwrap().0, version);
        let start = std::time::Instant::now();
        let runtime = new();
        let version = runtime.block_on(save(&store, Some(&version), "2"));
        for runtime in [&idle, &runtime, &idle] {
            assert_eq!(runtime.block_on(loaded(&store)).unwrap().0, version);
        }
        assert!(start.elapsed() < 5 * SECOND, "it waited for a time limit");
    }
}

#[test]
fn outside_a_runtime_each_call_is_an_error() {
    let store = Runtime::new().unwrap().block_on(open("redis://127.0.0.1:1"));
    let mut call = Box::pin(store.load(NAME));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut context) else { panic!("no error") };
    assert!(error.to_string().contains("no tokio runtime"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_takes_no_record_and_gives_the_lock_back() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let at = format!("127.0.0.1:{}", server.port());
        let store = open(&server.url()).await;
        let version = save(&store, None, "1").await;
        let held = lock(&store, Some(&version)).await;
        server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        let full = format!(
            "the token store failed: Redis at {at}: the server is full; raise its `maxmemory`, or give the store a server of its own"
        );
        assert_eq!(text(store.replace(NAME, Some(&version), &token(SECRET)).await.unwrap_err()), full);
        assert_eq!(loaded(&store).await.unwrap().0, version);
        drop(held);
        eventually("the lock is released", || lock_key(&server).is_none().then_some(()));
        assert_eq!(text(store.lock(NAME, Some(&version)).await.unwrap_err()), full);
        // That is no error of `connect` either.
        open(&server.url()).await;
        store.remove(NAME).await.unwrap();
        assert_eq!(loaded(&store).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_a_replica_is_an_error_until_it_is_a_primary() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        let version = save(&store, None, "1").await;
        server.command(&["REPLICAOF", "127.0.0.1", "1"]);
        let error = text(store.replace(NAME, Some(&version), &token("2")).await.unwrap_err());
        let at = format!("the token store failed: Redis at 127.0.0.1:{}", server.port());
        assert_eq!(
            error,
            format!("{at}: the server is a replica; name its primary, or its sentinels by `redis+sentinel://`")
        );
        server.command(&["REPLICAOF", "NO", "ONE"]);
        store.remove(NAME).await.unwrap();
        save(&store, None, "2").await;
    }
}

/// Starts a server that answers each command as the test says, and returns its URL. `PORT` in an answer is its own port.
pub fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(move |command: &str| answer(command).replace("PORT", &port.to_string()));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut bytes = [0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    // The store sends one at a time.
                    let answer = answer(&String::from_utf8_lossy(&bytes[..length]));
                    if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    format!("redis://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_is_said_plainly() {
    // A server that may come back is no error of `connect`.
    for (answer, is_error, said) in [
        ("-LOADING Redis is loading the dataset in memory", false, "the server is loading its data; wait"),
        (
            "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            false,
            "the server has lost its primary; wait for the failover to end, or repair it",
        ),
        (
            "-NOREPLICAS Not enough good replicas to write.",
            false,
            "the server has fewer replicas than its `min-replicas-to-write`; repair the replicas",
        ),
        (
            "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            false,
            "the server cannot save its data, and takes no writes; see its log",
        ),
        ("-ERR max number of clients reached", false, "the server has too many clients; raise its `maxclients`"),
        (
            "-DENIED Redis is running in protected mode because protected mode is enabled",
            true,
            "the server is in protected mode; set a password on it, and use that",
        ),
        (
            "-ERR unknown command 'EVAL', with args beginning with: 'x'",
            true,
            "the server lacks a command (unknown command 'EVAL'); rename it back, or use another server",
        ),
        ("-WHATEVER it\tmeans", true, "the server answers `WHATEVER it means`; see its documentation"),
        ("+HELLO?", true, "an answer of another type than that of Redis; use another server"),
        ("HTTP/1.1 400 Bad Request", false, "the server does not answer like Redis; correct the address"),
    ] {
        let connected = RedisStore::builder(answering(|_| answer.to_owned())).timeout(5 * SECOND).connect().await;
        let said_all = match (connected, is_error) {
            (Err(error), true) => vec![error.to_string()],
            (Ok(store), false) => errors(&store).await,
            (connected, _) => panic!("{answer}: {connected:?}"),
        };
        for text in said_all {
            assert!(text.contains("Redis at 127.0.0.1:") && text.ends_with(&format!(": {said}")), "{answer}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_repeats_of_a_command_is_not_shown() {
    for (repeats, said) in [
        ("WHOLE", "[redacted]"),
        // Cut in the middle.
        (r#""access_token":"secret-acc"#, "[redacted]"),
        (&PASSWORD[3..14], "[redacted]"),
        ("alice", "[redacted]"),
        // The password in base64.
        ("cGFzc3dvcmQtNzdhYS1sb25n", "[redacted]"),
        ("bob", "bob"),
    ] {
        let url = answering(move |command| match command {
            _ if command.contains("AUTH") => "+OK".to_owned(),
            _ if command.contains(SECRET) => {
                let token = command.split("\r\n").find(|word| word.contains(SECRET)).unwrap();
                format!("-ODD a word is: {}, and so on", if repeats == "WHOLE" { token } else { repeats })
            }
            _ if command.contains("HMGET") => "*2\r\n$-1\r\n$-1".to_owned(),
            _ if command.contains("HELLO") || command.contains("CONFIG") => "-ERR unknown command".to_owned(),
            _ if command.starts_with("*3\r\n$4\r\nHGET") => "$-1".to_owned(),
            _ => ":1".to_owned(),
        });
        let store = RedisStore::builder(url).username("alice").password(PASSWORD).sealing(Sealing::Off);
        let store = store.connect().await.unwrap();
        let error = text(store.replace(NAME, None, &plain_token(SECRET)).await.unwrap_err());
        let said = format!(": the server answers `ODD a word is: {said}, and so on`; see its documentation");
        assert!(error.ends_with(&said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_lock_waits_for_nobody() {
    // Two names of one store wait for each other neither for the lock nor for the connection.
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        let _held = lock(&store, None).await;
        let waiting = {
            let store = store.clone();
            tokio::spawn(async move { store.lock(NAME, None).await })
        };
        for number in 0..50 {
            assert!(matches!(store.lock(&number.to_string(), None).await.unwrap(), Locked::Held(_)));
        }
        waiting.abort();
    }
}
