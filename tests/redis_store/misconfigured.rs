//! What `connect` says if the program or the server is set up wrongly: one line, what to do, and no secret.

use gettone::Error;
use gettone::store::{Locked, RedisStore, RedisStoreBuilder, Replaced, TokenStore};

use super::common::engine::{Cluster, Engine, Options, Server};
use super::{NAME, PASSWORD, SECOND, clean, loaded, lock, replace, save};

/// What the user of a store needs, beside its keys.
const PERMISSIONS: [&str; 8] = ["+eval", "+get", "+set", "+del", "+pexpire", "+hget", "+hset", "+hmget"];

fn message(error: &Error) -> String {
    assert!(error.is_invalid_input(), "{error:?}");
    clean(&format!("{error} {error:?}"));
    error.to_string()
}

async fn error(builder: RedisStoreBuilder) -> String {
    message(&builder.timeout(5 * SECOND).connect().await.unwrap_err())
}

/// Returns the URL with a user and a password.
fn with_login(url: &str, login: &str) -> String {
    url.replacen("://", &format!("://{login}@"), 1)
}

fn user(name: &str, rules: &str) -> String {
    format!("{name} on >{PASSWORD} {rules}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_wrong_is_described_and_not_shown() {
    const HOST: &str =
        "not a host and a port; write `host:6379` or `[::1]:6379`, and percent-encode `/`, `?`, `#`, `%` in a password";

    for (url, said) in [
        (
            "127.0.0.1:6379",
            "not a URL; write `redis://host:6379`, `rediss://` for TLS, `redis+sentinel://host1,host2/name`, \
             `redis+cluster://host1,host2`, or `unix:///path`",
        ),
        ("http://h", "unknown scheme; use `redis`, `rediss`, `valkey`, `valkeys` or `unix`"),
        ("redis+x://h", "unknown scheme; after `+` only `sentinel` and `cluster` are known"),
        ("redis://", HOST),
        ("redis://h:port", HOST),
        ("redis://h:70000", HOST),
        ("redis://:password-77aa-long/x@h", HOST),
        ("redis://[::1", HOST),
        ("redis://[::1]6379", HOST),
        ("redis://h/x", "the path is not the number of a database; write `redis://host:6379/0`"),
        ("redis://h/1/2", "the path is not the number of a database; write `redis://host:6379/0`"),
        ("redis://h,i", "it has several hosts; use `redis+sentinel://` or `redis+cluster://`"),
        ("redis://:password-77aa#long@h", "it has a fragment (`#`); remove it, or write `%23` in a password"),
        (
            "redis://h?password=password-77aa",
            "it has a query (`?`); remove it; a program sets more by `RedisStoreBuilder`",
        ),
        ("redis+sentinel://h", "no name of a primary; write `redis+sentinel://host1,host2/name`"),
        ("redis://%ff@h", "a percent-encoded part is not UTF-8; correct it"),
        ("unix://path", "not the absolute path of a Unix socket; write `unix:///path`, on Unix only"),
        ("unix:///path?x=y", "unknown part of the query; a socket has `db`, `user` and `pass`"),
        ("unix:///path?db=x", "`db` is not the number of a database"),
    ] {
        let said = format!("the URL of a Redis store: {said}");
        assert_eq!(error(RedisStore::builder(url)).await, said, "{url}");
    }
    for (urls, said) in [
        (&[][..], "no URL; name at least one server"),
        (&["redis://a", "rediss://b"], "some of the URLs are for TLS and some are not; make them alike"),
        (&["unix:///a"], "of several URLs each must be that of one host; write `redis://host` or `rediss://host`"),
        (
            &["redis+cluster://a,b"],
            "of several URLs each must be that of one host; write `redis://host` or `rediss://host`",
        ),
    ] {
        let said = format!("the URL of a Redis store: {said}");
        assert_eq!(error(RedisStore::cluster(urls)).await, said);
        assert_eq!(error(RedisStore::sentinel(urls, "name")).await, said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_wrong_is_described() {
    let builder = || RedisStore::builder("redis://127.0.0.1:1");
    for (builder, said) in [
        (builder().prefix(""), "the prefix is empty, or has a brace or a blank; choose another"),
        (builder().prefix("a{b"), "the prefix is empty, or has a brace or a blank; choose another"),
        (builder().prefix("a b"), "the prefix is empty, or has a brace or a blank; choose another"),
        (builder().username("alice"), "a user name without a password; add it to the URL"),
        (
            builder().root_certificate("-----BEGIN CERTIFICATE-----"),
            "certificates, but a URL without TLS; write `rediss://`",
        ),
    ] {
        assert_eq!(error(builder).await, format!("Redis store: {said}"));
    }
    let message = message(&builder().timeout(std::time::Duration::ZERO).connect().await.unwrap_err());
    assert_eq!(message, "Redis store: a time limit of 0; choose a longer one");
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[tokio::test(flavor = "multi_thread")]
async fn tls_without_a_feature_for_it_is_an_error() {
    assert_eq!(
        error(RedisStore::builder("rediss://127.0.0.1:1")).await,
        "Redis at 127.0.0.1:1: TLS needs the feature `rustls` or `native-tls` of `gettone`; switch one on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_forms_mean_what_they_say() {
    let shown = |url: &str| format!("{:?}", RedisStore::builder(url));
    let servers = |servers: &str, kind: &str, database: u32| {
        format!(
            r#"RedisStoreBuilder {{ servers: [{servers}], kind: Some({kind}), database: {database}, prefix: "gettone", .. }}"#
        )
    };
    for (url, said) in [
        ("redis://h", servers(r#""h:6379""#, "Single", 0)),
        ("valkeys://u:p%40@h:1/", servers(r#""h:1""#, "Single", 0)),
        ("rediss://u:p@q@[::1]/2", servers(r#""[::1]:6379""#, "Single", 2)),
        ("redis+sentinel://:p@h,i:2/my%20name/3", servers(r#""h:26379", "i:2""#, r#"Sentinel("my name")"#, 3)),
        ("valkey+cluster://h,[::1]:7", servers(r#""h:6379", "[::1]:7""#, "Cluster", 0)),
        ("unix:///run/redis%20s?db=4&user=u&pass=p", servers(r#""/run/redis s""#, "Single", 4)),
    ] {
        assert_eq!(shown(url), said);
    }
    let sentinel = RedisStore::sentinel(["redis://h", "redis://i:6379/1"], "n");
    assert_eq!(format!("{sentinel:?}"), servers(r#""h:26379", "i:6379""#, r#"Sentinel("n")"#, 1));
    let cluster = RedisStore::cluster(vec!["redis://h".to_owned(), "redis://i:1".to_owned()]);
    assert_eq!(format!("{cluster:?}"), servers(r#""h:6379", "i:1""#, "Cluster", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_used_and_a_wrong_one_is_an_error() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new().password(PASSWORD).user(&user("alice", "~* +@all")));
        let at = format!("Redis at 127.0.0.1:{}", server.port());
        let rejected = format!("{at}: the server rejects the user name or the password; correct them");
        let url = server.url();
        for right in [
            RedisStore::builder(with_login(&url, &format!(":{PASSWORD}"))),
            RedisStore::builder(with_login(&url, &format!("alice:{PASSWORD}"))),
            RedisStore::builder(&url).password(PASSWORD),
            RedisStore::builder(&url).username("alice").password(PASSWORD),
            // A method takes precedence over the URL.
            RedisStore::builder(with_login(&url, "bob:wrong-77aa-password")).username("alice").password(PASSWORD),
            RedisStore::builder(format!("unix://{}?user=alice&pass={PASSWORD}", server.socket().display())),
        ] {
            let store = right.timeout(5 * SECOND).connect().await.unwrap();
            save(&store, None, "1").await;
            store.remove(NAME).await.unwrap();
        }
        for wrong in [":wrong-77aa-password", "alice:wrong-77aa-password", "carol:password-77aa-long"] {
            assert_eq!(error(RedisStore::builder(with_login(&url, wrong))).await, rejected);
        }
        assert_eq!(
            error(RedisStore::builder(&url)).await,
            format!("{at}: the server demands a password; add it to the URL")
        );
        // Later, too.
        let store = RedisStore::connect(with_login(&url, &format!("alice:{PASSWORD}"))).await.unwrap();
        server.command(&["ACL", "DELUSER", "alice"]);
        let later = super::text(store.load(NAME).await.unwrap_err());
        assert_eq!(later, format!("the token store failed: {rejected}"));

        let open = Server::start(engine, Options::new());
        let at = format!("Redis at 127.0.0.1:{}", open.port());
        assert_eq!(
            error(RedisStore::builder(open.url()).password(PASSWORD)).await,
            format!("{at}: the server has no password; remove yours, or set it on the server")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_permissions_are_enough_and_all_of_them_are_needed() {
    for engine in Engine::all() {
        let permissions = PERMISSIONS.join(" ");
        let least = format!("~gettone:* {permissions}");
        let mut options =
            Options::new().user(&user("alice", &least)).user(&user("away", &format!("~other:* {permissions}")));
        for lacking in PERMISSIONS {
            options = options.user(&user(&format!("no-{}", &lacking[1..]), &least.replace(&format!(" {lacking}"), "")));
        }
        let server = Server::start(engine, options);
        let login = |name: &str| RedisStore::builder(with_login(&server.url(), &format!("{name}:{PASSWORD}")));
        let store = login("alice").timeout(5 * SECOND).lock_times(SECOND / 5, 30 * SECOND).connect().await.unwrap();
        let version = save(&store, None, "1").await;
        assert_eq!(loaded(&store).await.unwrap().0, version);
        let held = lock(&store, Some(&version)).await;
        // Extended meanwhile.
        let _ = tokio::time::timeout(SECOND / 2, std::future::pending::<()>()).await;
        assert_eq!(replace(&store, None, "1").await, Replaced::Conflict);
        drop(held);
        assert!(matches!(store.lock(NAME, Some(&version)).await.unwrap(), Locked::Held(_)));
        store.remove(NAME).await.unwrap();
        // The user may do nothing else, and the store tries nothing else, except to ask how the server evicts.
        let denied = server.command(&["ACL", "LOG"]);
        let denied: Vec<_> = denied.array().iter().map(|entry| entry.field("object")).collect();
        assert!(denied.iter().all(|what| *what == "config|get"), "{denied:?}");

        let at = format!("Redis at 127.0.0.1:{}", server.port());
        let advice = "allow at least `ACL SETUSER <user> ~gettone:* +eval +get +set +del +pexpire +hget +hset +hmget`";
        for lacking in PERMISSIONS {
            let command = lacking[1..].to_uppercase();
            assert_eq!(
                error(login(&format!("no-{}", &lacking[1..]))).await,
                format!("{at}: the user may not send `{command}`; {advice}")
            );
        }
        let text = error(login("away")).await;
        assert!(text.starts_with(&format!("{at}: the user lacks a permission (")) && text.contains("key"), "{text}");
        assert!(text.ends_with(&format!("); {advice}")), "{text}");
        // Another prefix needs another line.
        let text = error(login("away").prefix("ours").replicas(1)).await;
        assert!(text.contains("~ours:* ") && text.ends_with(" +wait`"), "{text}");
        login("away").prefix("other").timeout(5 * SECOND).connect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_kind_is_an_error() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let at = |server: &Server| format!("Redis at 127.0.0.1:{}", server.port());
        let url = server.url();
        assert_eq!(
            error(RedisStore::builder(format!("{url}/99"))).await,
            format!("{}: the server has no database 99; a cluster has only database 0", at(&server))
        );
        assert_eq!(
            error(RedisStore::sentinel([&url], "gettone")).await,
            format!("{}: the server is not a sentinel; name the sentinels, port 26379", at(&server))
        );
        assert_eq!(
            error(RedisStore::cluster([&url])).await,
            format!("{}: the server is not part of a cluster; write `redis://`", at(&server))
        );
        let replica = Server::start(engine, Options::new().replica_of(server.port()));
        assert_eq!(
            error(RedisStore::builder(replica.url())).await,
            format!(
                "{}: the server is a replica; name its primary, or its sentinels by `redis+sentinel://`",
                at(&replica)
            )
        );

        let cluster = Cluster::start(engine, Options::new());
        let node = &cluster.masters()[0];
        assert_eq!(
            error(RedisStore::builder(node.url())).await,
            format!("{}: the server is part of a cluster; write `redis+cluster://`", at(node))
        );
        assert_eq!(
            error(RedisStore::cluster([format!("{}/1", node.url())])).await,
            format!("{}: the server has no database 1; a cluster has only database 0", at(node))
        );
    }
}
