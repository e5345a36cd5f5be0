//! The twelve operations of Openapi.it Oauth, for one environment.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::accounts::Account;
use super::clock::unix;
use super::config::{Config, LOOPBACK, ScopesShape, UnknownToken};
use super::grant::{self, Refused};
use super::message::{Answer, Request};
use super::usage::{Range, Usage};
use crate::{Scope, ScopeSet, Secret};

/// 365 days: the longest life of a token, and the one of a token of which nothing is said.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// One of the two environments, with what the accounts have there.
pub(super) struct Environment {
    pub(super) ledgers: Vec<Ledger>,
    catalogue: Vec<Scope>,
}

/// What an account has in one environment.
pub(super) struct Ledger {
    email: String,
    key: Secret,
    pub(super) tokens: Vec<Token>,
    /// For which tokens were made, each once.
    requested: Vec<Scope>,
    /// The same, to look one up.
    known: HashSet<Scope>,
    pub(super) usage: Usage,
}

pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) scopes: Vec<Scope>,
    pub(super) issued_at: SystemTime,
    pub(super) expire: u64,
    /// Only such a token can be changed and deleted.
    pub(super) is_single: bool,
    pub(super) is_deleted: bool,
}

impl Token {
    pub(super) fn is_alive(&self, now: SystemTime) -> bool {
        !self.is_deleted && self.expire > unix(now)
    }

    fn shown(&self) -> Value {
        json!({ "scopes": self.scopes, "expire": self.expire, "token": self.text.expose() })
    }
}

impl Environment {
    pub(super) fn new(config: &Config, is_sandbox: bool) -> Self {
        let ledger = |account: &Account| Ledger {
            email: account.email().to_owned(),
            key: if is_sandbox { account.sandbox_key().clone() } else { account.production_key().clone() },
            tokens: Vec::new(),
            requested: Vec::new(),
            known: HashSet::new(),
            usage: Usage::new(account.first_credit()),
        };
        let here = |scope: &Scope| {
            let everywhere = !is_sandbox || LOOPBACK.contains(&scope.host());
            if everywhere { scope.clone() } else { scope.sandbox().unwrap_or_else(|_| scope.clone()) }
        };
        Self {
            ledgers: config.accounts.iter().map(ledger).collect(),
            catalogue: config.catalogue.iter().map(here).collect(),
        }
    }

    /// The answer. `path` is the part behind the environment's own.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        path: &str,
        now: SystemTime,
        config: &Config,
        granted: Option<&ScopeSet>,
    ) -> Answer {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let operation = operation(&request.method, path);
        if operation == "unknown" {
            return failure(404, "Not Found", Value::Null);
        }
        let login = request.basic();
        let known = |ledger: &&mut Ledger| {
            login
                .as_ref()
                .is_some_and(|(email, key)| ledger.email == *email && ledger.key == Secret::from(key.as_str()))
        };
        let Some(ledger) = self.ledgers.iter_mut().find(known) else {
            let refused = failure(401, "Wrong email or API key", Value::Null);
            return refused.with("www-authenticate", "Basic realm=\"oauth\"");
        };
        let last = segments.last().copied().unwrap_or_default();
        let named = percent_decode_str(last).decode_utf8_lossy();
        let rules = grant::Rules { catalogue: &self.catalogue, is_strict: config.is_strict, granted };
        match operation {
            "create_token" => ledger.create(request, now, &rules),
            "list_tokens" => ledger.list(request, now),
            "find_token" => ledger.find(&named, now, config.unknown_token),
            "replace_token" => ledger.replace(&named, request, now, &rules),
            "update_token" => ledger.update(&named, request, now, &rules),
            "delete_token" => ledger.delete(&named, now),
            "list_scopes" => ledger.scopes(config.scopes_shape),
            "get_credit" => ledger.credit(),
            "counters_total" => success(&ledger.usage.counters(Range::Total, config)),
            _ => match Range::parse(segments.get(1).copied().unwrap_or_default(), &named) {
                Some(range) => success(&ledger.usage.counters(range, config)),
                None => wrong_format(operation),
            },
        }
    }
}

