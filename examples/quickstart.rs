//! The main job, from the first token to the last: `cargo run --example quickstart`.
//!
//! Without an account it talks to a server on this machine, which answers with the examples of the specs. With
//! `OPENAPI_EMAIL` and `OPENAPI_API_KEY` set it talks to the sandbox of Openapi.it (to production after `-- --production`),
//! and with the four `KELIWEB_…` set to Keliweb Fatture. The token that it makes at Openapi.it it deletes, also when
//! something goes wrong; those of Keliweb end by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/common/spec.rs"]
#[allow(dead_code)]
mod spec;

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use gettone::keliweb::{self, Fatture, TokenPair};
use gettone::openapi::{self, Environment, Oauth, Period, Token, TokenUpdate, Ttl};
use gettone::{Scope, ScopePattern, ScopeSet};
use httpmock::MockServer;
use spec::Spec;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let environment = match std::env::args().nth(1).as_deref() {
        None => Environment::Sandbox,
        Some("--production") => Environment::Production,
        Some(other) => return Err(format!("unknown argument `{other}`; the one there is: --production").into()),
    };
    // Only started if one of the services has no account.
    let local = LocalServer::default();

    let (oauth, place) = if is_set(["OPENAPI_EMAIL", "OPENAPI_API_KEY"]) {
        let credentials = openapi::Credentials::from_env()?;
        (Oauth::builder(credentials).environment(environment).build()?, environment.to_string())
    } else {
        let credentials = openapi::Credentials::new("test@example.com", "no-key");
        (Oauth::builder(credentials).base_url(local.start(&Spec::openapi())).build()?, LOCAL.to_owned())
    };
    title("Openapi.it Oauth", &place);
    openapi_oauth(&oauth).await?;

    let (fatture, place) =
        if is_set(["KELIWEB_CLIENT_ID", "KELIWEB_CLIENT_SECRET", "KELIWEB_USERNAME", "KELIWEB_PASSWORD"]) {
            (Fatture::builder(keliweb::Credentials::from_env()?).build()?, "production")
        } else {
            let credentials = keliweb::Credentials::new("no-id", "no-secret", "test@example.com", "no-password");
            (Fatture::builder(credentials).base_url(local.start(&Spec::keliweb())).build()?, LOCAL)
        };
    title("Keliweb Fatture", place);
    keliweb_fatture(&fatture).await?;
    Ok(())
}

/// Whether one of the variables is there: then all of them must be, and nothing is said to be local that is not.
fn is_set<const N: usize>(names: [&str; N]) -> bool {
    names.into_iter().any(|name| std::env::var_os(name).is_some())
}

async fn openapi_oauth(oauth: &Oauth) -> Result<(), gettone::Error> {
    line("credit", format!("{} EUR", oauth.credit().await?));
    let catalogue = oauth.scopes().await?;
    line("scopes", format!("{}, such as {}", catalogue.len(), catalogue.first().map_or("none", Scope::as_str)));
    let domain = ScopePattern::domain("comparabili.openapi.it")?;
    line("of one domain", domain.expand(&catalogue).map(|scope| scope.to_string()).collect::<Vec<_>>().join(", "));

    let base: Scope = "GET:imprese.openapi.it/base".parse()?;
    let scopes: ScopeSet = [base.clone().into(), domain].into_iter().collect();
    let created = oauth.create_token(&scopes, Ttl::days(1)?).await?;
    line("create_token", describe(&created));
    let lacking = scopes.not_covered_by(&created.scopes().iter().collect());
    line("not granted", if lacking.is_empty() { "nothing".to_owned() } else { lacking.to_string() });
    let used = use_token(oauth, &created, &base, &scopes).await;
    // Whatever went wrong: a token that is left behind lives on.
    oauth.delete_token(created.token()).await?;
    line("delete_token", "done");
    used?;

    for period in [Period::total(), Period::year(2022)?, Period::month(2022, 1)?, Period::day(2022, 1, 1)?] {
        let counters = oauth.counters(period).await?;
        line(&format!("counters {period}"), format!("{} scopes", counters.len()));
        // The month as a table.
        if period == Period::month(2022, 1)? {
            println!("    {:<42} {:>8} {:>6} {:>10}", "scope", "requests", "paid", "limit");
            for (scope, counter) in &counters {
                println!("    {scope:<42} {:>8} {:>6} {:>10}", counter.requests(), counter.paid(), counter.limit());
            }
        }
    }
    Ok(())
}

async fn use_token(oauth: &Oauth, created: &Token, base: &Scope, scopes: &ScopeSet) -> Result<(), gettone::Error> {
    line("tokens", format!("{} alive", oauth.tokens().await?.len()));
    line("tokens_with_scope", format!("{} for {base}", oauth.tokens_with_scope(base).await?.len()));
    let found = oauth.find_token(created.token()).await?;
    line("find_token", found.as_ref().map_or("not there".to_owned(), describe));
    let replaced = oauth.replace_token(created.token(), &base.clone().into(), created.expires_at()).await?;
    line("replace_token", describe(&replaced));
    let updated = oauth.update_token(replaced.token(), TokenUpdate::new().scopes(scopes)).await?;
    line("update_token", describe(&updated));
    Ok(())
}

async fn keliweb_fatture(fatture: &Fatture) -> Result<(), gettone::Error> {
    let first = fatture.password_grant().await?;
    line("password_grant", lifetime(&first));
    if let Some(refresh_token) = first.refresh_token() {
        line("refresh", lifetime(&fatture.refresh(refresh_token).await?));
    }
    Ok(())
}

const LOCAL: &str = "a server on this machine, with the examples of the spec";

fn title(service: &str, place: &str) {
    println!("\n{service} ({place})");
}

fn line(what: &str, outcome: impl Display) {
    println!("  {what:<18} {outcome}");
}

fn describe(token: &Token) -> String {
    format!("{} scope(s) until {}", token.scopes().len(), httpdate::fmt_http_date(token.expires_at()))
}

fn lifetime(pair: &TokenPair) -> String {
    let refresh = if pair.refresh_token().is_some() { "a" } else { "no" };
    format!("{} token for {} s, with {refresh} refresh token", pair.token_type(), pair.expires_in().as_secs())
}

/// Answers each operation of a spec with its first example of a success.
#[derive(Default)]
struct LocalServer(std::cell::OnceCell<MockServer>);

impl LocalServer {
    fn start(&self, spec: &Spec) -> String {
        let server = self.0.get_or_init(MockServer::start);
        for (method, path, operation) in spec.operations() {
            let id = operation["operationId"].as_str().expect("the spec is checked");
            let examples = spec.answers();
            let (_, _, example) =
                examples.iter().find(|(known, status, _)| known == id && *status == 200).expect("an example");
            let answer = spec.answer(id, 200, example);
            let parameter = path.find('{').unwrap_or(path.len());
            server.mock(|when, then| {
                let when = when.method(method.to_uppercase().as_str());
                if parameter < path.len() {
                    when.path_prefix(&path[..parameter])
                } else {
                    when.path(path)
                };
                then.status(answer.status).header("content-type", "application/json").body(&answer.body);
            });
        }
        server.base_url()
    }
}
