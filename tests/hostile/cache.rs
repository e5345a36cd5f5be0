//! Cached tokens, with a store that loads anything and a service that answers anything.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::keliweb::Fatture;
use gettone::openapi::{v1, v2};
use gettone::store::{Record, Replaced, StoreError, StoredToken, TokenStore, Version};
use gettone::test_transport;
use gettone::{AccessToken, Error, ScopeSet, reqwest};

use super::answers::{Exchange, URL};
use super::secrets::{assert_clean_error, splice};
use super::services::{Http, PLANTED, Setup, keliweb, openapi_v1, openapi_v2, operation};
use super::{block_on, http};

/// The content of a store, the answers of a service, and the time.
#[derive(Debug, Clone, Default)]
pub struct Story<'a> {
    pub service: Service,
    /// Seconds since 1970.
    pub now: u64,
    /// The text of the record under every name.
    pub stored: &'a [u8],
    /// Whether the store fails to save.
    pub broken: bool,
    /// The status, the headers and the body of each answer. The last one repeats.
    pub answers: &'a [Exchange<'a>],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Service {
    #[default]
    Keliweb,
    /// Whether the scopes have a wildcard, and whether the client reuses existing tokens.
    Openapi { wild: bool, reuse: bool },
    /// Version 2: whether the scopes have a wildcard, and whether the client replaces tokens in place of extending them.
    OpenapiV2 { wild: bool, replace: bool },
    /// The client of version 2 without the API key.
    Worker,
}

impl<'a> Story<'a> {
    /// Reads any bytes. The answers are kept in `room`.
    pub fn read(input: &'a [u8], room: &'a mut Vec<Exchange<'a>>) -> Self {
        let (&[flags, now], rest) = input.split_first_chunk().unwrap_or((&[0; 2], input));
        let mut parts = rest.split(|byte| *byte == 0);
        let stored = parts.next().unwrap_or_default();
        *room = parts.map(Exchange::read).take(6).collect();
        let (wild, other) = (flags & 4 != 0, flags & 8 != 0);
        let service = match flags & 3 {
            0 => Service::Keliweb,
            1 => Service::Openapi { wild, reuse: other },
            2 => Service::OpenapiV2 { wild, replace: other },
            _ => Service::Worker,
        };
        let now = NOWS[usize::from(now) % NOWS.len()];
        Self { service, now, stored, broken: flags & 16 != 0, answers: room }
    }

    pub fn write(&self) -> Vec<u8> {
        let flags = match self.service {
            Service::Keliweb => 0,
            Service::Openapi { wild, reuse } => 1 | u8::from(wild) << 2 | u8::from(reuse) << 3,
            Service::OpenapiV2 { wild, replace } => 2 | u8::from(wild) << 2 | u8::from(replace) << 3,
            Service::Worker => 3,
        };
        let now = NOWS.iter().position(|now| *now == self.now).unwrap_or_default();
        let mut bytes = vec![flags | u8::from(self.broken) << 4, now.try_into().unwrap()];
        bytes.extend_from_slice(self.stored);
        for answer in self.answers {
            bytes.push(0);
            bytes.extend(answer.write());
        }
        bytes
    }
}

/// Seconds since 1970: the year 2021, and the limits of several ranges.
pub const NOWS: [u64; 6] = [1_634_169_600, 0, 1, 253_402_300_799, 253_402_300_800, u32::MAX as u64];

/// Lists the secrets in each request of the client.
fn secrets(service: Service) -> Vec<String> {
    PLANTED.sent(operation(match service {
        Service::Keliweb => "password_grant",
        Service::Openapi { .. } => "v1 create_token",
        Service::OpenapiV2 { .. } => "v2 create_token",
        Service::Worker => "refresh_token",
    }))
}

