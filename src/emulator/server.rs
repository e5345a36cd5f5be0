//! The listener, and what is done to a connection.

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
use super::clock::unix;
use super::message::{Answer, Request};
use super::state::Delivery;
use crate::clock::{Clock, Sleep, SystemClock};

/// Far more than any request of the two services has.
const MAX_BODY: usize = 1 << 20;

/// More than a test has. Further ones wait until one of these ends.
pub(super) const MAX_CONNECTIONS: usize = 512;

/// How long a connection may wait for a request, for all of its headers, and then for all of its body, and how long an answer may
/// wait to be read on.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves until it is dropped, and with it all connections are.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, most: usize) {
    let room = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    // Nobody closes it.
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, Arc::clone(&shared));
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // Out of descriptors, for one; that passes.
            Err(_) => SystemClock::default().sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    // An answer is written in one go; there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Stream { stream, reset: Arc::clone(&reset), stalled: None };
    let service = service_fn(move |request| answer(request, peer, Arc::clone(&shared), Arc::clone(&reset)));
    // How it ends is the client's business: some of the ends are made here.
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
) -> Result<http::Response<Text>, Broken> {
    let (head, body) = request.into_parts();
    let body = timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await.map_err(|_| Broken)?;
    let body = body.map_err(|_| Broken)?.to_bytes();
    let request = Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        peer: peer.ip(),
    };
    let now = shared.clock.now();
    let (answer, delivery, latency) = shared.state().carry_out(&request, now);
    if !latency.is_zero() {
        // Real time, whatever the clock: a latency is there for the client's own timers to see.
        SystemClock::default().sleep(latency).await;
    }
    if delivery == Delivery::Reset {
        reset.store(true, Ordering::Relaxed);
        return Err(Broken);
    }
    response(answer, delivery == Delivery::Half, shared.clock.now())
}

fn response(answer: Answer, half: bool, now: SystemTime) -> Result<http::Response<Text>, Broken> {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(unix(now));
    let mut response = http::Response::builder().status(answer.status).header("date", httpdate::fmt_http_date(date));
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    if half {
        response = response.header("content-length", answer.body.len());
    }
    response.body(Text { rest: Bytes::from(answer.body), half, step: 0 }).map_err(|_| Broken)
}

/// The connection is to end here.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is broken on purpose")
    }
}

impl std::error::Error for Broken {}

/// The body of an answer, of which the second half may never come.
pub(super) struct Text {
    rest: Bytes,
    half: bool,
    step: u8,
}

impl Body for Text {
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
            // What is there is sent off before the connection ends.
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

/// A connection that can be reset: dropped with what was not sent, so that the other side is told so (RST) and not that it
/// has ended (FIN).
struct Stream {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
    /// Set while nothing more can be written. At its end the other side has stopped reading.
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
        let stalled = self.stalled.get_or_insert_with(|| SystemClock::default().sleep(PATIENCE));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
