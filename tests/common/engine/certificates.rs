//! Certificates that nobody else trusts, as files in PEM.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A root, and a certificate of it for a server on this machine and one for a client, with their keys. All in PEM.
#[derive(Clone)]
pub struct Certificates {
    pub root: String,
    pub server: (String, String),
    pub client: (String, String),
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    pub fn new() -> Self {
        let mut params = params(&[], "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |names: &[&str], title| {
            let key = KeyPair::generate().unwrap();
            let certificate = self::params(names, title).signed_by(&key, &root).unwrap();
            (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
        };
        let server = issue(&["127.0.0.1", "localhost"], "server");
        Self { root: pem("CERTIFICATE", root.der()), server, client: issue(&[], "client") }
    }

    /// Writes what the server needs, and returns the lines of its configuration.
    pub fn write(&self, folder: &Path) -> String {
        let (certificate, key) = &self.server;
        let files = [("cert-file", certificate), ("key-file", key), ("ca-cert-file", &self.root)];
        let lines = files.map(|(name, pem)| {
            let path = folder.join(name);
            fs::write(&path, pem).unwrap();
            format!("tls-{name} {path:?}\n")
        });
        lines.concat()
    }
}

fn params(names: &[&str], title: &str) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    // OpenSSL takes a certificate for one that signed itself if it has the name of its issuer.
    params.distinguished_name.push(DnType::CommonName, title);
    params
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
