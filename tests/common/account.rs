//! An account at version 1 of Openapi.it Oauth in a few lines: it creates, lists and deletes tokens, and has an endpoint that requires one. It
//! can do what the emulator does not: carry out a request and then report a failure, hold a request back, and let a test add and remove tokens.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gettone::clock::{Clock, ManualClock};
use gettone::openapi::v1::Oauth;
use gettone::{Builder, Scope, ScopeSet};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::fake::{Answer, Do, FakeService, Handler, Received};
use super::services::openapi_v1;
use super::{http, now, oauth, unix, until};

pub struct FakeAccount {
    pub clock: Arc<ManualClock>,
    state: Arc<Mutex<State>>,
    service: FakeService,
}

#[derive(Default)]
pub struct State {
    /// The tokens that were created and not deleted, the oldest first.
    pub tokens: Vec<Made>,
    /// `METHOD path`, in the order of arrival.
    pub requests: Vec<String>,
    /// The requested lifetimes, also of requests that failed.
    pub asked: Vec<u64>,
    /// What wildcards are expanded to, and what `GET /scopes` answers.
    pub catalogue: Vec<Scope>,
    /// Scopes that are never granted.
    pub denied: Vec<String>,
    /// Whether grants repeat patterns as they are, rather than expand them.
    pub echoes: bool,
    /// How many responses to `POST /token` are lost, after the token was created.
    pub lost: usize,
    /// How many responses to `POST /token` are a 500, after the token was created.
    pub broken: usize,
    /// How many requests that begin with this text are answered with this status, and not carried out.
    pub failing: (usize, &'static str, u16),
    /// Further entries of a list of tokens.
    pub odd: Vec<Value>,
    /// Where requests `POST /token` wait for a permit, before they count and are carried out.
    pub gate: Option<Arc<Semaphore>>,
    /// How many requests have come to the gate.
    pub at_gate: usize,
    /// By how many seconds the service's clock is ahead.
    pub ahead: u64,
    /// Whether answers have no date.
    pub tells_no_date: bool,
    counter: usize,
}

#[derive(Clone)]
pub struct Made {
    pub token: String,
    pub scopes: ScopeSet,
    pub expire: u64,
    pub ttl: u64,
}

impl FakeAccount {
    pub async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(now()));
        let state = Arc::new(Mutex::new(State::default()));
        let (of_server, time) = (Arc::clone(&state), Arc::clone(&clock));
        let handler = Handler::new(move |request| answer(request, Arc::clone(&of_server), Arc::clone(&time)));
        Self { clock, state, service: FakeService::new([Do::Serve(handler)]).await }
    }

    pub fn url(&self) -> String {
        self.service.url()
    }

    pub fn builder(&self) -> Builder<Oauth> {
        oauth(&self.url()).http_client(http()).clock(Arc::clone(&self.clock) as _)
    }

    pub fn oauth(&self) -> Oauth {
        self.builder().build().unwrap()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    pub fn count(&self, request: &str) -> usize {
        self.state().requests.iter().filter(|known| *known == request).count()
    }

    /// Holds requests for a token back until they get a permit.
    pub fn close(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// Waits until a request has come to the gate.
    pub async fn knocked(&self) {
        until(|| self.state().at_gate != 0).await;
    }

    pub fn hours(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(hours * 3600));
    }
}

async fn answer(request: Received, state: Arc<Mutex<State>>, clock: Arc<ManualClock>) -> Option<Answer> {
    let gate = state.lock().unwrap().gate.clone().filter(|_| request.starts_with("POST /token "));
    if let Some(gate) = gate {
        state.lock().unwrap().at_gate += 1;
        gate.acquire().await.unwrap().forget();
    }
    state.lock().unwrap().answer(&request, unix(clock.now()))
}

