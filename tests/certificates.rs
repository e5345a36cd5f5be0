//! A server that was given the key once, and shows it in the names of the certificate of the next connection.
#![cfg(feature = "rustls")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::error::Error as _;
use std::sync::Arc;

use common::{API_KEY, oauth};
use gettone::Retry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

async fn server(status: &'static str, retry: bool) -> gettone::Error {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let root = ca.der().to_vec();
    let acceptor = |name: String| {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name]).unwrap().signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    };
    let acceptors = [acceptor("localhost".into()), acceptor(format!("{API_KEY}.evil.example"))];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptors[usize::min(number, 1)].accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let body = r#"{"data":{"credit":1.5}}"#;
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let root = reqwest::Certificate::from_der(&root).unwrap();
    let mut builder = oauth(&url).http(|http| http.tls_certs_merge([root]));
    if !retry {
        builder = builder.retry(Retry::none());
    }
    let oauth = builder.build().unwrap();
    if !retry {
        oauth.credit().await.unwrap();
    }
    oauth.credit().await.unwrap_err()
}

fn clean(error: &gettone::Error) {
    let mut text = format!("{error}\n{error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!("\n{error}\n{error:?}");
        source = error.source();
    }
    assert!(!error.to_string().contains(API_KEY), "Display");
    assert!(!text.contains(API_KEY), "Debug or source");
}

#[tokio::test]
async fn a_certificate_of_the_next_call_shows_no_secret() {
    clean(&server("200 OK", false).await);
}

#[tokio::test]
async fn a_certificate_of_the_next_attempt_shows_no_secret() {
    clean(&server("503 Service Unavailable", true).await);
}
