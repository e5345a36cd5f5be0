//! An account at version 2 of Openapi.it Oauth in a few lines: it creates, lists, changes, refreshes and deletes tokens, and has an endpoint that
//! requires one. It can do what the emulator does not: carry out a request and lose the response, hold a response back, list a token late, and
//! let a test add and remove tokens.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::openapi::Credentials;
use gettone::openapi::v2::{Oauth, RefreshClient, RefreshCredentials};
use gettone::{Builder, Scope, reqwest};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::common::fake::{Answer, Do, FakeService, Handler, Received};
use crate::common::{API_KEY, BASIC, EMAIL, http, iso, now, unix, until};

pub struct FakeAccount {
    pub clock: Arc<ManualClock>,
    state: Arc<Mutex<State>>,
    service: FakeService,
}

#[derive(Default)]
pub struct State {
    /// The tokens that were created and not deleted, the oldest first.
    pub tokens: Vec<Made>,
    pub asked: Vec<Asked>,
    /// What `GET /scopes` lists, and whether the account may use it.
    pub catalog: Vec<(Scope, bool)>,
    /// Scopes that are never granted.
    pub denied: Vec<&'static str>,
    /// Planned for the next requests that begin with these texts.
    pub faults: Vec<(&'static str, Fault)>,
    /// What happens to each request that begins with this text.
    pub always: Option<(&'static str, Fault)>,
    pub patching: Patching,
    /// How many seconds after its creation a token is listed.
    pub lag: u64,
    /// Fields that no token in a response has.
    pub omits: Vec<&'static str>,
    /// Whether a token in a response is in `data`.
    pub wraps: bool,
    /// Further entries of each list of tokens.
    pub odd: Vec<Value>,
    /// Whether a list without tokens is a 404.
    pub empty_is_missing: bool,
    /// By how many seconds the service's clock is ahead.
    pub ahead: u64,
    /// Where requests wait for a permit.
    pub gate: Option<Gate>,
    /// Tokens that the endpoint rejects.
    pub rejected: Vec<String>,
    /// How many requests were carried out without their response.
    pub lost: usize,
    /// `PATCH` and `DELETE` of a program for a token that another one created.
    pub strayed: Vec<String>,
    /// The refresh tokens whose successors a client has received.
    answered: Vec<String>,
    /// The spent refresh tokens that were sent again.
    pub resent: Vec<String>,
    /// How many refreshes the service is carrying out now, and the most that it carried out at once.
    refreshing: (usize, usize),
    counter: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub token: String,
    pub refresh_token: String,
    pub name: Option<String>,
    pub scopes: Vec<String>,
    pub limits: Value,
    pub ttl: u64,
    pub created: u64,
    pub expire: u64,
    pub listed_from: u64,
    /// The first word of `User-Agent`.
    pub by: String,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `METHOD path`
    pub line: String,
    pub by: String,
    pub authorization: String,
    pub body: Value,
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the request is carried out.
    LostRequest,
    /// The connection breaks after the request was carried out.
    LostResponse,
    /// The response to a request that was carried out breaks off.
    Truncated,
    /// The response to a request that was carried out is a 500.
    Broken,
    /// The response to a request that was carried out is not the documented one.
    Undecodable,
    /// The request is not carried out, and the response has no content.
    Status(u16),
    /// The request is not carried out, and the response has this status and code.
    Code(u16, u16),
    /// The request is not carried out, and the response has this code under a status of success.
    Hidden(u16),
    /// A 429 with `Retry-After`.
    Throttled(u64),
    /// A 400 whose message repeats the request's path and its `Authorization`.
    Echo,
}

impl Fault {
    fn carries_out(self) -> bool {
        matches!(self, Self::LostResponse | Self::Truncated | Self::Broken | Self::Undecodable)
    }
}

/// What `PATCH` with the API key does to a token.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Patching {
    #[default]
    Keeps,
    /// The token gets another text.
    Renames,
    /// The lifetime stays as it was.
    DoesNotExtend,
}

#[derive(Clone)]
pub struct Gate {
    begin: &'static str,
    /// Whether requests wait when they have been carried out.
    is_after: bool,
    permits: Arc<Semaphore>,
    /// How many requests have come to the gate.
    arrived: usize,
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
        let builder = Oauth::builder(Credentials::new(EMAIL, API_KEY)).base_url(self.url()).http_client(http());
        builder.clock(Arc::clone(&self.clock) as _)
    }

