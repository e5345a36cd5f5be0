//! Two processes and one token file. The child is this test, started again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::fake::{Answer, Do, FakeService, answer};
use common::services::keliweb;
use common::store::is_claim;
use gettone::clock::{ManualClock, SystemClock};
use gettone::keliweb::Fatture;
use gettone::store::{FileStore, Locked, Record, Replaced, StoreError, StoredToken, TokenStore, Version};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const FILE: &str = "GETTONE_TEST_FILE";
const URL: &str = "GETTONE_TEST_URL";

/// Where a process stops, until it is killed.
const STOP: &str = "GETTONE_TEST_STOP";

/// A store that prints whether it has the lock or waits for it.
#[derive(Debug)]
struct Told(FileStore);

async fn stop(at: &str) {
    if std::env::var(STOP).is_ok_and(|place| place == at) {
        println!("stopped");
        std::future::pending().await
    }
}

impl TokenStore for Told {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.0.load(name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        let [before, after] = if is_claim(token) {
            ["before the claim", "after the claim"]
        } else {
            ["before the save", "after the save"]
        };
        stop(before).await;
        let replaced = self.0.replace(name, seen, token).await;
        stop(after).await;
        replaced
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name).await
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        let mut lock = pin!(self.0.lock(name, seen));
        let soon = tokio::time::timeout(Duration::from_millis(50), &mut lock).await;
        println!("{}", if soon.is_ok() { "locked" } else { "waiting" });
        let locked = match soon {
            Ok(lock) => lock,
            Err(_) => lock.await,
        };
        stop("at the lock").await;
        locked
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

fn start(file: &str, url: &str, stop: &str) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]);
    command.env(FILE, file).env(URL, url).env(STOP, stop).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap()).lines();
    Process { child, output }
}

struct Process {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Waits until it says one of these.
    async fn says(&mut self, what: &[&str]) {
        while !what.contains(&self.output.next_line().await.unwrap().unwrap().as_str()) {}
    }

    /// Waits for its end, and returns the token that it got.
    async fn token(&mut self) -> String {
        let mut token = None;
        while let Some(line) = self.output.next_line().await.unwrap() {
            token = token.or(line.strip_prefix("token ").map(str::to_owned));
        }
        assert!(self.child.wait().await.unwrap().success());
        token.unwrap()
    }
}

/// Saves the pair that the service answers with first, as a client that got it two hours ago.
async fn before(file: &str, url: &str) {
    let then = Arc::new(ManualClock::new(SystemTime::now() - Duration::from_secs(7200)));
    let before = fatture(url, file).await.clock(then).build().unwrap();
    assert_eq!(before.token().await.unwrap().expose(), "a1");
    before.wait_idle().await;
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

    before(&file, &url).await;
    assert!(service.request().body.contains("grant_type=password"));

    let mut children = [start(&file, &url, ""), start(&file, &url, "")];
    for child in &mut children {
        child.says(&["locked", "waiting"]).await;
    }
    // Both are at the lock, and the one that has it has sent its request.
    service.called(2).await;
    service.go_on();
    for child in &mut children {
        assert_eq!(child.token().await, "a2");
    }
    assert_eq!(service.calls(), 2, "one refresh for both");
    assert!(service.requests()[1].body.contains("refresh_token=r1"), "{}", service.requests()[1]);
    std::fs::remove_dir_all(folder).unwrap();
}

/// It costs at most one password, whenever that happens, and no refresh token is sent twice.
#[tokio::test]
async fn a_process_that_is_killed_in_the_middle_of_a_refresh_keeps_no_other_from_a_token() {
    for (stop, sent) in [
        ("at the lock", &["password", "r1"][..]),
        ("before the claim", &["password", "r1"]),
        // The others cannot know whether it has sent the refresh token.
        ("after the claim", &["password", "password"]),
        ("before the save", &["password", "r1", "password"]),
        ("after the save", &["password", "r1"]),
    ] {
        let folder =
            std::env::temp_dir().join(format!("gettone-killed-{}-{}", stop.replace(' ', "-"), std::process::id()));
        let file = folder.join("tokens.json").to_str().unwrap().to_owned();
        let pair = |number: u32| Answer::json(200, keliweb::pair(&format!("a{number}"), format!("r{number}")));
        let service = FakeService::answering((1..4).map(pair)).await;
        let url = service.url();
        before(&file, &url).await;
        let mut killed = start(&file, &url, stop);
        killed.says(&["stopped"]).await;
        let mut others = [start(&file, &url, ""), start(&file, &url, "")];
        if stop != "after the save" {
            for other in &mut others {
                other.says(&["waiting"]).await;
            }
        }
        killed.child.kill().await.unwrap();
        for other in &mut others {
            assert_eq!(other.token().await, format!("a{}", sent.len()), "{stop}");
        }
        let requests = service.requests();
        let grants: Vec<_> = requests
            .iter()
            .map(|request| {
                let form = request.form();
                form.into_iter()
                    .find(|(name, _)| name == "refresh_token")
                    .map_or("password".to_owned(), |field| field.1)
            })
            .collect();
        assert_eq!(grants, sent, "{stop}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
