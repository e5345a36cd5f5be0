//! Openapi.it Oauth, version 1.

use std::fmt::Write;

use gettone::openapi::v1::{Counters, Credit, Oauth, Token, TokenList, TokenUpdate};
use gettone::openapi::{Credentials, Period, Ttl};
use gettone::{Builder, Error, ScopeList, ScopeSet, reqwest};
use serde::Serialize;
use serde_json::{Value, json};

use super::RetrySafety::{AtMostOnce, Idempotent, Repeatable};
use super::SecretKind::{ApiKey, Login};
use super::*;

pub static SERVICE: Service = Service {
    name: "Openapi.it Oauth",
    label: "v1",
    spec: include_str!("../../../spec/openapi-oauth-v1.yaml"),
    example: &EXAMPLE,
    always: &[],
    operations: &OPERATIONS,
    ways: WAYS,
    harmless: "get_credit",
    documented: DOCUMENTED,
    exceptions: EXCEPTIONS,
    connect: |secrets, setup| Ok(Box::new(builder(secrets, setup).build()?)),
};

#[rustfmt::skip]
static OPERATIONS: [Operation; 12] = [
    operation("create_token",   "POST",   "/token",                Some("thirty_days"), "created", AtMostOnce, ACCOUNT),
    operation("list_tokens",    "GET",    "/token",                None,                "two",     Idempotent, ACCOUNT),
    operation("find_token",     "GET",    "/token/{token}",        None,                "found",   Idempotent, TOKEN),
    operation("replace_token",  "PUT",    "/token/{token}",        Some("until"),       "replaced", Repeatable, TOKEN),
    operation("update_token",   "PATCH",  "/token/{token}",        Some("scopes"),      "updated", Repeatable, TOKEN),
    operation("delete_token",   "DELETE", "/token/{token}",        None,                "deleted", Idempotent, TOKEN),
    operation("list_scopes",    "GET",    "/scopes",               None,                "flat",    Idempotent, ACCOUNT),
    operation("get_credit",     "GET",    "/credit",               None,                "left",    Idempotent, ACCOUNT),
    operation("counters_total", "GET",    "/counters/total",       None,                "used",    Idempotent, ACCOUNT),
    operation("counters_day",   "GET",    "/counters/day/{day}",   None,                "used",    Idempotent, ACCOUNT),
    operation("counters_month", "GET",    "/counters/month/{month}", None,              "used",    Idempotent, ACCOUNT),
    operation("counters_year",  "GET",    "/counters/year/{year}", None,                "used",    Idempotent, ACCOUNT),
];

const ACCOUNT: &[SecretKind] = &[ApiKey, Login];
const TOKEN: &[SecretKind] = &[ApiKey, Login, SecretKind::Token];

const fn operation(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    request: Option<&'static str>,
    success: &'static str,
    retry: RetrySafety,
    sends: &'static [SecretKind],
) -> Operation {
    // Only a token may be absent: 402 with the code 125.
    let absence = if matches!(name.as_bytes(), b"find_token") { Some(402) } else { None };
    Operation {
        service: &SERVICE,
        name,
        id: name,
        method,
        path,
        mark: "",
        request,
        success,
        retry,
        sends,
        scheme: Some(Scheme::Basic),
        absence,
    }
}

const MAKING: &[&str] = &["create_token", "list_tokens", "create_token"];

#[rustfmt::skip]
const WAYS: &[Way] = &[
    Way { name: "list_tokens?scope",     column: "idempotent", operations: &["list_tokens"], held: Held::Nothing },
    Way { name: "oauth.token",           column: "make",       operations: MAKING,           held: Held::Nothing },
    Way { name: "oauth.token_for",       column: "make",       operations: MAKING,           held: Held::Nothing },
    Way { name: "oauth.authorize",       column: "make",       operations: MAKING,           held: Held::Nothing },
    Way { name: "oauth.token, expired",  column: "make",       operations: MAKING,           held: Held::Expired },
    Way { name: "oauth.token, near end", column: "make",       operations: MAKING,           held: Held::NearItsEnd },
    Way { name: "oauth.token, lost",     column: "make",       operations: MAKING,           held: Held::Nothing },
];

pub const BASE: &str = "GET:imprese.openapi.it/base";

/// The end of a token in the examples of the spec.
pub fn end() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_660_640_780)
}

/// The scopes of the examples of requests.
pub fn scopes() -> ScopeSet {
    set([BASE, "*:comparabili.openapi.it/*"])
}

pub fn set<const N: usize>(scopes: [&str; N]) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

pub fn builder(secrets: &Secrets, setup: &Setup) -> Builder<Oauth> {
    setup.apply(Oauth::builder(Credentials::new(EMAIL, secrets.api_key)))
}

/// A token as the service writes it.
pub fn token(token: impl Into<Value>, scopes: impl Serialize, end: impl Into<Value>) -> Value {
    json!({ "scopes": scopes, "expire": end.into(), "token": token.into() })
}