    pub fn oauth(&self) -> Oauth {
        self.builder().build().unwrap()
    }

    pub fn worker(&self, credentials: RefreshCredentials) -> Builder<RefreshClient> {
        let builder = RefreshClient::builder(credentials).base_url(self.url()).http_client(http());
        builder.clock(Arc::clone(&self.clock) as _)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Forgets everything but the time, and how many tokens there were.
    pub fn reset(&self) {
        let mut state = self.state();
        *state = State { counter: state.counter, ..State::default() };
    }

    /// Returns the requests as `METHOD path`, and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked).into_iter().map(|asked| asked.line).collect()
    }

    pub fn requests(&self) -> Vec<String> {
        self.state().asked.iter().map(|asked| asked.line.clone()).collect()
    }

    /// Returns how many requests begin with a text.
    pub fn count(&self, begin: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.line.starts_with(begin)).count()
    }

    /// Returns the bodies of the requests that begin with a text.
    pub fn bodies(&self, begin: &str) -> Vec<Value> {
        let asked = &self.state().asked;
        asked.iter().filter(|asked| asked.line.starts_with(begin)).map(|asked| asked.body.clone()).collect()
    }

    /// Returns the unexpired tokens.
    pub fn living(&self) -> Vec<String> {
        let now = self.service_time();
        self.state().tokens.iter().filter(|made| made.expire > now).map(|made| made.token.clone()).collect()
    }

    pub fn service_time(&self) -> u64 {
        unix(self.clock.now()) + self.state().ahead
    }

    pub fn fail(&self, begin: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults.into_iter().map(|fault| (begin, fault)));
    }

    /// Holds requests back that begin with a text, until they get a permit.
    pub fn hold(&self, begin: &'static str, is_after: bool) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Gate { begin, is_after, permits: Arc::clone(&permits), arrived: 0 });
        permits
    }

    /// Waits until so many requests have come to the gate.
    pub async fn arrived(&self, times: usize) {
        until(|| self.state().gate.as_ref().is_some_and(|gate| gate.arrived >= times)).await;
    }

    /// Adds a token that somebody else created.
    pub fn put(&self, token: &str, name: Option<&str>, scopes: &[&str], ttl: u64) {
        let now = self.service_time();
        self.state().tokens.push(Made {
            token: token.to_owned(),
            refresh_token: format!("refresh-of-{token}"),
            name: name.map(str::to_owned),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            limits: json!({}),
            ttl,
            created: now,
            expire: now + ttl,
            listed_from: now,
            by: "somebody".to_owned(),
        });
    }

    pub fn seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn hours(&self, hours: u64) {
        self.seconds(hours * 3600);
    }

    /// Returns how many refreshes were carried out at the same time at most.
    pub fn refreshed_together(&self) -> usize {
        self.state().refreshing.1
    }
}

/// A client that keeps connections, for thousands of requests in one runtime.
pub fn keeping_http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

async fn answer(request: Received, state: Arc<Mutex<State>>, clock: Arc<ManualClock>) -> Option<Answer> {
    let line = format!("{} {}", request.method, request.target);
    let is_refresh = line.starts_with("PATCH") && request.header("authorization").is_some_and(is_bearer);
    if is_refresh {
        let mut state = state.lock().unwrap();
        let (now, most) = state.refreshing;
        state.refreshing = (now + 1, most.max(now + 1));
    }
    wait_at(&state, &line, false).await;
    let answer = state.lock().unwrap().answer(&request, &line, unix(clock.now()));
    wait_at(&state, &line, true).await;
    if is_refresh {
        state.lock().unwrap().refreshing.0 -= 1;
    }
    answer
}

fn is_bearer(header: &str) -> bool {
    header.starts_with("Bearer ")
}

async fn wait_at(state: &Mutex<State>, line: &str, is_after: bool) {
    let permits = {
        let mut state = state.lock().unwrap();
        let gate = state.gate.as_mut().filter(|gate| gate.is_after == is_after && line.starts_with(gate.begin));
        gate.map(|gate| {
            gate.arrived += 1;
            Arc::clone(&gate.permits)
        })
    };
    if let Some(permits) = permits {
        permits.acquire().await.unwrap().forget();
    }
}

