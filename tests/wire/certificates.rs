//! A server that received the key once, and puts it into the names of the certificate of the next connection.

use gettone::Retry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::fake::{Do, FakeService, Identity};
use crate::common::services::laws::printed;
use crate::common::{API_KEY, oauth};

/// Returns the error of the connection with the second certificate: that of another call, or that of a retry.
async fn error_of_second(status: &'static str, retry: bool) -> gettone::Error {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let root = reqwest::Certificate::from_der(ca.der()).unwrap();
    let names = ["localhost".to_owned(), format!("{API_KEY}.evil.example")];
    let script = names.map(|name| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name]).unwrap().signed_by(&key, &ca).unwrap();
        let answer = Do::answer(status, "", r#"{"data":{"credit":1.5}}"#);
        Do::Secure(Identity::new(&certificate, &key), Box::new(answer))
    });
    let service = FakeService::new(script).await;
    let mut builder = oauth(&service.tls_url()).http(|http| http.tls_certs_merge([root]));
    if !retry {
        builder = builder.retry(Retry::none());
    }
    let oauth = builder.build().unwrap();
    if !retry {
        oauth.credit().await.unwrap();
    }
    let error = oauth.credit().await.unwrap_err();
    assert_eq!((service.calls(), service.connections()), (1, 2));
    error
}

fn assert_clean(error: &gettone::Error) {
    let text = printed(error);
    assert!(!text.contains(API_KEY), "{text}");
}

#[tokio::test]
async fn a_certificate_of_the_next_call_shows_no_secret() {
    assert_clean(&error_of_second("200 OK", false).await);
}

#[tokio::test]
async fn a_certificate_of_the_next_attempt_shows_no_secret() {
    assert_clean(&error_of_second("503 Service Unavailable", true).await);
}
