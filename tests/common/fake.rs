//! A service that does what a test tells it to: it answers requests, or treats a connection as no HTTP library would.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rcgen::{Certificate, KeyPair};
use reqwest::StatusCode;
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
    /// Refuses it. Nobody listens until [`FakeService::open`], if the script goes on.
    Refuse,
    /// Resets it before reading anything.
    Reset,
    /// Closes it before reading anything.
    Close,
    /// Reads the request, then resets the connection.
    ResetAfter,
    /// Reads the request, then closes the connection.
    Hang,
    /// Reads the request, sends this, then closes the connection.
    Say(String),
    /// Reads the request, sends what this function returns for it, then closes the connection.
    Reply(Reply),
    /// The same, but leaves the connection open and goes on with this.
    Keep(Reply, Box<Do>),
    /// Answers each request until the peer closes the connection.
    Serve(Handler),
    /// Sends this before reading anything, and then waits for the peer to close the connection.
    Blurt(String),
    /// Neither reads nor sends anything.
    Silence,
    /// Reads the request and never answers.
    Sleep,
    /// Reads the request, sends this, and then `x` until the peer closes the connection.
    Flood(String),
    /// Reads the request, sends this, and then a space again and again, slowly.
    Drip(String),
    /// Reads the request, sends the first text, and the second one after [`FakeService::go_on`].
    Pause(String, String),
    /// Completes the TLS handshake, and then does this.
    Secure(Identity, Box<Do>),
}

/// Makes the text of an answer from a request.
#[derive(Clone)]
pub struct Reply(Arc<dyn Fn(&Received) -> String + Send + Sync>);

impl Reply {
    pub fn new(make: impl Fn(&Received) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// Answers a request, perhaps later, or closes the connection.
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(Received) -> Answering + Send + Sync>);

type Answering = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

impl Handler {
    pub fn new<F: Future<Output = Option<Answer>> + Send + 'static>(
        answer: impl Fn(Received) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |request| Box::pin(answer(request))))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

impl Do {
    /// Sends a whole answer, and closes the connection.
    pub fn answer(status: &str, headers: &str, body: &str) -> Self {
        Self::Say(answer(status, &format!("{headers}connection: close\r\n"), body))
    }

    /// Completes the TLS handshake first, with an [`Identity`] of this machine.
    pub fn over_tls(self) -> Self {
        Self::Secure(Identity::local().clone(), Box::new(self))
    }
}