/// The operation's name. `path` is the part behind the environment's own.
pub(super) fn operation(method: &str, path: &str) -> &'static str {
    match (method, path.split('/').skip(1).collect::<Vec<_>>().as_slice()) {
        ("POST", ["token"]) => "create_token",
        ("GET", ["token"]) => "list_tokens",
        ("GET", ["token", _]) => "find_token",
        ("PUT", ["token", _]) => "replace_token",
        ("PATCH", ["token", _]) => "update_token",
        ("DELETE", ["token", _]) => "delete_token",
        ("GET", ["scopes"]) => "list_scopes",
        ("GET", ["credit"]) => "get_credit",
        ("GET", ["counters", "total"]) => "counters_total",
        ("GET", ["counters", "day", _]) => "counters_day",
        ("GET", ["counters", "month", _]) => "counters_month",
        ("GET", ["counters", "year", _]) => "counters_year",
        _ => "unknown",
    }
}

fn wrong_format(operation: &str) -> Answer {
    let example = match operation {
        "counters_year" => "2022",
        "counters_month" => "2022-01",
        _ => "2022-01-01",
    };
    let message = format!("Wrong date format for the selected range, please format the date like: {example}");
    failure(404, &message, json!(610))
}

/// The token is not a single one. Each operation has a code of its own for it.
fn not_single(code: u16) -> Answer {
    failure(403, "Only single tokens are enabled for this method", json!(code))
}

impl Ledger {
    fn create(&mut self, request: &Request, now: SystemTime, rules: &grant::Rules<'_>) -> Answer {
        let fields = request.json();
        let scopes = match rules.grant(fields.get("scopes")) {
            Ok(scopes) => scopes,
            Err(Refused::Missing) => return failure(406, "missing scopes array", json!(110)),
            Err(Refused::Invalid) => return failure(406, "invalid scopes specified", Value::Null),
        };
        let Ok(end) = end(&fields, now) else { return failure(406, "invalid ttl or expire", Value::Null) };
        let expire = end.unwrap_or_else(|| unix(now).saturating_add(YEAR));
        self.remember(&scopes);
        let text = grant::token(now);
        let token =
            Token { text: text.as_str().into(), scopes, issued_at: now, expire, is_single: true, is_deleted: false };
        let body = json!({
            "scopes": token.scopes, "expire": expire, "token": text, "success": true, "message": "", "error": null,
        });
        self.tokens.push(token);
        Answer::json(200, &body)
    }

    fn list(&self, request: &Request, now: SystemTime) -> Answer {
        let is_filter = |(name, scope): &(Cow<'_, str>, Cow<'_, str>)| name == "scope" && !scope.is_empty();
        let wanted = form_urlencoded::parse(request.query.as_bytes()).find(is_filter);
        let has = |token: &&Token| {
            wanted.as_ref().is_none_or(|(_, scope)| token.scopes.iter().any(|known| known.as_str() == scope))
        };
        let tokens = self.tokens.iter().filter(|token| token.is_alive(now)).filter(has);
        let data: Vec<Value> = tokens.map(Token::shown).collect();
        if data.is_empty() { Answer::empty(204) } else { success(&data.into()) }
    }

    fn find(&self, text: &str, now: SystemTime, unknown: UnknownToken) -> Answer {
        let found = self.tokens.iter().find(|token| token.is_alive(now) && token.text.expose() == text);
        match (found, unknown) {
            (Some(token), _) => success(&json!([token.shown()])),
            (None, UnknownToken::PaymentRequired) => failure(402, "Wrong Token", json!(125)),
            (None, UnknownToken::NoContent) => Answer::empty(204),
        }
    }

    fn replace(&mut self, text: &str, request: &Request, now: SystemTime, rules: &grant::Rules<'_>) -> Answer {
        let token = match self.changeable(text, now) {
            Ok(token) => token,
            Err(Unchangeable::Missing) => return failure(404, "Missing Token", json!(170)),
            Err(Unchangeable::NotSingle) => return not_single(160),
        };
        let fields = request.json();
        let Ok(scopes) = rules.grant(fields.get("scopes")) else {
            return failure(406, "invalid scopes specified", json!(270));
        };
        // There is no `ttl` here.
        let Ok(expire) = moment(fields.get("expire")) else { return failure(406, "invalid expire", Value::Null) };
        token.scopes.clone_from(&scopes);
        token.expire = expire.unwrap_or_else(|| unix(now).saturating_add(YEAR));
        let shown = json!([token.shown()]);
        self.remember(&scopes);
        success(&shown)
    }