/// Takes a client through its life. Returns how many tokens it returned.
pub fn check(story: &Story<'_>) -> usize {
    let secrets = secrets(story.service);
    let stored = String::from_utf8_lossy(&splice(story.stored, &secrets)).into_owned();
    let mut answers: Vec<_> = story.answers.iter().map(|exchange| exchange.answer(&secrets)).collect();
    if answers.is_empty() {
        answers.push(Exchange { status: 503, ..Exchange::default() }.answer(&secrets));
    }
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let service = move |_: &reqwest::Request| {
        let call = counted.replace(counted.get() + 1);
        // The client must stop.
        assert!(call < 200, "more than 200 requests");
        answers.get(call).or(answers.last()).cloned().expect("there is one")
    };
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(story.now);
    let clock = Arc::new(ManualClock::new(start));
    let store = Hostile(Arc::new(Kept { stored, saved: Mutex::default(), broken: story.broken }));
    let setup = Setup { clock: Arc::clone(&clock) as _, http: Http::Given(http()), ..Setup::new(URL) };
    test_transport::answering(service, || {
        block_on(async {
            match story.service {
                Service::Keliweb => {
                    let builder = keliweb::builder(&PLANTED, &setup).store(store.clone());
                    life(&builder.build().unwrap(), &store, &clock, &secrets).await
                }
                Service::Openapi { wild, reuse } => {
                    let builder = openapi_v1::builder(&PLANTED, &setup).store(store.clone()).reuse_existing(reuse);
                    let oauth = builder.scopes(openapi_v1::set(["GET:127.0.0.1/below"])).build().unwrap();
                    life(&Scoped(oauth, scopes(wild)), &store, &clock, &secrets).await
                }
                Service::OpenapiV2 { wild, replace } => {
                    let renewal = if replace { v2::Renewal::Replace } else { v2::Renewal::Extend };
                    let builder = openapi_v2::builder(&PLANTED, &setup).store(store.clone()).renewal(renewal);
                    let oauth = builder.scopes(openapi_v1::set(["GET:127.0.0.1/below"])).build().unwrap();
                    life(&Scoped(oauth, scopes(wild)), &store, &clock, &secrets).await
                }
                Service::Worker => {
                    let builder = openapi_v2::worker(&PLANTED, &setup).store(store.clone());
                    let worker = builder.scopes(openapi_v1::set(["GET:127.0.0.1/below"])).build().unwrap();
                    life(&worker, &store, &clock, &secrets).await
                }
            }
        })
    })
}

fn scopes(wild: bool) -> ScopeSet {
    let scopes: &[&str] = if wild { &["*:a.it/*"] } else { &["GET:a.it/b", "GET:a.it/c"] };
    ScopeSet::parse(scopes).unwrap()
}

/// The calls that all clients have.
trait Client {
    async fn token(&self) -> Result<AccessToken, Error>;
    async fn authorize(&self, request: &mut reqwest::Request) -> Result<(), Error>;
    async fn end(&self) -> Result<(), Error>;
    fn invalidate(&self, token: &AccessToken);
    async fn wait_idle(&self);
}

/// Defines the calls of a client.
macro_rules! client {
    ($type:ty, |$self:ident| $client:expr, token: $token:expr, end: $end:expr) => {
        impl Client for $type {
            async fn token(&self) -> Result<AccessToken, Error> {
                let $self = self;
                $token.await
            }

            async fn authorize(&self, request: &mut reqwest::Request) -> Result<(), Error> {
                let $self = self;
                $client.authorize(request).await.map(drop)
            }

            async fn end(&self) -> Result<(), Error> {
                let $self = self;
                $end.await
            }

            fn invalidate(&self, token: &AccessToken) {
                let $self = self;
                $client.invalidate(token);
            }

            async fn wait_idle(&self) {
                let $self = self;
                $client.wait_idle().await;
            }
        }
    };
}

/// A client, and the scopes of its token.
struct Scoped<C>(C, ScopeSet);