impl State {
    /// `None` is no answer at all.
    fn answer(&mut self, request: &Received, line: &str, now: u64) -> Option<Answer> {
        let now = now + self.ahead;
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let by = header("user-agent").split(' ').next().unwrap().to_owned();
        let body = serde_json::from_str(&request.body).unwrap_or_default();
        let planned = self.faults.iter().position(|(begin, _)| line.starts_with(begin));
        let always = self.always.filter(|(begin, _)| line.starts_with(begin)).map(|(_, fault)| fault);
        let fault = planned.map(|place| self.faults.remove(place).1).or(always);
        let (line, authorization) = (line.to_owned(), header("authorization"));
        let asked = Asked { line, by, authorization, body, fault };
        self.asked.push(asked.clone());
        self.lost += usize::from(fault.is_some_and(Fault::carries_out));
        let answer = match fault {
            Some(fault) if !fault.carries_out() => None,
            _ => Some(self.carry_out(&asked, now)),
        };
        let answer = match fault {
            None => answer?,
            Some(Fault::LostRequest | Fault::LostResponse) => return None,
            // No chunk has such a length.
            Some(Fault::Truncated) => Answer::json(200, "zz\r\n").header("transfer-encoding", "chunked"),
            Some(Fault::Broken) => Answer::empty(500),
            Some(Fault::Undecodable) => Answer::json(200, json!({ "success": true, "data": { "name": "x" } })),
            Some(Fault::Status(status)) => Answer::empty(status),
            Some(Fault::Code(status, code)) => failure(status, code),
            Some(Fault::Hidden(code)) => failure(200, code),
            Some(Fault::Echo) => {
                let message = format!("no {} for {}", asked.line, asked.authorization);
                Answer::json(400, json!({ "success": false, "message": message, "error": message, "data": null }))
            }
            Some(Fault::Throttled(seconds)) => Answer::empty(429).header("retry-after", &seconds.to_string()),
        };
        Some(answer.header("date", &date))
    }

    fn carry_out(&mut self, asked: &Asked, now: u64) -> Answer {
        let (method, target) = asked.line.split_once(' ').unwrap();
        let path = target.split('?').next().unwrap();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let is_managed = matches!(segments[0], "tokens" | "scopes");
        let is_refresh = method == "PATCH" && is_bearer(&asked.authorization);
        if is_managed && !is_refresh && asked.authorization != BASIC {
            return failure(401, 140);
        }
        if matches!(method, "PATCH" | "DELETE") && !is_refresh {
            let other = self.tokens.iter().find(|made| made.token == segments[1] && made.by != asked.by);
            self.strayed.extend(other.map(|made| format!("{} {} of {}", asked.by, asked.line, made.by)));
        }
        match (method, segments.as_slice()) {
            ("POST", ["tokens"]) => self.make(asked, now),
            ("GET", ["tokens"]) => self.list(target, now),
            ("GET", ["tokens", token]) => match self.place(token, now) {
                Some(place) => self.written(&self.tokens[place]),
                None => failure(404, 120),
            },
            ("PATCH", ["tokens", token]) => self.change(asked, token, now),
            ("DELETE", ["tokens", token]) => match self.place(token, now) {
                Some(place) => {
                    self.tokens.remove(place);
                    Answer::json(200, json!({ "message": "Deleted", "data": null }))
                }
                None => failure(404, 180),
            },
            ("GET", ["scopes"]) => {
                let entry = |(scope, enabled): &(Scope, bool)| json!({ "scope": scope, "enabled": enabled });
                Answer::json(200, json!({ "data": self.catalog.iter().map(entry).collect::<Vec<_>>() }))
            }
            _ => self.serve(asked, method, segments[0], now),
        }
    }

    fn place(&self, token: &str, now: u64) -> Option<usize> {
        self.tokens.iter().position(|made| made.token == token && made.expire > now)
    }

    fn make(&mut self, asked: &Asked, now: u64) -> Answer {
        let Asked { body, by, .. } = asked;
        let scopes: Vec<String> = serde_json::from_value(body["scopes"].clone()).unwrap_or_default();
        if scopes.is_empty() {
            return failure(422, 70);
        }
        if scopes.iter().any(|scope| scope.contains('*')) {
            return failure(422, 80);
        }
        let ttl = body["ttl"].as_u64().unwrap();
        self.counter += 1;
        let made = Made {
            token: format!("t{}", self.counter),
            refresh_token: format!("r{}", self.counter),
            name: body["name"].as_str().map(str::to_owned),
            scopes: scopes.into_iter().filter(|scope| !self.denied.contains(&scope.as_str())).collect(),
            limits: body.get("limits").cloned().unwrap_or(json!({})),
            ttl,
            created: now,
            expire: now + ttl,
            listed_from: now + self.lag,
            by: by.clone(),
        };
        self.tokens.push(made.clone());
        self.written(&made)
    }

