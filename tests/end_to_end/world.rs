//! A service and a client of it, and everything that can happen to them, in an order that a seed decides.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use gettone::TokenHandle;
use gettone::clock::{Clock, ManualClock, Sleep};
use gettone::emulator::{Api, Emulator, Fault};
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{self, Ttl, v1::Oauth};
use gettone::store::{FileStore, MemoryStore};
use gettone::{AccessToken, Error, ScopeSet, reqwest};

use crate::common::{http, until};
use crate::model::{Now, Seen};

/// Later than any real time, so that code that asks the machine for the time is not right by chance.
const START: u64 = 4_102_444_800;

/// The service's time: it passes like the client's, but does not follow when the client's clock is set.
#[derive(Debug)]
pub struct ServiceTime {
    clock: Arc<ManualClock>,
    began: SystemTime,
    /// How long the client's machine slept, which its monotonic clock does not count.
    slept: Mutex<Duration>,
}

impl ServiceTime {
    pub fn new(clock: &Arc<ManualClock>, began: SystemTime) -> Self {
        Self { clock: Arc::clone(clock), began, slept: Mutex::default() }
    }
}

impl Clock for ServiceTime {
    fn now(&self) -> SystemTime {
        self.began + *self.slept.lock().unwrap() + self.clock.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.slept.lock().unwrap() + self.clock.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Openapi,
    Keliweb,
}

/// The three sets of scopes that tokens are requested for, as bits of what they are valid for.
pub const KEYS: [usize; 3] = [0b01, 0b10, 0b11];

pub enum Client {
    Openapi { oauth: Oauth, sets: [ScopeSet; 3], handles: Vec<TokenHandle> },
    Keliweb(Fatture),
}

#[derive(Debug, Clone)]
enum Kept {
    Nowhere,
    Memory(MemoryStore),
    File(FileStore, std::path::PathBuf),
}

pub struct World {
    pub kind: Kind,
    pub emulator: Emulator,
    pub clock: Arc<ManualClock>,
    pub service: Arc<ServiceTime>,
    pub ttl: i64,
    pub client: Client,
    wildcard: bool,
    kept: Kept,
    /// How many requests were looked at.
    seen: usize,
    /// How many tokens were looked at.
    known: usize,
    /// The planned faults for `POST` of a token, and for `GET` of the list, as the emulator has them.
    faults: [Vec<Fault>; 2],
}

impl World {
    pub async fn new(kind: Kind, rng: &mut Rng) -> Self {
        // The service of the previous schedule ends in its own time.
        idle(0).await;
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(START);
        let clock = Arc::new(ManualClock::new(began + Duration::from_millis(rng.u64(..1000))));
        // The service's clock is right, or hours off either way.
        let skew = if rng.bool() { 0 } else { rng.u64(..6 * 3600) };
        let began = began - Duration::from_secs(3 * 3600 * u64::from(skew > 0)) + Duration::from_secs(skew);
        let service = Arc::new(ServiceTime::new(&clock, began));
        let builder = Emulator::builder().clock(Arc::clone(&service) as _).throttle(None);
        let emulator = builder.start().await.unwrap();
        let kept = match rng.u8(..8) {
            0 => {
                // The other service's test uses the same seeds at the same time.
                let name = format!("gettone-end-to-end-{kind:?}-{}-{}", std::process::id(), rng.u64(..));
                let path = std::env::temp_dir().join(name);
                Kept::File(FileStore::open(path.join("tokens.json")).await.unwrap(), path)
            }
            1..4 => Kept::Memory(MemoryStore::new()),
            _ => Kept::Nowhere,
        };
        let ttl = match kind {
            Kind::Keliweb => 3600,
            Kind::Openapi => [60, 600, 3600, 86_400, 2_592_000][rng.usize(..5)],
        };
        let wildcard = rng.bool();
        let client = client(kind, &emulator, &clock, &kept, ttl, wildcard);
        let (seen, known, faults) = (0, 0, [Vec::new(), Vec::new()]);
        Self { kind, emulator, clock, service, ttl: ttl.into(), client, wildcard, kept, seen, known, faults }
    }