client!(Fatture, |it| it, token: it.token(), end: it.clear());
client!(v2::RefreshClient, |it| it, token: it.token(), end: async {
    it.wait_idle().await;
    Ok(())
});
client!(Scoped<v1::Oauth>, |it| it.0, token: it.0.token(&it.1), end: async {
    it.0.revoke_created().await?;
    it.0.clear().await
});
client!(Scoped<v2::Oauth>, |it| it.0, token: it.0.token(&it.1), end: async {
    it.0.revoke_created().await?;
    it.0.clear().await
});

async fn life(client: &impl Client, store: &Hostile, clock: &ManualClock, secrets: &[String]) -> usize {
    let mut handed_out = 0;
    let clean = |result: Result<(), Error>| {
        if let Err(error) = result {
            assert_clean_error("a cached token", &error, secrets);
        }
    };
    // Each time later: early in the lifetime of a token, in its last tenth, after it.
    for later in [0, 0, 3_300, 250, 90_000, 4_000_000_000] {
        clock.advance(Duration::from_secs(later));
        let token = client.token().await;
        if let Ok(token) = &token {
            store.assert_lives(token, clock.now());
            handed_out += 1;
        }
        clean(token.clone().map(drop));
        client.wait_idle().await;
        let mut request = http().get(URL).build().unwrap();
        clean(client.authorize(&mut request).await);
        let shown = format!("{request:?}");
        let token = token.map(|token| token.expose().to_owned()).unwrap_or_default();
        assert!(token.len() < 20 || !shown.contains(&token), "{shown}");
        if later == 250 && !token.is_empty() {
            client.invalidate(&AccessToken::new(token));
        }
    }
    clean(client.end().await);
    client.wait_idle().await;
    store.assert_saved_well();
    handed_out
}

fn access_token(stored: &StoredToken) -> String {
    // No value: the other fields may be anything.
    #[derive(serde::Deserialize)]
    struct Token {
        access_token: String,
    }
    serde_json::from_str::<Token>(stored.to_json().expose()).unwrap().access_token
}

/// A store with the same record under every name, which may fail to save.
#[derive(Clone)]
struct Hostile(Arc<Kept>);

struct Kept {
    stored: String,
    saved: Mutex<Vec<StoredToken>>,
    broken: bool,
}

impl std::fmt::Debug for Hostile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hostile")
    }
}

impl Hostile {
    fn stored(&self) -> Result<StoredToken, Error> {
        StoredToken::from_json(&self.0.stored)
    }

    /// Asserts that a returned token is valid, as far as the store knows.
    fn assert_lives(&self, token: &AccessToken, now: SystemTime) {
        let saved = self.0.saved.lock().unwrap();
        let stored = self.stored().ok();
        let known: Vec<&StoredToken> =
            saved.iter().chain(&stored).filter(|known| access_token(known) == token.expose()).collect();
        assert!(!known.is_empty(), "a token that nobody gave");
        assert!(known.iter().any(|known| now < known.expires_at()), "a token that is over at {now:?}: {known:?}");
    }

    /// Asserts that each saved token is read again as the same, to the millisecond.
    fn assert_saved_well(&self) {
        for token in &*self.0.saved.lock().unwrap() {
            let json = token.to_json();
            let again = StoredToken::from_json(json.expose()).unwrap();
            assert_eq!((&again.to_json(), again.expires_at()), (&json, token.expires_at()));
        }
    }
}

impl TokenStore for Hostile {
    async fn load(&self, _: &str) -> Result<Option<Record>, StoreError> {
        match self.0.stored.is_empty() {
            true => Ok(None),
            false => Ok(Some(Record::from_json(Version::of(&self.0.stored), &self.0.stored))),
        }
    }

    async fn replace(&self, _: &str, _: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        self.0.saved.lock().unwrap().push(token.clone());
        if self.0.broken {
            return Err("it cannot be saved".into());
        }
        Ok(Replaced::Done(Version::of(token.to_json().expose())))
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        if self.0.broken { Err("it cannot be removed".into()) } else { Ok(()) }
    }
}