impl Client for Oauth {
    fn call<'a>(&'a self, way: &'a str, secrets: &'a Secrets) -> Pending<'a, Result<Box<dyn Returned>, Error>> {
        let (token, base) = (AccessToken::new(secrets.token), set([BASE]));
        Box::pin(async move {
            match way {
                "create_token" => returned(self.create_token(&scopes(), Ttl::days(30)?).await),
                "list_tokens" => returned(self.list_tokens().await),
                "list_tokens?scope" => returned(self.list_tokens_with_scope(&BASE.parse()?).await),
                "find_token" => returned(self.find_token(&token).await),
                "replace_token" => returned(self.replace_token(&token, &base, end()).await),
                "update_token" => returned(self.update_token(&token, TokenUpdate::new().scopes(&scopes())).await),
                "delete_token" => returned(self.delete_token(&token).await),
                "list_scopes" => returned(self.list_scopes().await),
                "get_credit" => returned(self.credit().await),
                "counters_total" => returned(self.counters(Period::total()).await),
                "counters_day" => returned(self.counters(Period::day(2022, 1, 1)?).await),
                "counters_month" => returned(self.counters(Period::month(2022, 1)?).await),
                "counters_year" => returned(self.counters(Period::year(2022)?).await),
                "oauth.token" => returned(self.token(&base).await),
                "oauth.token_for" => returned(self.token_for(&base).get().await),
                "oauth.authorize" => {
                    let url = "https://imprese.openapi.it/base/12345670124".parse().unwrap();
                    let mut request = reqwest::Request::new(reqwest::Method::GET, url);
                    let result = self.authorize(&mut request).await;
                    laws::assert_authorized(&request, &result);
                    returned(result)
                }
                other => panic!("no such way: {other}"),
            }
        })
    }

    fn wait_idle(&self) -> Pending<'_, ()> {
        Box::pin(self.wait_idle())
    }
}

pub fn texts(list: &ScopeList) -> Vec<String> {
    list.iter().map(Scope::to_string).collect()
}

pub fn all(list: &ScopeList) -> String {
    texts(list).join(" ")
}

impl Returned for Token {
    fn text(&self) -> String {
        format!("{} until {}: {}", self.token().expose(), unix(self.expires_at()), all(self.scopes()))
    }

    fn assert_is_in(&self, _: &[u8]) {
        laws::assert_rereads(self.scopes());
        assert!(unix(self.expires_at()) < 253_402_300_800, "after the year 9999");
        laws::assert_sendable(self.token().expose());
        laws::assert_hidden(self, self.token().expose(), &format!("{:?}", self.scopes()));
    }

    fn visible(&self) -> Vec<String> {
        texts(self.scopes())
    }
}

impl Returned for Option<Token> {
    fn text(&self) -> String {
        self.as_ref().map_or("none".to_owned(), Returned::text)
    }

    fn assert_is_in(&self, body: &[u8]) {
        self.iter().for_each(|token| token.assert_is_in(body));
    }

    fn visible(&self) -> Vec<String> {
        self.iter().flat_map(Returned::visible).collect()
    }

    fn is_absence(&self) -> bool {
        self.is_none()
    }
}

impl Returned for TokenList {
    fn text(&self) -> String {
        self.iter().map(Returned::text).collect::<Vec<_>>().join(" | ")
    }

    fn assert_is_in(&self, body: &[u8]) {
        self.iter().for_each(|token| token.assert_is_in(body));
        let count = self.len() + self.unrecognized().len();
        assert_eq!(laws::Data::read(body).and_then(laws::Data::len).unwrap_or(count), count);
    }

    fn visible(&self) -> Vec<String> {
        self.iter().flat_map(Returned::visible).collect()
    }
}

impl Returned for ScopeList {
    fn text(&self) -> String {
        all(self)
    }

    fn assert_is_in(&self, body: &[u8]) {
        laws::assert_rereads(self);
        let count = self.len() + self.unrecognized().len();
        let data = laws::Data::read(body).map(laws::Data::nested);
        assert_eq!(data.and_then(laws::Data::len).unwrap_or(count), count);
    }

    fn visible(&self) -> Vec<String> {
        texts(self)
    }
}

impl Returned for Credit {
    fn text(&self) -> String {
        self.to_string()
    }

    fn assert_is_in(&self, _: &[u8]) {
        assert_eq!(self.to_string().parse(), Ok(self.amount()));
    }
}

impl Returned for Counters {
    fn text(&self) -> String {
        let mut text = String::new();
        for (scope, counter) in self {
            write!(text, "{scope} {}/{}/{}; ", counter.requests(), counter.paid(), counter.limit()).unwrap();
        }
        text
    }

    fn assert_is_in(&self, body: &[u8]) {
        let count = self.len() + self.unrecognized().len();
        assert_eq!(laws::Data::read(body).and_then(laws::Data::len).unwrap_or(count), count);
        for (scope, counter) in self {
            laws::assert_is_scope(scope);
            assert!(self.get(scope).is_some() && !counter.limit().to_string().is_empty());
        }
    }