    pub fn now(&self) -> Now {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(START);
        let since = |moment: SystemTime| match moment.duration_since(start) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap(),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap(),
        };
        let mono = i64::try_from(self.clock.monotonic().as_millis()).unwrap();
        Now { mono, wall: since(self.clock.now()), service: since(self.service.now()) }
    }

    pub fn has_store(&self) -> bool {
        !matches!(self.kept, Kept::Nowhere)
    }

    pub fn keys(&self) -> &'static [usize] {
        if self.kind == Kind::Openapi { &KEYS } else { &KEYS[..1] }
    }

    /// Advances all clocks.
    pub fn advance(&self, milliseconds: i64) {
        self.clock.advance(Duration::from_millis(milliseconds.unsigned_abs()));
    }

    /// Puts the client's machine to sleep: its monotonic clock stands still.
    pub fn sleep(&self, milliseconds: i64) {
        let slept = Duration::from_millis(milliseconds.unsigned_abs());
        self.clock.set(self.clock.now() + slept);
        *self.service.slept.lock().unwrap() += slept;
    }

    /// Sets the client's clock forward or back.
    pub fn correct(&self, milliseconds: i64) {
        let by = Duration::from_millis(milliseconds.unsigned_abs());
        self.clock.set(if milliseconds < 0 { self.clock.now() - by } else { self.clock.now() + by });
    }

    /// Drops the client, and starts another.
    pub fn restart(&mut self) {
        let ttl = self.ttl.try_into().unwrap();
        self.client = client(self.kind, &self.emulator, &self.clock, &self.kept, ttl, self.wildcard);
    }

    /// Plans a fault for requests for a token, or for the list of tokens.
    pub fn fail(&mut self, lists: bool, times: usize, fault: Fault) {
        let on = match (self.kind, lists) {
            (Kind::Keliweb, _) => "POST /oauth/token",
            (Kind::Openapi, false) => "POST /token",
            (Kind::Openapi, true) => "GET /token",
        };
        self.emulator.fail_next_on(times, on, fault);
        let queue = &mut self.faults[usize::from(lists && self.kind == Kind::Openapi)];
        queue.extend(std::iter::repeat_n(fault, times));
    }

    pub fn clear_faults(&mut self) {
        self.emulator.clear_faults();
        self.faults = [Vec::new(), Vec::new()];
    }

    /// Waits until neither the client nor the service has a task left.
    pub async fn settle(&self) {
        // All but the task that listens.
        idle(1).await;
    }

    /// Returns what the service has received and issued since the last look.
    pub fn look(&mut self) -> Seen {
        let requests = self.emulator.requests();
        let mut seen = Seen::default();
        for request in &requests[self.seen..] {
            let list = match request.operation {
                "create_token" | "password_grant" | "refresh" => false,
                "list_tokens" => true,
                _ => continue,
            };
            let queue = &mut self.faults[usize::from(list)];
            let fault = (!queue.is_empty()).then(|| queue.remove(0));
            seen.add(request.operation, request.status, fault);
        }
        self.seen = requests.len();
        let tokens = self.emulator.tokens();
        seen.issued = tokens[self.known..].to_vec();
        self.known = tokens.len();
        seen
    }

    pub fn is_alive(&self, token: &str) -> bool {
        self.emulator.tokens().iter().any(|issued| issued.token.expose() == token && issued.is_valid)
    }

    pub fn alive(&self) -> Vec<gettone::Secret> {
        self.emulator.tokens().into_iter().filter(|issued| issued.is_valid).map(|issued| issued.token).collect()
    }

    pub fn living(&self) -> usize {
        self.emulator.count_valid_tokens(if self.kind == Kind::Openapi { Api::Production } else { Api::Keliweb })
    }

    /// Requests a token, in one of three ways.
    pub async fn token(&self, key: usize, way: u8) -> Result<AccessToken, Error> {
        match &self.client {
            Client::Keliweb(fatture) if way == 0 => {
                let mut request = reqwest::Client::get(&http(), self.emulator.url("/api/x")).build().unwrap();
                fatture.authorize(&mut request).await?;
                Ok(bearer(&request))
            }
            Client::Keliweb(fatture) => fatture.token().await,
            Client::Openapi { oauth, sets, handles } => match (way, key) {
                (0, 0b01 | 0b10) => {
                    let method = if key == 0b01 { reqwest::Method::GET } else { reqwest::Method::POST };
                    let mut request = http().request(method, self.emulator.url("/echo/x")).build().unwrap();
                    oauth.authorize(&mut request).await?;
                    Ok(bearer(&request))
                }
                (1, _) => oauth.token(&sets[key - 1]).await,
                _ => handles[key - 1].get().await,
            },
        }
    }

    pub fn invalidate(&self, token: &AccessToken) {
        match &self.client {
            Client::Keliweb(fatture) => fatture.invalidate(token),
            Client::Openapi { oauth, .. } => oauth.invalidate(token),
        }
    }

    pub async fn clear(&self) -> Result<(), Error> {
        match &self.client {
            Client::Keliweb(fatture) => fatture.clear().await,
            Client::Openapi { oauth, .. } => oauth.clear().await,
        }
    }

    /// Calls an endpoint that the token is for.
    pub async fn call(&self, key: usize, token: &AccessToken) -> u16 {
        let path = if self.kind == Kind::Openapi { "/echo/x" } else { "/api/x" };
        let method = if key == 0b10 { reqwest::Method::POST } else { reqwest::Method::GET };
        let request = http().request(method, self.emulator.url(path)).header("accept", "application/json");
        request.bearer_auth(token.expose()).send().await.unwrap().status().as_u16()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Kept::File(_, path) = &self.kept {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Waits until no more than so many tasks are alive. Clients keep no connections, so that those tasks end too.
async fn idle(tasks: usize) {
    until(|| tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks).await;
}

fn bearer(request: &reqwest::Request) -> AccessToken {
    let value = request.headers()[reqwest::header::AUTHORIZATION].to_str().unwrap();
    AccessToken::new(value.strip_prefix("Bearer ").unwrap())
}

pub fn sets(wildcard: bool) -> [ScopeSet; 3] {
    let both: &[&str] = if wildcard { &["*:127.0.0.1/echo"] } else { &["GET:127.0.0.1/echo", "POST:127.0.0.1/echo"] };
    [&["GET:127.0.0.1/echo"], &["POST:127.0.0.1/echo"], both].map(|set| ScopeSet::parse(set.iter().copied()).unwrap())
}

pub fn oauth(emulator: &Emulator) -> gettone::Builder<Oauth> {
    let account = emulator.account();
    let credentials = openapi::Credentials::new(account.email(), account.production_key().clone());
    Oauth::builder(credentials).base_url(emulator.production_url()).http_client(http())
}

pub fn fatture(emulator: &Emulator) -> gettone::Builder<Fatture> {
    let customer = emulator.customer();
    let (id, secret) = (customer.client_id(), customer.client_secret().clone());
    let credentials = keliweb::Credentials::new(id, secret, customer.username(), customer.password().clone());
    Fatture::builder(credentials).base_url(emulator.url("/keliweb")).http_client(http())
}

fn client(kind: Kind, emulator: &Emulator, clock: &Arc<ManualClock>, kept: &Kept, ttl: u32, wildcard: bool) -> Client {
    let clock = Arc::clone(clock) as _;
    if kind == Kind::Keliweb {
        let builder = fatture(emulator).clock(clock);
        let builder = match kept {
            Kept::Nowhere => builder,
            Kept::Memory(store) => builder.store(store.clone()),
            Kept::File(store, _) => builder.store(store.clone()),
        };
        return Client::Keliweb(builder.build().unwrap());
    }
    let allowed = ScopeSet::parse(["GET:127.0.0.1/echo", "POST:127.0.0.1/echo"]).unwrap();
    let builder = oauth(emulator).clock(clock).ttl(Ttl::seconds(ttl).unwrap()).scopes(allowed);
    let builder = match kept {
        Kept::Nowhere => builder,
        Kept::Memory(store) => builder.store(store.clone()),
        Kept::File(store, _) => builder.store(store.clone()),
    };
    let (oauth, sets) = (builder.build().unwrap(), sets(wildcard));
    let handles = sets.iter().map(|scopes| oauth.token_for(scopes)).collect();
    Client::Openapi { oauth, sets, handles }
}
