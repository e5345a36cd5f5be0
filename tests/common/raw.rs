//! A server that speaks in bytes, for what an HTTP library does not do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with a connection.
#[derive(Debug, Clone)]
pub enum Do {
    /// Closes it before anything was read, so that the peer is reset.
    Reset,
    /// Reads the request, then closes.
    Hang,
    /// Reads the request, sends this, then closes.
    Say(String),
    /// Reads the request and never answers.
    Sleep,
    /// Reads the request, sends this, and then `x` until the peer has had enough.
    Flood(String),
    /// Reads the request, sends this, and then a space again and again, slowly.
    Drip(String),
}

impl Do {
    /// A whole answer.
    pub fn answer(status: &str, headers: &str, body: &str) -> Self {
        Self::Say(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// Does with each connection what was asked for, the last thing again and again.
pub struct Raw {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    flooded: Arc<Mutex<Option<usize>>>,
}

impl Raw {
    pub async fn new(script: impl IntoIterator<Item = Do>) -> Self {
        let script: Vec<Do> = script.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let flooded = Arc::new(Mutex::new(None));
        let (seen, sent) = (Arc::clone(&requests), Arc::clone(&flooded));
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let act = script.get(number).or(script.last()).unwrap().clone();
                tokio::spawn(serve(stream, act, Arc::clone(&seen), Arc::clone(&sent)));
            }
        });
        Self { address, requests, flooded }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, head and body; an empty one for a connection that was reset.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// How many bytes the last flood sent before the peer closed; `None` while it goes on.
    pub fn flooded(&self) -> Option<usize> {
        *self.flooded.lock().unwrap()
    }
}

async fn serve(mut stream: TcpStream, act: Do, seen: Arc<Mutex<Vec<String>>>, sent: Arc<Mutex<Option<usize>>>) {
    if matches!(act, Do::Reset) {
        seen.lock().unwrap().push(String::new());
        // Closed with the time to linger at nothing: a reset instead of a farewell.
        let _ = stream.set_zero_linger();
        return;
    }
    let request = read_request(&mut stream).await;
    seen.lock().unwrap().push(request);
    match act {
        Do::Reset | Do::Hang => {}
        Do::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Do::Sleep => std::future::pending().await,
        Do::Flood(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let mut total = 0;
            // Bounded, should the peer never have enough.
            while total < 64 << 20 && stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {
                total += 16 * 1024;
            }
            *sent.lock().unwrap() = Some(total);
        }
        Do::Drip(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b" ").await.is_ok() {
                // The peer's patience is what is tested; how slow a drip is does not matter.
                let pause = Duration::from_millis(5);
                let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            }
        }
    }
}

pub async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            _ => return text,
        }
    }
}
