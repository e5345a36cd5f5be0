//! `openapi token`, `keliweb token` and `keliweb refresh`.

use std::future::Future;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use gettone::keliweb::Fatture;
use gettone::openapi::Environment;
use gettone::{AccessToken, Error, Scope, ScopePattern, ScopeSet, TokenHandle, openapi};
use serde::Serialize;

use crate::arguments::{ApiVersion, scope, scope_of_request};
use crate::clients::Context;
use crate::credentials::{locate, openapi_key, variable};
use crate::failure::Failure;
use crate::observed::Observed;
use crate::output::Report;
use crate::times;

#[derive(Debug, Args)]
#[command(after_help = "\
Formats:
  token   the token alone
  header  the line `Authorization: Bearer TOKEN`, for curl -H @FILE
  curl    a line for curl -K FILE
  json    the token, its expiration time and its scopes
  env     OPENAPI_TOKEN=TOKEN, or OPENAPI_SANDBOX_TOKEN=TOKEN

Examples:
  gettone openapi token GET:imprese.openapi.it/base
  header=$(gettone openapi token --format header --for \"GET $URL\") &&
    curl -H @- \"$URL\" <<<\"$header\"

A script must check that it got a token, as this one does with &&: curl calls
the service without a token if the header is empty.")]
pub struct OpenapiArguments {
    /// What the token must be good for: METHOD:HOST/PATH
    #[arg(value_name = "SCOPE", required_unless_present = "request", value_parser = scope::<ScopePattern>)]
    scopes: Vec<ScopePattern>,

    /// Work the scope out from a request, such as 'GET https://...'
    #[arg(long = "for", value_name = "REQUEST", conflicts_with = "scopes", value_parser = scope_of)]
    request: Option<Scope>,

    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Formats:
  token   the token alone
  header  the line `Authorization: Bearer TOKEN`, for curl -H @FILE
  curl    lines for curl -K FILE: the token, and `Accept: application/json`
  json    the token and its expiration time
  env     KELIWEB_TOKEN=TOKEN

Example:
  config=$(gettone keliweb token --format curl) &&
    curl -K - https://fatture.keliweb.it/api/invoices <<<\"$config\"

A script must check that it got a token, as this one does with &&: curl calls
the service without a token if the configuration is empty.")]
pub struct KeliwebArguments {
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
struct Wanted {
    #[command(flatten)]
    format: Chosen,

    /// Replace the token if it expires sooner than this, such as 5m
    #[arg(long, value_name = "TIME", value_parser = times::duration)]
    min_life: Option<Duration>,

    /// Replace the kept token, for example after a 401
    #[arg(long)]
    refresh: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gettone keliweb refresh > /dev/null")]
pub struct FormatArguments {
    #[command(flatten)]
    format: Chosen,
}

#[derive(Debug, Clone, Copy, Args)]
struct Chosen {
    /// Print it as token, header, curl, json or env [default: token]
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The token alone
    #[default]
    Token,
    /// The line `Authorization: Bearer TOKEN`, for curl -H @FILE
    Header,
    /// Lines for curl -K FILE
    Curl,
    /// The token, its expiration time and its scopes
    Json,
    /// NAME=TOKEN, such as OPENAPI_TOKEN=TOKEN
    Env,
}

/// The JSON of a token.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct TokenJson {
    /// The access token.
    pub token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// When the token expires, in UTC; `null` if that is not known.
    pub expires_at: Option<String>,
    /// In how many seconds it expires.
    pub expires_in: Option<u64>,
    /// The scopes that were asked for. Keliweb Fatture has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

/// A token, and when it expires.
struct Obtained {
    token: AccessToken,
    expires_at: Option<SystemTime>,
}

/// The scope of a request.
fn scope_of(request: &str) -> Result<Scope, String> {
    let (method, url) =
        request.trim().split_once(' ').ok_or("expected a method and a URL in quotes: write --for 'GET URL'")?;
    scope_of_request(method, url.trim())
}

pub async fn openapi(arguments: &OpenapiArguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let OpenapiArguments { scopes, request, wanted } = arguments;
    let scopes: ScopeSet = scopes.iter().cloned().chain(request.clone().map(ScopePattern::from)).collect();
    let environment = context.settings.environment.unwrap_or_else(|| environment_of(&scopes));
    let name = if environment == Environment::Sandbox { "OPENAPI_SANDBOX_TOKEN" } else { "OPENAPI_TOKEN" };
    let obtained = match ready_made(name, environment, context)? {
        Some(_) if wanted.refresh => {
            return Err(Failure::credentials(format!(
                "Openapi.it: no API key, so the token of {name} cannot be replaced; set OPENAPI_API_KEY"
            )));
        }
        Some(token) => {
            context.output.warn(&format!(
                "the token comes from the variable {name}: its scopes and its expiration time are not known"
            ));
            Obtained { token, expires_at: None }
        }
        None => {
            let store = context.store().await?;
            match version {
                ApiVersion::V1 => {
                    let oauth = context.openapi_v1(environment).await?.store(store.clone()).build()?;
                    obtain(&(oauth.token_for(&scopes), oauth), &store, wanted, context).await?
                }
                ApiVersion::V2 => {
                    let oauth = context.openapi_v2(environment).await?.store(store.clone()).build()?;
                    obtain(&(oauth.token_for(&scopes), oauth), &store, wanted, context).await?
                }
            }
        }
    };
    Ok(report(&obtained, Some(&scopes), name, wanted.format, context))
}

/// Hosts of the sandbox begin with `test.`, and no token is good for both.
fn environment_of(scopes: &ScopeSet) -> Environment {
    if scopes.iter().all(|scope| scope.host().starts_with("test.")) {
        Environment::Sandbox
    } else {
        Environment::Production
    }
}

/// Returns a token that the vendor's own variable holds. It counts only if there is no API key.
fn ready_made(name: &str, environment: Environment, context: &Context) -> Result<Option<AccessToken>, Failure> {
    let has_key = locate(openapi_key(environment), &context.settings).is_some();
    let Some(token) = variable(name).filter(|_| !has_key) else { return Ok(None) };
    // As a token of the service: it becomes a line of a header, or of curl's configuration.
    if token.len() > 8 << 10 || !token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)) {
        let rule = "expected at most 8 KiB of ASCII without blanks, quotes and backslashes";
        return Err(Failure::usage(format!("{name}: not a token; {rule}")));
    }
    Ok(Some(AccessToken::new(token)))
}

pub async fn keliweb(arguments: &KeliwebArguments, context: &Context) -> Result<Report, Failure> {
    keliweb_token(&arguments.wanted, context).await
}

pub async fn refresh(arguments: &FormatArguments, context: &Context) -> Result<Report, Failure> {
    keliweb_token(&Wanted { format: arguments.format, min_life: None, refresh: true }, context).await
}

async fn keliweb_token(wanted: &Wanted, context: &Context) -> Result<Report, Failure> {
    let store = context.store().await?;
    let fatture = context.keliweb().await?.store(store.clone()).build()?;
    let obtained = obtain(&fatture, &store, wanted, context).await?;
    Ok(report(&obtained, None, "KELIWEB_TOKEN", wanted.format, context))
}

/// A client, of any service.
trait Client {
    fn token(&self) -> impl Future<Output = Result<AccessToken, Error>>;
    fn invalidate(&self, token: &AccessToken);
    fn wait_idle(&self) -> impl Future<Output = ()>;
}

impl Client for Fatture {
    fn token(&self) -> impl Future<Output = Result<AccessToken, Error>> {
        Self::token(self)
    }

    fn invalidate(&self, token: &AccessToken) {
        Self::invalidate(self, token);
    }

    fn wait_idle(&self) -> impl Future<Output = ()> {
        Self::wait_idle(self)
    }
}

/// Implements [`Client`] for a client of Openapi.it with the handle of the token for some scopes.
macro_rules! openapi_client {
    ($oauth:ty) => {
        impl Client for (TokenHandle, $oauth) {
            fn token(&self) -> impl Future<Output = Result<AccessToken, Error>> {
                self.0.get()
            }

            fn invalidate(&self, token: &AccessToken) {
                self.0.invalidate(token);
            }

            fn wait_idle(&self) -> impl Future<Output = ()> {
                self.1.wait_idle()
            }
        }
    };
}

openapi_client!(openapi::v1::Oauth);
openapi_client!(openapi::v2::Oauth);

/// Returns a token, and waits until the store has it.
async fn obtain(
    client: &impl Client,
    store: &Observed,
    wanted: &Wanted,
    context: &Context,
) -> Result<Obtained, Failure> {
    let left =
        |end: Option<SystemTime>| end.and_then(|end| end.duration_since(context.clock.now()).ok()).unwrap_or_default();
    let least = wanted.min_life.unwrap_or_default();
    let mut token = client.token().await?;
    client.wait_idle().await;
    // A token that was not in the store is new.
    let was_kept = !left(store.found()).is_zero();
    if was_kept && (wanted.refresh || left(store.expires_at()) < least) {
        client.invalidate(&token);
    }
    // After `invalidate`, or after a refresh in the background, this returns another token.
    token = client.token().await.map_err(Failure::from)?;
    client.wait_idle().await;
    let expires_at = store.expires_at();
    if expires_at.is_some() && left(expires_at) < least {
        context.output.warn(&format!("the service gives tokens that expire sooner than in {}", times::rough(least)));
    }
    Ok(Obtained { token, expires_at })
}

fn report(obtained: &Obtained, scopes: Option<&ScopeSet>, variable: &str, chosen: Chosen, context: &Context) -> Report {
    let token = obtained.token.expose();
    let left = obtained.expires_at.and_then(|end| end.duration_since(context.clock.now()).ok());
    let json = TokenJson {
        token: token.to_owned(),
        token_type: "Bearer",
        expires_at: obtained.expires_at.map(times::utc),
        expires_in: left.map(|left| left.as_secs()),
        scopes: scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
    };
    // Without it, Keliweb Fatture, which has no scopes, responds to a rejected token with a redirect to its login page.
    let accept = if scopes.is_none() { "header = \"Accept: application/json\"\n" } else { "" };
    let text = match chosen.format {
        Format::Token | Format::Json => format!("{token}\n"),
        Format::Header => format!("Authorization: Bearer {token}\n"),
        Format::Curl => format!("oauth2-bearer = \"{}\"\n{accept}", token.replace('"', "\\\"")),
        Format::Env => format!("{variable}={}\n", quoted(token)),
    };
    let mut report = Report::text(text, &json);
    report.is_json = chosen.format == Format::Json;
    match json.expires_at.zip(left) {
        Some((end, left)) => report.with_note(format!("expires at {end}, in {}", times::rough(left))),
        None => report,
    }
}

/// Quotes a token for a shell, if it needs that. Not every reader of such lines knows quotes.
fn quoted(token: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._+/=:@,%".contains(c);
    // zsh takes a `=` at the beginning for the path of a program.
    if token.chars().all(is_plain) && !token.starts_with('=') {
        token.to_owned()
    } else {
        format!("'{}'", token.replace('\'', r"'\''"))
    }
}
