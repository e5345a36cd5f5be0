//! TLS, and what the error says if it fails.

use gettone::store::{RedisStore, RedisStoreBuilder, TokenStore};

use super::common::engine::{Certificates, Engine, Options, Server};
use super::{NAME, SECOND, loaded, save, text};

fn builder(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(url).timeout(10 * SECOND)
}

/// Returns the error of `connect`, which does not say that the server is down.
async fn error(builder: RedisStoreBuilder) -> String {
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_invalid_input(), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("MII"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_used_with_its_root() {
    let certificates = Certificates::new();
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new().tls(&certificates));
        let store = builder(&server.url()).root_certificate(&*certificates.root).connect().await.unwrap();
        let version = save(&store, None, "1").await;
        assert_eq!(loaded(&store).await.unwrap().0, version);
        // By name, too.
        let named = server.url().replace("127.0.0.1", "localhost");
        builder(&named).root_certificate(&*certificates.root).connect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_an_error() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new().tls(&certificates));
        let begin = format!("Redis at 127.0.0.1:{}: the server's certificate is not accepted (", server.port());
        let end = match cfg!(all(feature = "rustls", feature = "native-tls")) {
            true => {
                "); set it by `RedisStoreBuilder::root_certificate`: with both of the features `rustls` and `native-tls` no other is trusted"
            }
            false => {
                "); if it is right, have this machine trust its authority, or name that by `RedisStoreBuilder::root_certificate`"
            }
        };
        for untrusted in [builder(&server.url()), builder(&server.url()).root_certificate(&*others.root)] {
            let text = error(untrusted).await;
            assert!(text.starts_with(&begin) && text.ends_with(end), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_if_the_server_demands_one() {
    let certificates = Certificates::new();
    let (certificate, key) = certificates.client.clone();
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new().tls_with_client_certificates(&certificates));
        let trusting = builder(&server.url()).root_certificate(&*certificates.root);
        let store = trusting.clone().client_certificate(&*certificate, &*key).connect().await.unwrap();
        save(&store, None, "1").await;
        let at = format!("Redis at 127.0.0.1:{}", server.port());
        // With TLS 1.3, the server's own reason may be lost, and the server looks like one that is down.
        match trusting.connect().await {
            Err(error) => assert_eq!(
                error.to_string(),
                format!(
                    "{at}: the server demands a client certificate; a program sets it by `RedisStoreBuilder::client_certificate`"
                )
            ),
            Ok(store) => assert!(text(store.load(NAME).await.unwrap_err()).contains("::client_certificate`")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_read_is_an_error() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (certificate, key) = &certificates.client;
    let (_, another_key) = &others.client;
    let damaged = certificate.replace("MII", "???");
    let builder = || builder("rediss://127.0.0.1:1");
    let unreadable =
        "Redis at 127.0.0.1:1: a certificate or a key cannot be read; pass each as PEM, a key without a password";
    for (builder, said) in [
        (builder().root_certificate(&*damaged), unreadable),
        (builder().client_certificate(&*damaged, &**key), unreadable),
        (builder().client_certificate(&**certificate, "?"), unreadable),
        (
            builder().root_certificate("?"),
            "Redis store: a certificate is not PEM; pass a text with `-----BEGIN CERTIFICATE-----`",
        ),
    ] {
        assert_eq!(error(builder).await, said);
    }
    // The key of another certificate: rustls reports it with the first connection.
    for engine in Engine::all().into_iter().take(1) {
        let server = Server::start(engine, Options::new().tls_with_client_certificates(&certificates));
        let builder = RedisStore::builder(server.url()).root_certificate(&*certificates.root);
        let text = error(builder.client_certificate(&**certificate, &**another_key)).await;
        if cfg!(feature = "rustls") {
            assert!(
                text.ends_with(
                    ": no connection with these settings (keys may not be consistent: KeyMismatch); correct them"
                ),
                "{text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_kind_of_port_is_an_error() {
    let certificates = Certificates::new();
    for engine in Engine::all() {
        let with_tls = Server::start(engine, Options::new().tls(&certificates));
        let without = Server::start(engine, Options::new());
        let plain = with_tls.url().replace("rediss", "redis");
        let at = format!("Redis at 127.0.0.1:{}", with_tls.port());
        assert_eq!(
            error(builder(&plain)).await,
            format!("{at}: the server speaks only TLS there; write `rediss://`, or name another port")
        );
        let encrypted = without.url().replace("redis", "rediss");
        let at = format!("Redis at 127.0.0.1:{}", without.port());
        assert_eq!(
            error(builder(&encrypted).timeout(SECOND)).await,
            format!("{at}: the server does not speak TLS there; write `redis://`, or name its port for TLS")
        );
    }
}