    fn change(&mut self, asked: &Asked, token: &str, now: u64) -> Answer {
        let bearer = asked.authorization.strip_prefix("Bearer ");
        self.resent
            .extend(bearer.filter(|bearer| self.answered.iter().any(|known| known == bearer)).map(str::to_owned));
        let Some(place) = self.place(token, now) else { return failure(404, 160) };
        let mut made = self.tokens[place].clone();
        let mut is_renamed = self.patching == Patching::Renames;
        if let Some(refresh_token) = bearer {
            if made.refresh_token != refresh_token {
                return failure(401, 130);
            }
            // Nothing else goes with a refresh.
            assert_eq!(asked.body, json!({}));
            (is_renamed, made.expire) = (true, now + made.ttl);
            self.answered.extend(asked.fault.is_none().then(|| refresh_token.to_owned()));
        }
        if let Some(ttl) = asked.body["ttl"].as_u64()
            && self.patching != Patching::DoesNotExtend
        {
            (made.ttl, made.expire) = (ttl, now + ttl);
        }
        if let Some(scopes) = asked.body.get("scopes") {
            made.scopes = serde_json::from_value(scopes.clone()).unwrap();
        }
        if let Some(name) = asked.body["name"].as_str() {
            made.name = Some(name.to_owned());
        }
        if is_renamed {
            self.counter += 1;
            (made.token, made.refresh_token) = (format!("t{}", self.counter), format!("r{}", self.counter));
        }
        self.tokens[place] = made.clone();
        self.written(&made)
    }

    fn list(&self, target: &str, now: u64) -> Answer {
        let query = |name: &str| {
            let pairs = target.split_once('?').map_or("", |(_, query)| query).split('&');
            pairs.filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)
        };
        let number = |name, default| query(name).map_or(default, |(_, value)| value.parse::<usize>().unwrap());
        let listed = self.tokens.iter().filter(|made| made.expire > now && made.listed_from <= now);
        let listed = listed.map(|made| self.fields(made)).chain(self.odd.iter().cloned());
        let page: Vec<Value> = listed.skip(number("skip", 0)).take(number("limit", 100)).collect();
        if page.is_empty() && self.empty_is_missing {
            failure(404, 120)
        } else {
            Answer::json(200, json!({ "data": page }))
        }
    }

    /// An endpoint of the vendor's, on this host.
    fn serve(&self, asked: &Asked, method: &str, segment: &str, now: u64) -> Answer {
        let bearer = asked.authorization.strip_prefix("Bearer ").unwrap_or_default();
        let needed = format!("{method}:127.0.0.1/{segment}");
        let is_good = |made: &&Made| made.token == bearer && made.expire > now && made.scopes.contains(&needed);
        let is_accepted = |made: &&Made| is_good(made) && !self.rejected.contains(&made.token);
        match self.tokens.iter().find(is_accepted) {
            Some(made) => Answer::json(200, json!({ "success": true, "token": made.token })),
            None => Answer::json(401, json!({ "success": false, "message": "Unauthorized", "error": 125 })),
        }
    }

    fn fields(&self, made: &Made) -> Value {
        let written = |seconds| iso(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let mut value = json!({
            "token": made.token,
            "name": made.name,
            "createdAt": written(made.created),
            "expireAt": written(made.expire),
            "scopes": made.scopes,
            "refreshToken": made.refresh_token,
            "limits": made.limits,
        });
        self.omits.iter().for_each(|name| drop(value.as_object_mut().unwrap().remove(*name)));
        value
    }

    fn written(&self, made: &Made) -> Answer {
        let fields = self.fields(made);
        let wrapped = || json!({ "data": fields, "success": true, "message": "", "error": null });
        Answer::json(200, if self.wraps { wrapped() } else { fields.clone() })
    }
}

fn failure(status: u16, code: u16) -> Answer {
    Answer::json(status, json!({ "success": false, "message": "Not Found", "error": code, "data": null }))
}
