//! What the interface changes.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use super::show::utc;
use super::{Call, Handled, answer, done, refusal};
use crate::clock::Clock;
use crate::emulator::fault::{Fault, Planned};
use crate::emulator::message::Response;
use crate::emulator::router::State;
use crate::scope::{Scope, ScopeSet};

/// How many faults can be pending, each for any number of requests.
const MAX_FAULTS: usize = 1_000;
/// The longest URL of a callback, of which the log keeps many.
const MAX_URL: usize = 2_048;
/// The longest delay of a response, in seconds.
const MAX_LATENCY: f64 = 3_600.0;
/// The furthest that a request moves the clock, in seconds: some three hundred years.
const MAX_ADVANCE: f64 = 1e10;

/// A fault, as the interface writes and reads it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFault {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(default = "once")]
    times: usize,
    #[serde(default)]
    on: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Status,
    Html,
    LostRequest,
    LostResponse,
    TruncatedResponse,
}

fn once() -> usize {
    1
}

impl From<&Planned> for NewFault {
    fn from(planned: &Planned) -> Self {
        let (kind, status, retry_after) = match planned.fault {
            Fault::Status(status) => (Kind::Status, Some(status), None),
            Fault::StatusWithRetryAfter(status, wait) => (Kind::Status, Some(status), Some(wait.as_secs())),
            Fault::Html(status) => (Kind::Html, Some(status), None),
            Fault::LostRequest => (Kind::LostRequest, None, None),
            Fault::LostResponse => (Kind::LostResponse, None, None),
            Fault::TruncatedResponse => (Kind::TruncatedResponse, None, None),
        };
        let parts = [planned.method.as_deref().unwrap_or_default(), &planned.path];
        let on = parts.join(" ").trim().to_owned();
        Self { kind, status, retry_after, times: planned.times, on }
    }
}

