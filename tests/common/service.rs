//! Openapi.it in a few lines: tokens that are made, listed and deleted, and an endpoint that wants one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gettone::clock::{Clock, ManualClock};
use gettone::openapi::{Credentials, v1::Oauth};
use gettone::{Builder, Scope, ScopeSet};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::raw::read_request;
use super::{API_KEY, EMAIL, http, now, unix, until};

pub struct Service {
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub struct State {
    /// Those that live or lived, the oldest first.
    pub tokens: Vec<Made>,
    /// `METHOD path`, in the order in which they came.
    pub requests: Vec<String>,
    /// The lifetimes that were asked for, also by requests that failed.
    pub asked: Vec<u64>,
    /// What wildcards are expanded to, and what `GET /scopes` says.
    pub catalogue: Vec<Scope>,
    /// What is asked for and not granted.
    pub denied: Vec<String>,
    /// Whether grants repeat patterns as they are, rather than what they come to.
    pub echoes: bool,
    /// So many answers to `POST /token` are lost, after it was carried out.
    pub lost: usize,
    /// So many answers to `POST /token` are a 500, after it was carried out.
    pub broken: usize,
    /// So many requests that begin so are answered with this status, and not carried out.
    pub failing: (usize, &'static str, u16),
    /// What a list of tokens has besides.
    pub odd: Vec<Value>,
    /// Requests `POST /token` wait for a permit, before they count and are carried out.
    pub gate: Option<Arc<Semaphore>>,
    /// How many have come there.
    pub at_gate: usize,
    /// How far the service's clock is ahead.
    pub ahead: u64,
    /// Whether answers tell it.
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

impl Service {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(ManualClock::new(now()));
        let state = Arc::new(Mutex::new(State::default()));
        let (of_server, time) = (Arc::clone(&state), Arc::clone(&clock));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&of_server), Arc::clone(&time)));
            }
        });
        Self { address, clock, state }
    }

    pub fn builder(&self) -> Builder<Oauth> {
        let credentials = Credentials::new(EMAIL, API_KEY);
        let builder = Oauth::builder(credentials).base_url(format!("http://{}", self.address)).http_client(http());
        builder.clock(Arc::clone(&self.clock) as _)
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

    /// From now on no token is made until it is let through.
    pub fn close(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// Until a request has come to the gate.
    pub async fn knocked(&self) {
        until(|| self.state().at_gate != 0).await;
    }

    pub fn hours(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(hours * 3600));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, clock: Arc<ManualClock>) {
    let request = read_request(&mut stream).await;
    let gate = state.lock().unwrap().gate.clone().filter(|_| request.starts_with("POST /token "));
    if let Some(gate) = gate {
        state.lock().unwrap().at_gate += 1;
        gate.acquire().await.unwrap().forget();
    }
    let answer = state.lock().unwrap().answer(&request, unix(clock.now()));
    let Some((status, headers, body)) = answer else { return };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl State {
    /// `None` is no answer at all.
    fn answer(&mut self, request: &str, now: u64) -> Option<(u16, String, String)> {
        let now = now + self.ahead;
        let date = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(now));
        let date = if self.tells_no_date { String::new() } else { format!("date: {date}\r\n") };
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        let mut line = head.split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        self.requests.push(format!("{method} {target}"));
        if method == "POST" {
            self.asked.extend(serde_json::from_str::<Value>(body).ok().and_then(|body| body["ttl"].as_u64()));
        }
        let (failures, begin, status) = self.failing;
        if failures > 0 && format!("{method} {target}").starts_with(begin) {
            self.failing.0 -= 1;
            return Some((status, date, String::new()));
        }
        let (status, body) = match (method, target.split(['/', '?']).collect::<Vec<_>>().as_slice()) {
            ("POST", ["", "token"]) => {
                let made = self.make(body, now);
                if self.lost > 0 {
                    self.lost -= 1;
                    return None;
                }
                if self.broken > 0 {
                    self.broken -= 1;
                    return Some((500, date, String::new()));
                }
                (200, made)
            }
            ("GET", ["", "token"]) => (200, self.list(now, None)),
            ("GET", ["", "token", query]) => {
                let scope = query.strip_prefix("scope=").unwrap_or_default().replace("%3A", ":").replace("%2F", "/");
                (200, self.list(now, Some(&scope)))
            }
            ("DELETE", ["", "token", token]) => match self.tokens.iter().position(|made| made.token == *token) {
                Some(place) => {
                    self.tokens.remove(place);
                    (200, json!({ "message": "1 deleted token", "success": true, "error": null }))
                }
                None => (404, json!({ "message": "Missing Token", "success": false, "error": 150, "data": null })),
            },
            ("GET", ["", "scopes"]) => {
                (200, json!({ "data": self.catalogue, "success": true, "message": "", "error": null }))
            }
            _ => self.serve(head, method, target, now),
        };
        Some((status, date + "content-type: application/json\r\n", body.to_string()))
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
        let shown = |made: &Made| json!({ "scopes": made.scopes, "expire": made.expire, "token": made.token });
        let data: Vec<Value> = self.tokens.iter().filter(wanted).map(shown).chain(self.odd.clone()).collect();
        json!({ "data": data, "success": true, "message": "", "error": null })
    }

    /// An endpoint of the vendor's, on this host.
    fn serve(&self, head: &str, method: &str, target: &str, now: u64) -> (u16, Value) {
        let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
        let segment = target.split(['/', '?']).nth(1).unwrap_or_default();
        let needed: Scope = format!("{method}:127.0.0.1/{segment}").parse().unwrap();
        let good = |made: &&Made| made.token == bearer && made.expire > now && made.scopes.covers(&needed);
        match self.tokens.iter().find(good) {
            Some(made) => (200, json!({ "success": true, "token": made.token })),
            None => (401, json!({ "success": false, "message": "Wrong Token", "error": 125.22 })),
        }
    }
}