/// Writes a whole answer.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::empty(status).body(body).header("content-type", "application/json")
    }

    pub fn html(status: u16, body: &str) -> Self {
        Self::empty(status).body(body).header("content-type", "text/html; charset=UTF-8")
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub fn body(mut self, body: impl ToString) -> Self {
        self.body = body.to_string();
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn text(&self) -> &str {
        &self.body
    }

    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn written(&self, method: &str) -> String {
        let Self { status, headers, body } = self;
        let reason = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Other");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        // A response that cannot have a body must not name its length.
        let length = if *status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let body = if method == "HEAD" { "" } else { body };
        format!("HTTP/1.1 {status} {reason}\r\n{length}{headers}\r\n{body}")
    }
}

/// A request as it arrived; as a text, its head and its body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Received {
    text: String,
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// Sorted by name, without `host` and `content-length`.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    fn new(text: String) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.filter(|(name, _)| !matches!(*name, "host" | "content-length"));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        headers.sort();
        let body = body.to_owned();
        Self { text, method, target, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the fields of a form, sorted.
    pub fn form(&self) -> Vec<(String, String)> {
        let mut fields: Vec<_> = form_urlencoded::parse(self.body.as_bytes()).into_owned().collect();
        fields.sort();
        fields
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Deref for Received {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// A service on a port of 127.0.0.1 that follows a script: each connection gets the next line of it, and the last line is for all further
/// ones.
#[derive(Debug)]
pub struct FakeService {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    /// Keeps the port while nobody listens.
    _port: Option<TcpSocket>,
}

#[derive(Debug)]
struct Seen {
    connections: AtomicUsize,
    requests: watch::Sender<Vec<Received>>,
    flooded: Mutex<Option<usize>>,
    /// The number of peers that wait for something that never comes.
    waiting: watch::Sender<usize>,
    /// Whether one of them began to wait since [`FakeService::until`] moved the time.
    stalled: watch::Sender<bool>,
    entrance: Mutex<Entrance>,
    opened: Notify,
    going_on: Notify,
}

#[derive(Debug, Default)]
struct Entrance {
    shut: bool,
    listener: Option<TcpListener>,
}

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Binds a socket to an address that may have two of them, one of which does not listen.
fn shared(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    #[cfg(unix)]
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl FakeService {
    pub async fn new(script: impl IntoIterator<Item = Do>) -> Self {
        let listener = std::net::TcpListener::bind(ANYWHERE).unwrap();
        Self::listening(&listener, script)
    }

    /// Answers one request after the other, and all further ones with the last answer.
    pub async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        let count = AtomicUsize::new(0);
        Self::deciding(move |_| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            answers.get(number).or(answers.last()).expect("an answer").clone()
        })
        .await
    }

    pub async fn answering_with(answer: impl Into<Answer>) -> Self {
        Self::answering([answer.into()]).await
    }

    /// Answers depending on the request.
    pub async fn deciding(decide: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let handler = Handler::new(move |request| std::future::ready(Some(decide(&request))));
        Self::new([Do::Serve(handler)]).await
    }

    /// The same as [`new`](Self::new) behind an existing listener: each further one takes up a port for a minute.
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
            connections: AtomicUsize::new(0),
            requests: watch::Sender::new(Vec::new()),
            flooded: Mutex::default(),
            waiting: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            entrance: Mutex::new(Entrance { shut: refuses(0) && script.len() > 1, listener: None }),
            opened: Notify::new(),
            going_on: Notify::new(),
        });
        let of_server = Arc::clone(&seen);
        tokio::spawn(async move {
            for number in 0.. {
                let act = script.get(number).or(script.last()).unwrap().clone();
                if let Do::Refuse = act {
                    drop(listener.take());
                    of_server.entrance.lock().unwrap().shut = number + 1 < script.len();
                    of_server.opened.notified().await;
                    listener = of_server.entrance.lock().unwrap().listener.take();
                    continue;
                }
                let Ok((stream, _)) = listener.as_ref().unwrap().accept().await else { return };
                of_server.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, act, Arc::clone(&of_server)));
            }
        });
        Self { address, seen, _port: port }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the URL of a service that speaks TLS as [`Identity::local`].
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Returns how many connections were accepted.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Returns the requests so far, with an empty one for a connection that was reset before.
    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.borrow().clone()
    }

    pub fn calls(&self) -> usize {
        self.seen.requests.borrow().len()
    }

    /// Returns the request, of which there must be one.
    pub fn request(&self) -> Received {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "exactly one request");
        requests.into_iter().next().unwrap()
    }

    /// Waits until there were so many requests.
    pub async fn called(&self, times: usize) {
        let _ = self.seen.requests.subscribe().wait_for(|requests| requests.len() >= times).await;
    }

    /// Returns how many bytes the last flood sent before the peer closed the connection; `None` before.
    pub fn flooded(&self) -> Option<usize> {
        *self.seen.flooded.lock().unwrap()
    }

    /// Listens again, unless the script only refuses.
    pub fn open(&self) {
        let mut entrance = self.seen.entrance.lock().unwrap();
        if std::mem::take(&mut entrance.shut) {
            entrance.listener = Some(shared(self.address).listen(128).unwrap());
            self.seen.opened.notify_one();
        }
    }

    /// Lets one connection that pauses go on.
    pub fn go_on(&self) {
        self.seen.going_on.notify_one();
    }

    /// Waits until a peer waits for something that will not come. It does so until it closes the connection.
    pub async fn keeps_waiting(&self) {
        let _ = self.seen.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Waits for a call while tokio's time is paused, and moves it by `patience` whenever this service keeps the peer waiting.
    pub async fn until<T>(&self, patience: Duration, call: impl Future<Output = T>) -> T {
        // When every task waits for the network, paused time would jump to the end of the next wait. A busy thread prevents that.
        let (_busy, idle) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || idle.recv_timeout(Duration::from_secs(60)));
        let mut call = std::pin::pin!(call);
        loop {
            let mut stalled = self.seen.stalled.subscribe();
            let next = async {
                tokio::select! {
                    biased;
                    result = &mut call => Some(result),
                    _ = stalled.wait_for(|stalled| *stalled) => None,
                }
            };
            // Only if the test fails does the thread stop being busy before that, so that time jumps.
            let next = tokio::time::timeout(Duration::from_secs(1 << 30), next).await;
            assert!(!busy.is_finished(), "the call does not end");
            match next.unwrap() {
                Some(result) => return result,
                None => self.seen.stalled.send_replace(false),
            };
            tokio::time::advance(patience).await;
        }
    }
}

