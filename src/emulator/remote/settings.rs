//! The settings of the builder that can change while the emulator runs.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value, json};

use super::change::decimal;
use super::{Call, Handled, answer};
use crate::emulator::message::Response;
use crate::emulator::openapi::number;
use crate::emulator::router::State;
use crate::emulator::{Limit, PassportVersion, ScopesResponse, TokenEnvelope, UnknownTokenResponse};
use crate::scope::ScopePattern;

/// The settings, as the interface writes them.
#[derive(Serialize)]
struct Shown {
    price: Value,
    strict: bool,
    limits: Vec<CallLimit>,
    disabled: Vec<String>,
    unknown_token_response: &'static str,
    scopes_response: &'static str,
    token_envelope: &'static str,
    passport_version: &'static str,
    refresh_tokens: bool,
    throttle: Option<u32>,
}

/// The settings that change; the others stay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    price: Option<Number>,
    strict: Option<bool>,
    limits: Option<Vec<CallLimit>>,
    disabled: Option<Vec<String>>,
    unknown_token_response: Option<String>,
    scopes_response: Option<String>,
    token_envelope: Option<String>,
    passport_version: Option<String>,
    refresh_tokens: Option<bool>,
    /// `Some(None)` for `null`: no limit.
    #[serde(default, deserialize_with = "given")]
    throttle: Option<Option<u32>>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// How many calls are free for the scopes that a pattern covers, as in a counter: a number, `null` (unknown), `false` (all).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallLimit {
    pattern: String,
    calls: Value,
}

/// The names of a setting's values.
type Names<T, const N: usize> = [(&'static str, T); N];

const UNKNOWN_TOKEN_RESPONSES: Names<UnknownTokenResponse, 2> =
    [("payment_required", UnknownTokenResponse::PaymentRequired), ("no_content", UnknownTokenResponse::NoContent)];
const SCOPES_RESPONSES: Names<ScopesResponse, 2> = [("flat", ScopesResponse::Flat), ("nested", ScopesResponse::Nested)];
const TOKEN_ENVELOPES: Names<TokenEnvelope, 2> = [("flat", TokenEnvelope::Flat), ("wrapped", TokenEnvelope::Wrapped)];
const PASSPORT_VERSIONS: Names<PassportVersion, 2> = [("old", PassportVersion::Old), ("new", PassportVersion::New)];

fn name_of<T: PartialEq, const N: usize>(names: Names<T, N>, value: &T) -> &'static str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

/// Returns the value of a name. `setting` is for the refusal.
fn named<T: Copy, const N: usize>(
    call: &Call<'_>,
    setting: &str,
    names: Names<T, N>,
    name: Option<&String>,
) -> Result<Option<T>, Response> {
    let Some(name) = name else { return Ok(None) };
    let found = names.iter().find(|(known, _)| known == name);
    let value = found.map(|(_, value)| *value);
    let known = || names.map(|(known, _)| known).join(", ");
    value.map(Some).ok_or_else(|| call.bad(format!("{setting:?} is {name:?}; expected one of {}", known())))
}

impl CallLimit {
    fn new((pattern, limit): &(ScopePattern, Limit)) -> Self {
        let calls = match limit {
            Limit::Calls(calls) => json!(calls),
            Limit::Unknown => Value::Null,
            Limit::Unlimited => json!(false),
        };
        Self { pattern: pattern.to_string(), calls }
    }

    fn read(&self, call: &Call<'_>) -> Result<(ScopePattern, Limit), Response> {
        let limit = match &self.calls {
            Value::Null => Limit::Unknown,
            Value::Bool(false) => Limit::Unlimited,
            other => match other.as_u64() {
                Some(calls) => Limit::Calls(calls),
                None => return Err(call.bad("\"calls\" is not a whole number, null (unknown) or false (unlimited)")),
            },
        };
        Ok((pattern(call, &self.pattern)?, limit))
    }
}

fn pattern(call: &Call<'_>, text: &str) -> Result<ScopePattern, Response> {
    text.parse().map_err(|error| call.bad(error))
}

impl Changes {
    /// Makes the changes, all of them or none.
    fn make(self, call: &Call<'_>, state: &mut State) -> Result<(), Response> {
        let limits = |limits: &Vec<CallLimit>| limits.iter().map(|limit| limit.read(call)).collect();
        let patterns = |texts: &Vec<String>| texts.iter().map(|text| pattern(call, text)).collect();
        let price = self.price.as_ref().map(|price| decimal(call, "price", price)).transpose()?;
        let limits = self.limits.as_ref().map(limits).transpose()?;
        let disabled = self.disabled.as_ref().map(patterns).transpose()?;
        let unknown = self.unknown_token_response.as_ref();
        let unknown = named(call, "unknown_token_response", UNKNOWN_TOKEN_RESPONSES, unknown)?;
        let scopes = named(call, "scopes_response", SCOPES_RESPONSES, self.scopes_response.as_ref())?;
        let envelope = named(call, "token_envelope", TOKEN_ENVELOPES, self.token_envelope.as_ref())?;
        let passport = named(call, "passport_version", PASSPORT_VERSIONS, self.passport_version.as_ref())?;

        let (openapi, keliweb) = (&mut state.openapi.settings, &mut state.keliweb.settings);
        set(&mut openapi.price, price);
        set(&mut openapi.is_strict, self.strict);
        set(&mut openapi.limits, limits);
        set(&mut openapi.disabled, disabled);
        set(&mut openapi.unknown_token, unknown);
        set(&mut openapi.scopes_response, scopes);
        set(&mut openapi.token_envelope, envelope);
        set(&mut keliweb.passport, passport);
        set(&mut keliweb.issues_refresh_tokens, self.refresh_tokens);
        set(&mut keliweb.throttle, self.throttle);
        Ok(())
    }
}

fn set<T>(setting: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *setting = new;
    }
}

pub(super) fn show(call: &Call<'_>) -> Handled {
    let [] = call.query([])?;
    answer(&shown(&call.shared.state()))
}

/// Changes the settings that the body has, and shows them all.
pub(super) fn change(call: &Call<'_>) -> Handled {
    let changes: Changes = call.body()?;
    let mut state = call.shared.state();
    changes.make(call, &mut state)?;
    answer(&shown(&state))
}

fn shown(state: &State) -> Shown {
    let (openapi, keliweb) = (&state.openapi.settings, &state.keliweb.settings);
    Shown {
        price: number(openapi.price),
        strict: openapi.is_strict,
        limits: openapi.limits.iter().map(CallLimit::new).collect(),
        disabled: openapi.disabled.iter().map(ToString::to_string).collect(),
        unknown_token_response: name_of(UNKNOWN_TOKEN_RESPONSES, &openapi.unknown_token),
        scopes_response: name_of(SCOPES_RESPONSES, &openapi.scopes_response),
        token_envelope: name_of(TOKEN_ENVELOPES, &openapi.token_envelope),
        passport_version: name_of(PASSPORT_VERSIONS, &keliweb.passport),
        refresh_tokens: keliweb.issues_refresh_tokens,
        throttle: keliweb.throttle,
    }
}