    fn visible(&self) -> Vec<String> {
        self.iter().map(|(scope, _)| scope.to_string()).collect()
    }
}

const USED: &str = "GET:comparabili.openapi.it/root 31/0/unlimited; GET:imprese.openapi.it/base 120/20/100; \
    POST:ws.ufficiopostale.com/raccomandate 7/7/unknown; ";

#[rustfmt::skip]
const DOCUMENTED: &[Documented] = &[
    ("create_token", 200, "created", Ok("5f8711afe4754a532a7a8358 until 1634223407: GET:imprese.openapi.it/base GET:comparabili.openapi.it/root POST:comparabili.openapi.it/root")),
    ("create_token", 406, "missing_scopes", Err("406 Not Acceptable, code 110: missing scopes array [invalid input]")),
    ("list_tokens", 200, "two", Ok("5f8041e42efdfc468b6e60ea until 1660640780: GET:imprese.openapi.it/base GET:imprese.openapi.it/IT-full | 5f8711afe4754a532a7a8358 until 1634223407: POST:test.postontarget.com/fields/country")),
    ("find_token", 200, "found", Ok("5f8041e42efdfc468b6e60ea until 1660640780: GET:imprese.openapi.it/base")),
    ("find_token", 402, "wrong_token", Ok("none")),
    ("replace_token", 200, "replaced", Ok("5f8041e42efdfc468b6e60ea until 1660640780: GET:imprese.openapi.it/base")),
    ("replace_token", 403, "not_single", Err("403 Forbidden, code 160: Only single tokens are enabled for this method []")),
    ("replace_token", 404, "missing", Err("404 Not Found, code 170: Missing Token [not found]")),
    ("replace_token", 406, "invalid_scopes", Err("406 Not Acceptable, code 270: invalid scopes specified [invalid input]")),
    ("update_token", 200, "updated", Ok("5f8041e42efdfc468b6e60ea until 1660640780: GET:imprese.openapi.it/base GET:comparabili.openapi.it/root")),
    ("update_token", 403, "not_single", Err("403 Forbidden, code 280: Only single tokens are enabled for this method []")),
    ("update_token", 404, "missing", Err("404 Not Found, code 290: Missing Token [not found]")),
    ("update_token", 406, "nothing_to_change", Err("406 Not Acceptable, code 310: missing scopes array and expire [invalid input]")),
    ("delete_token", 200, "deleted", Ok("deleted")),
    ("delete_token", 403, "not_single", Err("403 Forbidden, code 140: Only single tokens are enabled for this method []")),
    ("delete_token", 404, "missing", Err("404 Not Found, code 150: Missing Token [not found]")),
    ("list_scopes", 200, "flat", Ok("GET:imprese.openapi.it/base GET:imprese.openapi.it/IT-full GET:comparabili.openapi.it/root POST:comparabili.openapi.it/root POST:ws.ufficiopostale.com/raccomandate POST:test.postontarget.com/fields/country")),
    ("list_scopes", 200, "nested", Ok("GET:imprese.openapi.it/base POST:ws.ufficiopostale.com/raccomandate")),
    ("get_credit", 200, "left", Ok("423.38")),
    ("get_credit", 404, "no_credit", Err("404 Not Found, code 320: non-existent Openapi credit [not found]")),
    ("counters_total", 200, "used", Ok(USED)),
    ("counters_total", 200, "without_calls", Ok("")),
    ("counters_day", 200, "used", Ok(USED)),
    ("counters_day", 200, "without_calls", Ok("")),
    ("counters_day", 404, "wrong_format", Err("404 Not Found, code 610: Wrong date format for the selected range, please format the date like: 2022-01-01 [invalid input]")),
    ("counters_month", 200, "used", Ok(USED)),
    ("counters_month", 200, "without_calls", Ok("")),
    ("counters_month", 404, "wrong_format", Err("404 Not Found, code 610: Wrong date format for the selected range, please format the date like: 2022-01 [invalid input]")),
    ("counters_year", 200, "used", Ok(USED)),
    ("counters_year", 200, "without_calls", Ok("")),
    ("counters_year", 404, "wrong_format", Err("404 Not Found, code 610: Wrong date format for the selected range, please format the date like: 2022 [invalid input]")),
];

#[rustfmt::skip]
const EXCEPTIONS: &[Exception] = &[
    // A deletion returns nothing.
    ("wrong types",    "delete_token",      "", "ok"),
    ("204",            "delete_token",      "", "ok"),
    // There is no token.
    ("204",            "list_tokens",       "", "ok"),
    ("204",            "list_tokens?scope", "", "ok"),
    ("204",            "find_token",        "", "ok"),
    ("402, code 125",  "find_token",        "", "ok"),
    // The period is wrong.
    ("404, code 610",  "counters_day",      "", "404 invalid_input"),
    ("404, code 610",  "counters_month",    "", "404 invalid_input"),
    ("404, code 610",  "counters_year",     "", "404 invalid_input"),
];
