//! One program of a fleet. It reads orders from its input, one a line, and answers on its output.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::emulator::{CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME};
use gettone::keliweb::{Credentials, Fatture};
use gettone::reqwest::redirect::Policy;
use gettone::reqwest::{Client, StatusCode};
use gettone::store::{AnyStore, FileStore};

/// How a program is started, through its environment.
pub const SERVICE: &str = "GETTONE_FLEET_SERVICE";
pub const STORE: &str = "GETTONE_FLEET_STORE";
pub const REPLICAS: &str = "GETTONE_FLEET_REPLICAS";
pub const LOCK_LIFE: &str = "GETTONE_FLEET_LOCK_LIFE";
pub const TIMEOUT: &str = "GETTONE_FLEET_TIMEOUT";
pub const CLIENTS: &str = "GETTONE_FLEET_CLIENTS";

/// When the time of all tests begins.
pub fn beginning() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)
}

struct Program {
    clock: Arc<ManualClock>,
    clients: Vec<Fatture>,
    http: Client,
    service: String,
}

pub fn run() {
    let Ok(service) = std::env::var(SERVICE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let program = Arc::new(runtime.block_on(Program::start(service)));
    println!("\n> 0 ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = line.split(' ').map(str::to_owned);
        let (number, order) = (words.next().unwrap(), words.next().unwrap());
        let count = words.next().map_or(0, |count| count.parse().unwrap());
        if order == "at" {
            let time = beginning() + Duration::from_secs(count);
            program.clock.advance(time.duration_since(program.clock.now()).unwrap_or_default());
        }
        let program = Arc::clone(&program);
        runtime.spawn(async move { println!("\n> {number} {}", program.obey(&order, count).await) });
    }
    // The process that started this one has ended.
    std::process::exit(0);
}

impl Program {
    async fn start(service: String) -> Self {
        let number = |name| std::env::var(name).unwrap().parse::<usize>().unwrap();
        let (clock, store) = (Arc::new(ManualClock::new(beginning())), store().await);
        let http = Client::builder().redirect(Policy::none()).pool_max_idle_per_host(0).no_proxy().build().unwrap();
        let client = |_| {
            Fatture::builder(Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD))
                .base_url(&service)
                .http_client(http.clone())
                .clock(Arc::clone(&clock) as Arc<dyn Clock>)
                .store(store.clone())
                .on_store_failure(|error| println!("\n! {error}"))
                .build()
                .unwrap()
        };
        let clients = (0..number(CLIENTS)).map(client).collect();
        Self { clock, clients, http, service }
    }

    async fn obey(&self, order: &str, count: u64) -> String {
        match order {
            "at" => "done".to_owned(),
            "get" => self.get(count as usize).await,
            "idle" => {
                for client in &self.clients {
                    client.wait_idle().await;
                }
                "done".to_owned()
            }
            "call" => self.call().await.to_string(),
            _ => panic!("{order}"),
        }
    }

    /// So many callers at once, of one client or the other. Returns their tokens.
    async fn get(&self, callers: usize) -> String {
        let clients = self.clients.iter().cycle().take(callers).cloned();
        let calls: Vec<_> = clients.map(|client| tokio::spawn(async move { client.token().await })).collect();
        let mut tokens = BTreeSet::new();
        for call in calls {
            match call.await.unwrap() {
                Ok(token) => tokens.insert(token.expose().to_owned()),
                Err(error) => return format!("failed {error}"),
            };
        }
        tokens.into_iter().fold("tokens".to_owned(), |list, token| list + " " + &token)
    }

    /// One call of the service. Returns its status, 0 if there was none.
    async fn call(&self) -> u16 {
        let client = &self.clients[0];
        let token = client.token().await.unwrap();
        let request = self.http.get(format!("{}/api/invoices", self.service)).header("accept", "application/json");
        let status = request.bearer_auth(token.expose()).send().await.unwrap().status();
        if status == StatusCode::UNAUTHORIZED {
            client.invalidate(&token);
        }
        status.as_u16()
    }
}

/// Opens the store that the environment names: a file, or a server.
async fn store() -> AnyStore {
    let place = std::env::var(STORE).unwrap();
    #[cfg(feature = "redis")]
    if place.contains("://") {
        let number = |name| std::env::var(name).ok().map(|number| number.parse().unwrap());
        let mut builder = gettone::store::RedisStore::builder(place);
        if let Some(life) = number(LOCK_LIFE) {
            builder = builder.lock_times(Duration::from_millis(life), Duration::from_secs(60));
        }
        if let Some(timeout) = number(TIMEOUT) {
            builder = builder.timeout(Duration::from_millis(timeout));
        }
        if let Some(replicas) = number(REPLICAS) {
            builder = builder.replicas(replicas as usize);
        }
        return AnyStore::new(builder.connect().await.unwrap());
    }
    AnyStore::new(FileStore::open(place).await.unwrap())
}
