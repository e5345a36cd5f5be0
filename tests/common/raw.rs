//! A server that speaks in bytes, for what an HTTP library does not do.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// What to do with a connection.
#[derive(Debug, Clone)]
pub enum Do {
    /// Is not there, so that the connection is refused. It comes with [`Raw::open`], if there is something else to do.
    Refuse,
    /// Closes it before anything was read, so that the peer is reset.
    Reset,
    /// Closes before anything was read: after [`Do::Keep`] a farewell.
    Close,
    /// Reads the request, then resets the peer.
    ResetAfter,
    /// Reads the request, then closes.
    Hang,
    /// Reads the request, sends this, then closes.
    Say(String),
    /// Reads the request, sends what this makes of it, then closes.
    Reply(Reply),
    /// The same, but the connection stays for this.
    Keep(Reply, Box<Do>),
    /// Sends this before anything was asked, and then waits for the peer to close.
    Blurt(String),
    /// Neither reads nor says anything.
    Silence,
    /// Reads the request and never answers.
    Sleep,
    /// Reads the request, sends this, and then `x` until the peer has had enough.
    Flood(String),
    /// Reads the request, sends this, and then a space again and again, slowly.
    Drip(String),
    /// Reads the request, sends the first text, and the second one when it is [told to](Raw::go_on).
    Pause(String, String),
    /// Agrees on TLS, with [`certificate`], and then does this.
    Secure(Box<Do>),
}

/// Makes an answer of a request.
#[derive(Clone)]
pub struct Reply(Arc<dyn Fn(&str) -> String + Send + Sync>);

impl Reply {
    pub fn new(make: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

impl Do {
    /// A whole answer.
    pub fn answer(status: &str, headers: &str, body: &str) -> Self {
        Self::Say(answer(status, &format!("{headers}connection: close\r\n"), body))
    }
}

/// The text of a whole answer.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Does with each connection what was asked for, the last thing again and again.
#[derive(Debug)]
pub struct Raw {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    /// Keeps the port while nobody listens.
    _port: Option<TcpSocket>,
}

#[derive(Debug)]
struct Seen {
    requests: Mutex<Vec<String>>,
    flooded: Mutex<Option<usize>>,
    /// Whether a peer waits for something that will not come.
    stalled: watch::Sender<bool>,
    door: Mutex<Door>,
    opened: Notify,
    going_on: Notify,
}

#[derive(Debug, Default)]
struct Door {
    shut: bool,
    listener: Option<TcpListener>,
}

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A socket at an address that may have two of them, one of which does not listen.
fn shared(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    #[cfg(unix)]
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Raw {
    pub async fn new(script: impl IntoIterator<Item = Do>) -> Self {
        let listener = std::net::TcpListener::bind(ANYWHERE).unwrap();
        Self::listening(&listener, script)
    }

    /// The same behind a listener that was there before: each new one costs a port for a minute.
    pub fn listening(listener: &std::net::TcpListener, script: impl IntoIterator<Item = Do>) -> Self {
        let script: Vec<Do> = script.into_iter().collect();
        let refuses = |number: usize| matches!(script.get(number).or(script.last()), Some(Do::Refuse));
        let port = (0..script.len()).any(refuses).then(|| shared(ANYWHERE));
        let mut listener = match &port {
            None => {
                listener.set_nonblocking(true).unwrap();
                while listener.accept().is_ok() {}
                Some(TcpListener::from_std(listener.try_clone().unwrap()).unwrap())
            }
            Some(port) if !refuses(0) => Some(shared(port.local_addr().unwrap()).listen(128).unwrap()),
            Some(_) => None,
        };
        let address = listener.as_ref().map_or_else(|| port.as_ref().unwrap().local_addr(), TcpListener::local_addr);
        let address = address.unwrap();
        let seen = Arc::new(Seen {
            requests: Mutex::default(),
            flooded: Mutex::default(),
            stalled: watch::Sender::new(false),
            door: Mutex::new(Door { shut: refuses(0) && script.len() > 1, listener: None }),
            opened: Notify::new(),
            going_on: Notify::new(),
        });
        let of_server = Arc::clone(&seen);
        tokio::spawn(async move {
            for number in 0.. {
                let act = script.get(number).or(script.last()).unwrap().clone();
                if let Do::Refuse = act {
                    drop(listener.take());
                    of_server.door.lock().unwrap().shut = number + 1 < script.len();
                    of_server.opened.notified().await;
                    listener = of_server.door.lock().unwrap().listener.take();
                    continue;
                }
                let Ok((stream, _)) = listener.as_ref().unwrap().accept().await else { return };
                tokio::spawn(serve(stream, act, Arc::clone(&of_server)));
            }
        });
        Self { address, seen, _port: port }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, head and body; an empty one for a connection that was reset.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    /// How many bytes the last flood sent before the peer closed; `None` while it goes on.
    pub fn flooded(&self) -> Option<usize> {
        *self.seen.flooded.lock().unwrap()
    }

    /// Is there from now on, if it was not and there is something else to do than to refuse.
    pub fn open(&self) {
        let mut door = self.seen.door.lock().unwrap();
        if std::mem::take(&mut door.shut) {
            door.listener = Some(shared(self.address).listen(128).unwrap());
            self.seen.opened.notify_one();
        }
    }

    /// Lets one connection that pauses go on.
    pub fn go_on(&self) {
        self.seen.going_on.notify_one();
    }

    /// Until a peer waits for something that will not come.
    pub async fn stalled(&self) {
        let _ = self.seen.stalled.subscribe().wait_for(|stalled| *stalled).await;
    }

    /// The peer waits no longer.
    pub fn given_up(&self) {
        self.seen.stalled.send_replace(false);
    }

    /// The end of a call while time, which is paused, stands still; but each time that this keeps the peer waiting, it moves by as
    /// much as the peer's patience.
    pub async fn until<T>(&self, patience: Duration, call: impl Future<Output = T>) -> T {
        // While a thread is busy, time does not jump to the next end of a wait when there is only the network to wait for.
        let (_busy, idle) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || idle.recv_timeout(Duration::from_secs(60)));
        let mut call = std::pin::pin!(call);
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    result = &mut call => Some(result),
                    () = self.stalled() => None,
                }
            };
            // Only a failure lasts until the thread is busy no longer and time jumps.
            let next = tokio::time::timeout(Duration::from_secs(1 << 30), next).await;
            assert!(!busy.is_finished(), "no end");
            match next.unwrap() {
                Some(result) => return result,
                None => self.given_up(),
            }
            tokio::time::advance(patience).await;
        }
    }
}