impl NewFault {
    fn fault(&self) -> Result<Fault, &'static str> {
        let fault = match (&self.kind, self.status, self.retry_after) {
            (Kind::Status, Some(status), None) => Fault::Status(status),
            (Kind::Status, Some(status), Some(wait)) => Fault::StatusWithRetryAfter(status, Duration::from_secs(wait)),
            (Kind::Html, Some(status), None) => Fault::Html(status),
            (Kind::Html, Some(_), Some(_)) => {
                return Err("\"retry_after\" goes with the kind \"status\" only; remove it");
            }
            (Kind::Status | Kind::Html, None, _) => return Err("this kind needs a \"status\"; add it"),
            (Kind::LostRequest, None, None) => Fault::LostRequest,
            (Kind::LostResponse, None, None) => Fault::LostResponse,
            (Kind::TruncatedResponse, None, None) => Fault::TruncatedResponse,
            _ => return Err("this kind takes neither \"status\" nor \"retry_after\"; remove them"),
        };
        match self.status {
            Some(status) if !(200..=599).contains(&status) => Err("\"status\" must be from 200 to 599"),
            _ if self.times == 0 => Err("\"times\" must be 1 or more"),
            _ => Ok(fault),
        }
    }

    /// Checks that `on` is a method, the beginning of a path, or both.
    fn check_on(&self) -> Result<(), &'static str> {
        let is_method = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_right = match self.on.split_once(' ') {
            Some((method, path)) => is_method(method) && path.starts_with('/'),
            None => self.on.is_empty() || self.on.starts_with('/') || is_method(&self.on),
        };
        let message = "\"on\" must be a method in capitals, the beginning of a path, or both, as in \"POST /tokens\"";
        if is_right { Ok(()) } else { Err(message) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seconds {
    seconds: f64,
}

impl Seconds {
    fn read(call: &Call<'_>, max: f64) -> Result<Duration, Response> {
        let Self { seconds } = call.body()?;
        let duration = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds <= max);
        duration.ok_or_else(|| call.bad(format!("\"seconds\" is {seconds}; it must be from 0 to {max}")))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    #[serde(deserialize_with = "Option::deserialize")]
    amount: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grants {
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Single {
    token: String,
    single: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Callback {
    scope: String,
    url: String,
    status: u16,
}

pub(super) fn add_fault(call: &Call<'_>) -> Handled {
    let new: NewFault = call.body()?;
    let fault = new.fault().and_then(|fault| new.check_on().map(|()| fault)).map_err(|reason| call.bad(reason))?;
    let mut state = call.shared.state();
    if state.faults.waiting().len() >= MAX_FAULTS {
        return Err(call.bad(format!("{MAX_FAULTS} faults are pending; clear them with DELETE /_emulator/faults")));
    }
    state.faults.plan(new.times, &new.on, fault);
    done()
}

pub(super) fn clear_faults(call: &Call<'_>) -> Handled {
    call.no_body()?;
    call.shared.state().faults.clear();
    done()
}

pub(super) fn set_latency(call: &Call<'_>) -> Handled {
    let latency = Seconds::read(call, MAX_LATENCY)?;
    call.shared.state().latency = latency;
    done()
}

pub(super) fn set_activation_delay(call: &Call<'_>) -> Handled {
    let delay = Seconds::read(call, MAX_ADVANCE)?;
    call.shared.state().openapi.activation_delay = delay;
    done()
}

pub(super) fn advance(call: &Call<'_>) -> Handled {
    call.shared.clock.advance(Seconds::read(call, MAX_ADVANCE)?);
    answer(&json!({ "now": utc(call.shared.clock.now()) }))
}

pub(super) fn set_credit(call: &Call<'_>) -> Handled {
    let Credit { amount } = call.body()?;
    let credit = amount.map(|amount| decimal(call, "amount", &amount)).transpose()?;
    let now = call.shared.clock.now();
    call.shared.state().openapi.set_credit(credit, now);
    done()
}

/// Reads an amount of money digit by digit, as it is written.
pub(super) fn decimal(call: &Call<'_>, name: &str, number: &Number) -> Result<Decimal, Response> {
    let text = number.to_string();
    let read = text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok());
    let read = read.filter(|amount: &Decimal| !amount.is_sign_negative());
    read.ok_or_else(|| call.bad(format!("{name:?} is {text}; expected an amount of euro, 0 or more")))
}

pub(super) fn grant_only(call: &Call<'_>) -> Handled {
    let Grants { scopes } = call.body()?;
    let scopes = ScopeSet::parse(scopes).map_err(|error| call.bad(error))?;
    call.shared.state().openapi.granted = Some(scopes);
    done()
}

pub(super) fn grant_all(call: &Call<'_>) -> Handled {
    call.no_body()?;
    call.shared.state().openapi.granted = None;
    done()
}

pub(super) fn set_single(call: &Call<'_>) -> Handled {
    let Single { token, single } = call.body()?;
    if call.shared.state().openapi.set_single(&token, single) {
        return done();
    }
    Err(refusal(
        404,
        "there is no such token of version 1; GET /_emulator/tokens?api=production lists those that exist",
    ))
}

pub(super) fn add_callback(call: &Call<'_>) -> Handled {
    let Callback { scope, url, status } = call.body()?;
    let scope: Scope = scope.parse().map_err(|error| call.bad(error))?;
    if url.len() > MAX_URL {
        return Err(call.bad(format!("`url` has {} bytes; expected at most {MAX_URL}", url.len())));
    }
    let now = call.shared.clock.now();
    let id = call.shared.state().openapi.add_callback(scope, url, status, now);
    answer(&json!({ "id": id }))
}

pub(super) fn revoke_all(call: &Call<'_>) -> Handled {
    call.no_body()?;
    call.shared.state().revoke_all();
    done()
}

/// Returns to the start: no tokens, no faults, no record, the first credit, the machine's time. The builder's settings stay.
pub(super) fn reset(call: &Call<'_>) -> Handled {
    call.no_body()?;
    let mut state = call.shared.state();
    call.shared.clock.reset();
    *state = State::new(call.remote.settings.clone(), call.shared.clock.now());
    done()
}
