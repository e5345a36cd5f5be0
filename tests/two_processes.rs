//! Two processes and one token file. The child is this test, started again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::fake::{Do, FakeService, answer};
use common::services::keliweb;
use gettone::clock::{ManualClock, SystemClock};
use gettone::keliweb::Fatture;
use gettone::store::{FileStore, StoreError, StoreLock, StoredToken, TokenStore};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const FILE: &str = "GETTONE_TEST_FILE";
const URL: &str = "GETTONE_TEST_URL";

/// A store that prints whether it has the lock or waits for it.
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

/// Not a test: each of the other processes asks for a token and prints it.
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

#[tokio::test]
async fn two_processes_send_one_refresh_and_both_get_the_new_token() {
    let folder = std::env::temp_dir().join(format!("gettone-two-{}", std::process::id()));
    let file = folder.join("tokens.json").to_str().unwrap().to_owned();
    let pair = |number: u32| {
        let pair = keliweb::pair(&format!("a{number}"), format!("r{number}"));
        answer("200 OK", "connection: close\r\n", &pair.to_string())
    };
    // The answer to the refresh waits until both processes are at the lock.
    let service = FakeService::new([Do::Say(pair(1)), Do::Pause(String::new(), pair(2))]).await;
    let url = service.url();

    // A client got a pair two hours ago.
    let then = Arc::new(ManualClock::new(SystemTime::now() - Duration::from_secs(7200)));
    let before = fatture(&url, &file).await.clock(then).build().unwrap();
    assert_eq!(before.token().await.unwrap().expose(), "a1");
    before.wait_idle().await;
    assert!(service.request().body.contains("grant_type=password"));

    let mut children = [start(&file, &url), start(&file, &url)];
    let mut lines = Vec::new();
    for child in &mut children {
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        while !["locked", "waiting"].contains(&output.next_line().await.unwrap().unwrap().as_str()) {}
        lines.push(output);
    }
    // Both are at the lock, and the one that has it has sent its request.
    service.called(2).await;
    service.go_on();
    for (output, child) in lines.iter_mut().zip(&mut children) {
        assert_eq!(output.next_line().await.unwrap().unwrap(), "token a2");
        while output.next_line().await.unwrap().is_some() {}
        assert!(child.wait().await.unwrap().success());
    }
    assert_eq!(service.calls(), 2, "one refresh for both");
    assert!(service.requests()[1].body.contains("refresh_token=r1"), "{}", service.requests()[1]);
    std::fs::remove_dir_all(folder).unwrap();
}
