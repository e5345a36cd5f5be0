//! Tests that need a lower limit than users can set.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Emulator;

const MINUTE: Duration = Duration::from_secs(60);

async fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    stream
}

async fn gets_response(stream: &mut TcpStream) -> bool {
    let mut first = [0; 12];
    timeout(MINUTE, stream.read_exact(&mut first)).await.is_ok_and(|read| read.is_ok() && first == *b"HTTP/1.1 404")
}

#[tokio::test(start_paused = true)]
async fn a_connection_above_the_limit_waits_until_another_one_ends() {
    const MAX: usize = 3;
    let mut builder = Emulator::builder();
    builder.connections = MAX;
    let emulator = builder.start().await.unwrap();
    let start = Instant::now();
    let mut open = Vec::new();
    for _ in 0..MAX {
        let mut stream = connect(emulator.address()).await;
        assert!(gets_response(&mut stream).await);
        open.push(stream);
    }
    // Its request is not processed before another connection ends.
    let mut waiting = connect(emulator.address()).await;
    assert!(timeout(Duration::from_secs(20), waiting.readable()).await.is_err());
    assert_eq!(emulator.count("unknown"), MAX);
    open.pop();
    assert!(gets_response(&mut waiting).await);
    assert_eq!(emulator.count("unknown"), MAX + 1);
    assert!(start.elapsed() < Duration::from_secs(30), "no connection was closed because it was idle");
    // The server closes idle connections after a while, so that no client waits forever.
    let mut last = connect(emulator.address()).await;
    assert!(gets_response(&mut last).await);
    assert_eq!(emulator.count("unknown"), MAX + 2);
}
