//! Both token services. Each response takes the same time. They accept every request.
#![allow(dead_code, clippy::disallowed_methods, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A function from the path and the body of a request to a status and a body.
type Decide = Arc<dyn Fn(&str, &str) -> (u16, Arc<str>) + Send + Sync>;

pub struct Server {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(delay: Duration) -> Self {
        Self::run(delay, None)
    }

    /// Starts a server that responds to every request with this body.
    pub fn saying(body: String) -> Self {
        let body: Arc<str> = body.into();
        Self::deciding(move |_, _| (200, Arc::clone(&body)))
    }

    /// Starts a server that responds with what this function returns for the path and the body of a request: a status
    /// and a body.
    pub fn deciding(decide: impl Fn(&str, &str) -> (u16, Arc<str>) + Send + Sync + 'static) -> Self {
        Self::run(Duration::ZERO, Some(Arc::new(decide)))
    }

    /// Runs the server on its own thread, in place of another machine.
    fn run(delay: Duration, decide: Option<Decide>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, delay, decide.clone(), Arc::clone(&seen)));
                }
            });
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, delay: Duration, decide: Option<Decide>, requests: Arc<AtomicUsize>) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::new();
    loop {
        let Some(request) = next_request(&mut stream, &mut bytes).await else { return };
        let number = requests.fetch_add(1, Ordering::SeqCst);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let (status, body) = match &decide {
            Some(decide) => decide(&request.0, &request.1),
            None => (200, answer(&request, number).into()),
        };
        let (date, length) = (httpdate::fmt_http_date(SystemTime::now()), body.len());
        let head = format!("HTTP/1.1 {status} X\r\ndate: {date}\r\ncontent-length: {length}\r\n\r\n");
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Returns the path and the body.
async fn next_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok();
            let length = head.lines().find_map(length).unwrap_or(0);
            if let Some(body) = rest.get(..length) {
                bytes.drain(..head.len() + 4 + length);
                return Some((head.split(' ').nth(1)?.to_owned(), body.to_owned()));
            }
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer((path, body): &(String, String), number: usize) -> String {
    if path == "/oauth/token" {
        return format!(
            r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"a{number}","refresh_token":"r{number}"}}"#
        );
    }
    if path == "/credit" {
        return r#"{"data":{"credit":85.01},"success":true,"message":"","error":null}"#.to_owned();
    }
    if path == "/wallet" {
        return r#"{"data":{"credit":85.01}}"#.to_owned();
    }
    let asked: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 86_400;
    let scopes = &asked["scopes"];
    if path == "/tokens" {
        // In the year 2100.
        return format!(r#"{{"token":"t{number}","scopes":{scopes},"expireAt":"2100-01-01T00:00:00Z"}}"#);
    }
    format!(r#"{{"scopes":{scopes},"expire":{end},"token":"t{number}","success":true,"message":"","error":null}}"#)
}