/// A connection that can be broken.
trait Connection: AsyncRead + AsyncWrite + Unpin {
    /// Resets the connection: closed with a linger time of zero, it sends no FIN.
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
        Do::Secure(identity, act) => {
            if let Ok(stream) = identity.acceptor.accept(stream).await {
                speak(stream, *act, &seen).await;
            }
        }
        act => speak(stream, act, &seen).await,
    }
}

async fn speak(mut stream: impl Connection, mut act: Do, seen: &Seen) {
    match act {
        Do::Close => return,
        Do::Reset => {
            seen.requests.send_modify(|all| all.push(Received::default()));
            return stream.break_off();
        }
        Do::Silence => {
            let _waiting = Waiting::new(seen);
            return closed(&mut stream).await;
        }
        Do::Blurt(text) => {
            say(&mut stream, &text).await;
            return closed(&mut stream).await;
        }
        _ => {}
    }
    let request = loop {
        let Some(request) = receive(&mut stream).await else { return };
        seen.requests.send_modify(|all| all.push(request.clone()));
        match act {
            Do::Keep(Reply(make), next) => {
                let _ = stream.write_all(make(&request).as_bytes()).await;
                if let Do::Close = *next {
                    return;
                }
                act = *next;
            }
            Do::Serve(Handler(ref answer)) => {
                let method = request.method.clone();
                let Some(answer) = answer(request).await else { return };
                let _ = stream.write_all(answer.written(&method).as_bytes()).await;
            }
            _ => break request,
        }
    };
    match act {
        Do::ResetAfter => stream.break_off(),
        Do::Say(text) => say(&mut stream, &text).await,
        Do::Reply(Reply(make)) => say(&mut stream, &make(&request)).await,
        Do::Sleep => {
            let _waiting = Waiting::new(seen);
            closed(&mut stream).await;
        }
        Do::Flood(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let mut total = 0;
            // Bounded, in case the peer never stops reading.
            while total < 64 << 20 && stream.write_all(&[b'x'; 256 * 1024]).await.is_ok() {
                total += 256 * 1024;
            }
            *seen.flooded.lock().unwrap() = Some(total);
        }
        Do::Pause(first, second) => {
            let _ = stream.write_all(first.as_bytes()).await;
            let (mut stalled, mut going_on) = (seen.stalled.subscribe(), std::pin::pin!(seen.going_on.notified()));
            loop {
                // Repeatedly: the peer may not have read the first text yet when time moves.
                seen.stalled.send_replace(true);
                tokio::select! {
                    () = &mut going_on => break,
                    _ = stalled.wait_for(|stalled| !*stalled) => {}
                }
            }
            say(&mut stream, &second).await;
        }
        Do::Drip(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let _waiting = Waiting::new(seen);
            // This pause also follows the time that the test moves: it tests how long the peer waits, not how slowly the bytes come.
            let pause = Duration::from_millis(5);
            while tokio::time::timeout(pause, closed(&mut stream)).await.is_err()
                && stream.write_all(b" ").await.is_ok()
            {}
        }
        _ => {}
    }
}

/// A peer that waits for something that will not come.
struct Waiting<'a>(&'a Seen);

impl<'a> Waiting<'a> {
    fn new(seen: &'a Seen) -> Self {
        seen.waiting.send_modify(|waiting| *waiting += 1);
        seen.stalled.send_replace(true);
        Self(seen)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// Waits until the peer closes the connection.
async fn closed(stream: &mut impl Connection) {
    while stream.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {}
}

/// Sends a text, and closes the connection.
async fn say(stream: &mut impl Connection, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads a request; `None` if the peer closed the connection before it sent any.
async fn receive(stream: &mut impl Connection) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(Received::new(text));
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            _ if text.is_empty() => return None,
            _ => return Some(Received::new(text)),
        }
    }
}

/// A key, and a certificate for it.
#[derive(Clone)]
pub struct Identity {
    acceptor: TlsAcceptor,
    certificate: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    pub fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate: certificate.der().to_vec() }
    }

    /// Returns the identity of this machine, whose certificate nobody else trusts.
    pub fn local() -> &'static Self {
        static MADE: OnceLock<Identity> = OnceLock::new();
        MADE.get_or_init(|| {
            let names = ["127.0.0.1", "localhost"].map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).unwrap();
            Self::new(&made.cert, &made.signing_key)
        })
    }

    pub fn certificate(&self) -> reqwest::Certificate {
        reqwest::Certificate::from_der(&self.certificate).unwrap()
    }
}
