//! The listener and its connections.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Shared;
use super::clock::to_unix;
use super::fault::Delivery;
use super::message::{Request, Response};
use super::remote;
use crate::clock::{Clock, Sleep, SystemClock};

/// Far more than a request to an emulated service needs.
const MAX_BODY: usize = 1 << 20;

/// More than a test opens. Further connections wait until one of these ends.
pub(super) const MAX_CONNECTIONS: usize = 512;

/// The longest wait of a connection for a request: for all of its headers, and then for all of its body. Also the longest
/// wait of a response until the client continues to read.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until the future is dropped, which drops all connections too.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, max_connections: usize) {
    let room = Arc::new(Semaphore::new(max_connections));
    let mut connections = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, Arc::clone(&shared));
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // Out of file descriptors, for example, which passes.
            Err(_) => SystemClock::default().sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    // A response is written at once, so Nagle's algorithm would only delay it.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Stream { stream, reset: Arc::clone(&reset), stalled: None };
    let service = service_fn(move |request| respond(request, peer, Arc::clone(&shared), Arc::clone(&reset)));
    // An error is expected here: some connections are broken on purpose.
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
) -> Result<http::Response<ResponseBody>, Broken> {
    let (head, body) = request.into_parts();
    let body = timeout(IDLE_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await.map_err(|_| Broken)?;
    let body = match body {
        Ok(body) => body.to_bytes(),
        Err(_) => match remote::too_large(&shared, head.uri.path()) {
            Some(response) => return http_response(response, false, shared.clock.now()),
            None => return Err(Broken),
        },
    };
    let request = Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        peer: peer.ip(),
    };
    if let Some(response) = remote::respond(&shared, &request) {
        return http_response(response, false, shared.clock.now());
    }
    let (response, delivery, latency) = {
        let mut state = shared.state();
        // With the state locked, so that a reset does not turn the clock back in between.
        state.process(&request, shared.clock.now())
    };
    if !latency.is_zero() {
        // In real time, whatever the clock, so that the client's own timers see it.
        SystemClock::default().sleep(latency).await;
    }
    if delivery == Delivery::Reset {
        reset.store(true, Ordering::Relaxed);
        return Err(Broken);
    }
    http_response(response, delivery == Delivery::Half, shared.clock.now())
}

fn http_response(response: Response, half: bool, now: SystemTime) -> Result<http::Response<ResponseBody>, Broken> {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(to_unix(now));
    let mut head = http::Response::builder().status(response.status).header("date", httpdate::fmt_http_date(date));
    for (name, value) in &response.headers {
        head = head.header(*name, value);
    }
    if half {
        head = head.header("content-length", response.body.len());
    }
    head.body(ResponseBody { rest: Bytes::from(response.body), half, step: 0 }).map_err(|_| Broken)
}

/// The error that ends a connection on purpose.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is broken on purpose")
    }
}

impl std::error::Error for Broken {}

/// The body of a response, whose second half may be withheld.
pub(super) struct ResponseBody {
    rest: Bytes,
    half: bool,
    step: u8,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if !this.half {
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
        }
        this.step += 1;
        match this.step {
            1 => Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(this.rest.len() / 2))))),
            // The first half is sent before the connection ends.
            2 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(Broken))),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.half && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.half { SizeHint::default() } else { SizeHint::with_exact(self.rest.len() as u64) }
    }
}

/// A connection that can be reset: dropped without lingering, so that the other side sees a reset (RST) and not an end (FIN).
struct Stream {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
    /// Runs while nothing more can be written. When it ends, the other side counts as gone.
    stalled: Option<Sleep>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| SystemClock::default().sleep(IDLE_TIMEOUT));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