    fn update(&mut self, text: &str, request: &Request, now: SystemTime, rules: &grant::Rules<'_>) -> Answer {
        let token = match self.changeable(text, now) {
            Ok(token) => token,
            Err(Unchangeable::Missing) => return failure(404, "Missing Token", json!(290)),
            Err(Unchangeable::NotSingle) => return not_single(280),
        };
        let fields = request.json();
        let scopes = match rules.grant(fields.get("scopes")) {
            Ok(scopes) => Some(scopes),
            Err(Refused::Missing) => None,
            Err(Refused::Invalid) => return failure(406, "invalid scopes specified", Value::Null),
        };
        let Ok(end) = end(&fields, now) else { return failure(406, "invalid ttl or expire", Value::Null) };
        if scopes.is_none() && end.is_none() {
            return failure(406, "missing scopes array and expire", json!(310));
        }
        token.expire = end.unwrap_or(token.expire);
        if let Some(scopes) = &scopes {
            token.scopes.clone_from(scopes);
        }
        let shown = json!([token.shown()]);
        self.remember(&scopes.unwrap_or_default());
        success(&shown)
    }

    fn delete(&mut self, text: &str, now: SystemTime) -> Answer {
        match self.changeable(text, now) {
            Ok(token) => {
                token.is_deleted = true;
                Answer::json(200, &json!({ "message": "1 deleted token", "success": true, "error": null }))
            }
            Err(Unchangeable::Missing) => failure(404, "Missing Token", json!(150)),
            Err(Unchangeable::NotSingle) => not_single(140),
        }
    }

    fn scopes(&self, shape: ScopesShape) -> Answer {
        let flat = json!({ "data": self.requested, "success": true, "message": "", "error": null });
        match shape {
            ScopesShape::Flat => Answer::json(200, &flat),
            ScopesShape::Nested => Answer::json(200, &json!({ "data": flat })),
        }
    }

    fn credit(&self) -> Answer {
        let Some(credit) = self.usage.credit else {
            return failure(404, "non-existent Openapi credit", json!(320));
        };
        // The digits as they are, not by way of a binary number.
        let number: Value = serde_json::from_str(&credit.to_string()).unwrap_or_default();
        success(&json!({ "credit": number }))
    }

    fn changeable(&mut self, text: &str, now: SystemTime) -> Result<&mut Token, Unchangeable> {
        let found = self.tokens.iter_mut().find(|token| token.is_alive(now) && token.text.expose() == text);
        match found {
            None => Err(Unchangeable::Missing),
            Some(token) if !token.is_single => Err(Unchangeable::NotSingle),
            Some(token) => Ok(token),
        }
    }

    fn remember(&mut self, scopes: &[Scope]) {
        for scope in scopes {
            if self.known.insert(scope.clone()) {
                self.requested.push(scope.clone());
            }
        }
    }
}

enum Unchangeable {
    Missing,
    NotSingle,
}

/// The end that a body asks for: `ttl`, or the deprecated `expire`. 0, which the vendor's SDK and samples send, counts as not given.
fn end(fields: &serde_json::Map<String, Value>, now: SystemTime) -> Result<Option<u64>, ()> {
    match fields.get("ttl") {
        None | Some(Value::Null) => moment(fields.get("expire")),
        Some(ttl) => match ttl.as_u64() {
            Some(0) => moment(fields.get("expire")),
            Some(ttl @ 1..=YEAR) => Ok(Some(unix(now).saturating_add(ttl))),
            _ => Err(()),
        },
    }
}

/// A moment in UNIX seconds.
fn moment(value: Option<&Value>) -> Result<Option<u64>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(|moment| (moment > 0).then_some(moment)).ok_or(()),
    }
}

fn success(data: &Value) -> Answer {
    Answer::json(200, &json!({ "data": data, "success": true, "message": "", "error": null }))
}

/// The envelope of every failure. Where no code is documented, it has none.
pub(super) fn failure(status: u16, message: &str, code: Value) -> Answer {
    Answer::json(status, &json!({ "success": false, "message": message, "error": code, "data": null }))
}