/// A connection that can be broken.
trait Connection: AsyncRead + AsyncWrite + Unpin {
    /// Closed with the time to linger at nothing, it is a reset instead of a farewell.
    fn break_off(self);
}

impl Connection for TcpStream {
    fn break_off(self) {
        let _ = self.set_zero_linger();
    }
}

impl Connection for TlsStream<TcpStream> {
    fn break_off(self) {
        self.into_inner().0.break_off();
    }
}

async fn serve(stream: TcpStream, act: Do, seen: Arc<Seen>) {
    match act {
        Do::Secure(act) => {
            if let Ok(stream) = acceptor().accept(stream).await {
                speak(stream, *act, seen).await;
            }
        }
        act => speak(stream, act, seen).await,
    }
}

async fn speak(mut stream: impl Connection, mut act: Do, seen: Arc<Seen>) {
    match act {
        Do::Close => return,
        Do::Reset => {
            seen.requests.lock().unwrap().push(String::new());
            return stream.break_off();
        }
        Do::Silence => {
            seen.stalled.send_replace(true);
            return std::future::pending().await;
        }
        Do::Blurt(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
            while stream.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {}
            return;
        }
        _ => {}
    }
    let request = loop {
        let request = read_request(&mut stream).await;
        seen.requests.lock().unwrap().push(request.clone());
        match act {
            Do::Keep(Reply(make), next) => {
                let _ = stream.write_all(make(&request).as_bytes()).await;
                if let Do::Close = *next {
                    return;
                }
                act = *next;
            }
            _ => break request,
        }
    };
    match act {
        Do::ResetAfter => stream.break_off(),
        Do::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Do::Reply(Reply(make)) => {
            let _ = stream.write_all(make(&request).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Do::Sleep => {
            seen.stalled.send_replace(true);
            std::future::pending().await
        }
        Do::Flood(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let mut total = 0;
            // Bounded, should the peer never have enough.
            while total < 64 << 20 && stream.write_all(&[b'x'; 256 * 1024]).await.is_ok() {
                total += 256 * 1024;
            }
            *seen.flooded.lock().unwrap() = Some(total);
        }
        Do::Pause(first, second) => {
            let _ = stream.write_all(first.as_bytes()).await;
            let (mut given_up, mut going_on) = (seen.stalled.subscribe(), std::pin::pin!(seen.going_on.notified()));
            loop {
                // Again and again: the peer may not have read the first text when it was said.
                seen.stalled.send_replace(true);
                tokio::select! {
                    () = &mut going_on => break,
                    _ = given_up.wait_for(|stalled| !*stalled) => {}
                }
            }
            let _ = stream.write_all(second.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Do::Drip(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            seen.stalled.send_replace(true);
            while stream.write_all(b" ").await.is_ok() {
                // In time that is moved, too. The peer's patience is what is tested; how slow a drip is does not matter.
                let pause = Duration::from_millis(5);
                let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            }
        }
        _ => {}
    }
}

pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
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

/// A certificate that the tests made themselves, for `127.0.0.1`.
pub fn certificate() -> &'static [u8] {
    &identity().0
}

fn acceptor() -> TlsAcceptor {
    TlsAcceptor::from(Arc::clone(&identity().1))
}

fn identity() -> &'static (Vec<u8>, Arc<ServerConfig>) {
    static MADE: OnceLock<(Vec<u8>, Arc<ServerConfig>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        (made.cert.der().to_vec(), Arc::new(config))
    })
}