impl State {
    /// `None` is no answer at all.
    fn answer(&mut self, request: &Received, now: u64) -> Option<Answer> {
        let now = now + self.ahead;
        let date = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        let tells_no_date = self.tells_no_date;
        let dated = |answer: Answer| if tells_no_date { answer } else { answer.header("date", &date) };
        let asked = format!("{} {}", request.method, request.target);
        self.requests.push(asked.clone());
        if request.method == "POST" {
            let body = serde_json::from_str::<Value>(&request.body).ok();
            self.asked.extend(body.and_then(|body| body["ttl"].as_u64()));
        }
        let (failures, begin, status) = self.failing;
        if failures > 0 && asked.starts_with(begin) {
            self.failing.0 -= 1;
            return Some(dated(Answer::empty(status)));
        }
        let answer = match (&*request.method, request.target.split(['/', '?']).collect::<Vec<_>>().as_slice()) {
            ("POST", ["", "token"]) => {
                let made = self.make(&request.body, now);
                if self.lost > 0 {
                    self.lost -= 1;
                    return None;
                }
                if self.broken > 0 {
                    self.broken -= 1;
                    return Some(dated(Answer::empty(500)));
                }
                Answer::json(200, made)
            }
            ("GET", ["", "token"]) => Answer::json(200, self.list(now, None)),
            ("GET", ["", "token", query]) => {
                let scope = query.strip_prefix("scope=").unwrap_or_default().replace("%3A", ":").replace("%2F", "/");
                Answer::json(200, self.list(now, Some(&scope)))
            }
            // Its answer is always lost.
            ("PUT", ["", "token", token]) => {
                let body: Value = serde_json::from_str(&request.body).unwrap();
                let changed = self.tokens.iter_mut().find(|made| made.token == *token).unwrap();
                changed.expire = body["expire"].as_u64().unwrap();
                return None;
            }
            ("DELETE", ["", "token", token]) => match self.tokens.iter().position(|made| made.token == *token) {
                Some(place) => {
                    self.tokens.remove(place);
                    Answer::json(200, json!({ "message": "1 deleted token", "success": true, "error": null }))
                }
                None => {
                    let body = json!({ "message": "Missing Token", "success": false, "error": 150, "data": null });
                    Answer::json(404, body)
                }
            },
            ("GET", ["", "scopes"]) => Answer::json(200, enveloped(json!(self.catalogue))),
            _ => self.serve(request, now),
        };
        Some(dated(answer))
    }

    fn make(&mut self, body: &str, now: u64) -> Value {
        let body: Value = serde_json::from_str(body).unwrap();
        let asked: ScopeSet = serde_json::from_value(body["scopes"].clone()).unwrap();
        let ttl = body["ttl"].as_u64().unwrap();
        let concrete = asked.iter().filter(|pattern| self.echoes || !pattern.has_wildcard()).cloned();
        let expanded = asked.expand(&self.catalogue).filter(|_| !self.echoes).map(Into::into);
        let granted = concrete.chain(expanded).filter(|scope| !self.denied.contains(&scope.to_string()));
        self.counter += 1;
        let made = Made { token: format!("t{}", self.counter), scopes: granted.collect(), expire: now + ttl, ttl };
        self.tokens.push(made.clone());
        json!({ "scopes": made.scopes, "expire": made.expire, "token": made.token, "success": true, "message": "", "error": null })
    }

    fn list(&self, now: u64, scope: Option<&str>) -> Value {
        let wanted =
            |made: &&Made| made.expire > now && scope.is_none_or(|scope| made.scopes.covers(&scope.parse().unwrap()));
        enveloped(self.tokens.iter().filter(wanted).map(Made::written).chain(self.odd.clone()).collect())
    }

    /// An endpoint of the vendor's, on this host.
    fn serve(&self, request: &Received, now: u64) -> Answer {
        let header = request.header("authorization").unwrap_or_default();
        let bearer = header.strip_prefix("Bearer ").unwrap_or_default();
        let segment = request.target.split(['/', '?']).nth(1).unwrap_or_default();
        let needed: Scope = format!("{}:127.0.0.1/{segment}", request.method).parse().unwrap();
        let good = |made: &&Made| made.token == bearer && made.expire > now && made.scopes.covers(&needed);
        match self.tokens.iter().find(good) {
            Some(made) => Answer::json(200, json!({ "success": true, "token": made.token })),
            None => Answer::json(401, json!({ "success": false, "message": "Wrong Token", "error": 125.22 })),
        }
    }
}

impl Made {
    fn written(&self) -> Value {
        openapi_v1::token(&*self.token, &self.scopes, self.expire)
    }
}

fn enveloped(data: Value) -> Value {
    json!({ "data": data, "success": true, "message": "", "error": null })
}
