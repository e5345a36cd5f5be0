//! Two processes and one file of tokens. The child is this test itself, started again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::raw::read_request;
use gettone::clock::{ManualClock, SystemClock};
use gettone::keliweb::Fatture;
use gettone::store::{FileStore, StoreError, StoreLock, StoredToken, TokenStore};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

const FILE: &str = "GETTONE_TEST_FILE";
const URL: &str = "GETTONE_TEST_URL";

/// A store that says when the lock is had or waited for.
#[derive(Debug)]
struct Told(FileStore);

impl TokenStore for Told {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        self.0.load(name).await
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        self.0.save(name, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name).await
    }

    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        let mut lock = pin!(self.0.lock(name));
        let soon = tokio::time::timeout(Duration::from_millis(50), &mut lock).await;
        println!("{}", if soon.is_ok() { "locked" } else { "waiting" });
        match soon {
            Ok(lock) => lock,
            Err(_) => lock.await,
        }
    }
}

async fn fatture(url: &str, file: &str) -> gettone::Builder<Fatture> {
    let store = FileStore::open(file).await.unwrap();
    common::fatture(url).http_client(common::http()).store(Told(store))
}

/// Not a test: what the other processes do. Each asks for a token and prints it.
#[tokio::test]
#[ignore = "the test below runs it"]
async fn child() {
    let [file, url] = [FILE, URL].map(|name| std::env::var(name).unwrap());
    let fatture = fatture(&url, &file).await.clock(Arc::new(SystemClock::default())).build().unwrap();
    println!();
    println!("token {}", fatture.token().await.unwrap().expose());
    fatture.wait_idle().await;
}

fn start(file: &str, url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]).env(FILE, file).env(URL, url);
    command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// The requests as they come, each with the way to answer it.
async fn server() -> (String, mpsc::UnboundedReceiver<(String, oneshot::Sender<u32>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (requests, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let requests = requests.clone();
            tokio::spawn(async move {
                let (answer, number) = oneshot::channel();
                requests.send((read_request(&mut stream).await, answer)).unwrap();
                let number = number.await.unwrap();
                let body = format!(
                    r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"a{number}","refresh_token":"r{number}"}}"#
                );
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            });
        }
    });
    (url, seen)
}

#[tokio::test]
async fn two_processes_make_one_refresh_and_both_have_the_new_token() {
    let folder = std::env::temp_dir().join(format!("gettone-two-{}", std::process::id()));
    let file = folder.join("tokens.json").to_str().unwrap().to_owned();
    let (url, mut requests) = server().await;

    // Two hours ago somebody got a pair.
    let then = Arc::new(ManualClock::new(SystemTime::now() - Duration::from_secs(7200)));
    let before = fatture(&url, &file).await.clock(then).build().unwrap();
    let first = tokio::spawn(async move {
        let token = before.token().await.unwrap();
        before.wait_idle().await;
        token
    });
    let (request, answer) = requests.recv().await.unwrap();
    assert!(request.contains("grant_type=password"));
    answer.send(1).unwrap();
    assert_eq!(first.await.unwrap().expose(), "a1");

    let mut children = [start(&file, &url), start(&file, &url)];
    let mut lines = Vec::new();
    for child in &mut children {
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        while !["locked", "waiting"].contains(&output.next_line().await.unwrap().unwrap().as_str()) {}
        lines.push(output);
    }
    // Both are at the lock, and the one that has it has asked.
    let (request, answer) = requests.recv().await.unwrap();
    assert!(request.contains("refresh_token=r1"), "{request}");
    answer.send(2).unwrap();
    for (output, child) in lines.iter_mut().zip(&mut children) {
        assert_eq!(output.next_line().await.unwrap().unwrap(), "token a2");
        while output.next_line().await.unwrap().is_some() {}
        assert!(child.wait().await.unwrap().success());
    }
    assert!(requests.try_recv().is_err(), "one refresh for both");
    std::fs::remove_dir_all(folder).unwrap();
}
