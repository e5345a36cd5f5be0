//! All that the emulator keeps, and which room a request goes to.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::clock::moment;
use super::config::Config;
use super::fault::{Fault, Faults};
use super::message::{Answer, Request};
use super::oauth::{Environment, Ledger, failure};
use super::passport::Tokens;
use super::record::{Issued, Part, Record, Recorded};
use super::{echo, oauth, passport};
use crate::{ScopeSet, Secret};

/// The paths below which the three services are.
pub(super) const PRODUCTION: &str = "/production";
pub(super) const SANDBOX: &str = "/sandbox";
pub(super) const KELIWEB: &str = "/keliweb";

pub(super) struct State {
    config: Config,
    base: String,
    pub(super) production: Environment,
    pub(super) sandbox: Environment,
    pub(super) keliweb: Tokens,
    pub(super) faults: Faults,
    pub(super) latency: Duration,
    pub(super) activation_delay: Duration,
    /// Nothing but what these cover is granted.
    pub(super) granted: Option<ScopeSet>,
    pub(super) record: Record,
}

/// How much of an answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Half,
    Reset,
}

impl State {
    pub(super) fn new(config: Config, base: String) -> Self {
        Self {
            base,
            production: Environment::new(&config, false),
            sandbox: Environment::new(&config, true),
            keliweb: Tokens::default(),
            faults: Faults::default(),
            latency: Duration::ZERO,
            activation_delay: Duration::ZERO,
            granted: None,
            record: Record::default(),
            config,
        }
    }

    /// The answer, how much of it is to arrive, and how long it is to take.
    pub(super) fn carry_out(&mut self, request: &Request, now: SystemTime) -> (Answer, Delivery, Duration) {
        let (part, path) = self.part(request);
        let fault = self.faults.take(&request.method, [&request.path, path]);
        let operation = match part {
            Part::Production | Part::Sandbox => oauth::operation(&request.method, path),
            Part::Keliweb => passport::operation(request, path),
            Part::Echo => "echo",
            Part::Unknown => "unknown",
        };
        let answer = match fault {
            Some(
                fault @ (Fault::Status(_) | Fault::StatusWithRetryAfter(..) | Fault::Html(_) | Fault::ResetBefore),
            ) => failed(fault, part),
            _ => self.answer(request, part, path, now),
        };
        let delivery = match fault {
            Some(Fault::HalfAnswer) if !answer.body.is_empty() => Delivery::Half,
            Some(Fault::ResetBefore | Fault::ResetAfter | Fault::HalfAnswer) => Delivery::Reset,
            _ => Delivery::Whole,
        };
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        self.record.add(Recorded {
            part,
            operation,
            method: request.method.clone(),
            path: Secret::new(format!("{}{query}", request.path)),
            status: (delivery != Delivery::Reset).then_some(answer.status),
            at: now,
        });
        (answer, delivery, self.latency)
    }

    /// Which room, and the path in it.
    fn part<'a>(&self, request: &'a Request) -> (Part, &'a str) {
        let path = request.path.as_str();
        if echo::is_for(request, &self.config) {
            return (Part::Echo, path);
        }
        let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
        if let Some(rest) = below(PRODUCTION) {
            (Part::Production, rest)
        } else if let Some(rest) = below(SANDBOX) {
            (Part::Sandbox, rest)
        } else if let Some(rest) = below(KELIWEB) {
            (Part::Keliweb, rest)
        } else if path == "/api" || path.starts_with("/api/") {
            (Part::Keliweb, path)
        } else {
            (Part::Unknown, path)
        }
    }

    fn answer(&mut self, request: &Request, part: Part, path: &str, now: SystemTime) -> Answer {
        let (config, granted) = (&self.config, self.granted.as_ref());
        match part {
            Part::Production => self.production.answer(request, path, now, config, granted),
            Part::Sandbox => self.sandbox.answer(request, path, now, config, granted),
            Part::Keliweb => self.keliweb.answer(request, path, &format!("{}{KELIWEB}", self.base), now, config),
            Part::Echo => {
                let environments = [&mut self.production, &mut self.sandbox];
                echo::answer(request, environments, self.activation_delay, now, config)
            }
            Part::Unknown => failure(404, "Not Found", Value::Null),
        }
    }

    pub(super) fn environments(&mut self) -> impl Iterator<Item = (Part, &mut Ledger)> {
        let production = self.production.ledgers.iter_mut().map(|ledger| (Part::Production, ledger));
        production.chain(self.sandbox.ledgers.iter_mut().map(|ledger| (Part::Sandbox, ledger)))
    }

    pub(super) fn issued(&mut self, now: SystemTime) -> Vec<Issued> {
        let mut issued = Vec::new();
        for (part, ledger) in self.environments() {
            issued.extend(ledger.tokens.iter().map(|token| Issued {
                part,
                token: token.text.clone(),
                refresh_token: None,
                scopes: token.scopes.clone(),
                issued_at: token.issued_at,
                expires_at: moment(token.expire),
                is_alive: token.is_alive(now),
            }));
        }
        issued.extend(self.keliweb.pairs.iter().map(|pair| Issued {
            part: Part::Keliweb,
            token: pair.access.clone(),
            refresh_token: pair.refresh.clone(),
            scopes: Vec::new(),
            issued_at: pair.issued_at,
            expires_at: pair.expires_at(),
            is_alive: pair.is_alive(now),
        }));
        issued
    }
}

/// The answer of a fault that stands in the way of a request.
fn failed(fault: Fault, part: Part) -> Answer {
    let status = match fault {
        Fault::Status(status) | Fault::StatusWithRetryAfter(status, _) | Fault::Html(status) => status,
        Fault::ResetBefore | Fault::ResetAfter | Fault::HalfAnswer => 500,
    };
    let known = http::StatusCode::from_u16(status).ok();
    let said = known.and_then(|status| status.canonical_reason()).unwrap_or("Failed on purpose");
    let answer = match (fault, part) {
        (Fault::Html(_), _) => Answer::html(status, said),
        (_, Part::Keliweb) => Answer::json(status, &json!({ "message": said })),
        _ => failure(status, said, Value::Null),
    };
    match fault {
        Fault::StatusWithRetryAfter(_, wait) => answer.with("retry-after", wait.as_secs().to_string()),
        _ => answer,
    }
}
