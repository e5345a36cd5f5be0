//! `scope`: what the library knows of scopes. Nothing here reaches a service.

use clap::{Args, Subcommand};
use gettone::{Scope, ScopePattern, ScopeSet};
use serde::Serialize;

use crate::arguments::{scope, scope_of_request};
use crate::commands::account::logs::without_secrets;
use crate::failure::Failure;
use crate::output::{Report, Table};
use crate::table::visible;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Explain scopes, and what a URL needs
    Explain(ExplainArguments),
    /// Leave out scopes that others include
    #[command(after_help = "\
Example:
  gettone scope minimize GET:imprese.openapi.it/base '*:imprese.openapi.it/*'")]
    Minimize(Patterns),
    /// Convert scopes of production into those of the sandbox
    #[command(after_help = "Example:\n  gettone scope sandbox GET:imprese.openapi.it/base")]
    Sandbox(Patterns),
}

#[derive(Debug, Args)]
#[command(after_help = "\
It shows what each covers, some wider scopes that cover it, and how those that
you name relate. A URL may have a method before it; without one, it is for GET.

Examples:
  gettone scope explain '*:imprese.openapi.it/*' GET:*/base
  gettone scope explain 'POST https://test.ws.ufficiopostale.com/raccomandate'")]
pub struct ExplainArguments {
    /// Scopes, patterns, or URLs
    #[arg(value_name = "SCOPE|URL", required = true)]
    texts: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Patterns {
    /// Scopes or patterns, such as '*:imprese.openapi.it/*'
    #[arg(value_name = "SCOPE", required = true, value_parser = scope::<ScopePattern>)]
    scopes: Vec<ScopePattern>,
}

/// The JSON of `scope minimize` and `scope sandbox`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Scopes {
    scopes: Vec<ScopePattern>,
}

/// The JSON of `scope explain`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Explanations {
    explanations: Vec<Explanation>,
}

/// What a scope, or that of a URL, means.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// What was given. A URL without user name, query and fragment.
    given: String,
    /// The scope, in the service's form. For a URL, the one that it needs.
    scope: ScopePattern,
    /// `production` or `sandbox`; `null` if it covers hosts of both.
    environment: Option<&'static str>,
    /// What it covers, in words.
    covers: String,
    /// Some of the wider scopes that cover it, from the narrowest to the widest.
    covered_by: Vec<ScopePattern>,
    /// The others that were given and that it includes.
    includes: Vec<ScopePattern>,
    /// The others that were given and that include it.
    included_in: Vec<ScopePattern>,
    /// The others that were given and that cover a part of the same.
    overlaps: Vec<ScopePattern>,
}

pub fn run(command: &Command) -> Result<Report, Failure> {
    match command {
        Command::Explain(arguments) => explain(arguments),
        Command::Minimize(arguments) => Ok(list(ScopeSet::minimize(arguments.scopes.iter().cloned()))),
        Command::Sandbox(arguments) => {
            let scopes = arguments.scopes.iter().map(sandbox).collect::<Result<ScopeSet, Failure>>();
            scopes.map(list)
        }
    }
}

fn list(scopes: ScopeSet) -> Report {
    let scopes: Vec<ScopePattern> = scopes.into_iter().collect();
    Report::table(Table::of(["SCOPE"], &scopes, |scope| [scope.to_string()]), &Scopes { scopes })
}

/// Returns a pattern in the sandbox. Its host may have no wildcard.
fn sandbox(pattern: &ScopePattern) -> Result<ScopePattern, Failure> {
    if pattern.host().contains('*') {
        return Err(Failure::usage(format!(
            "{pattern}: hosts of the sandbox begin with `test.`, so that no pattern with `*` in its host stands for them alone; name the \
             hosts"
        )));
    }
    let failed = |error: gettone::Error| Failure::usage(error.to_string());
    // The host of any scope of it is the host of all.
    let host =
        format!("GET:{}/root", pattern.host()).parse::<Scope>().and_then(|scope| scope.sandbox()).map_err(failed)?;
    let moved = ScopePattern::domain(host.host()).and_then(|moved| moved.endpoint(pattern.path())).map_err(failed)?;
    Ok(match pattern.method() {
        Some(method) => moved.with_method(method),
        None => moved,
    })
}

fn explain(arguments: &ExplainArguments) -> Result<Report, Failure> {
    let (mut scopes, mut mistakes) = (Vec::new(), Vec::new());
    for text in &arguments.texts {
        match read(text) {
            Ok(scope) => scopes.push((text.clone(), scope)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::usage(mistakes.join("\n")));
    }
    let explanations = scopes.iter().map(|(text, scope)| Explanation::of(text, scope, &scopes)).collect();
    let json = Explanations { explanations };
    let text = json.explanations.iter().map(Explanation::text).collect::<Vec<_>>().join("\n");
    Ok(Report::text(text, &json))
}

/// Reads a scope, or works out that of a URL. The error says what is wrong, and points at the place.
fn read(text: &str) -> Result<ScopePattern, String> {
    let (method, url) = text.split_once(' ').map_or(("GET", text), |(method, url)| (method, url.trim()));
    if !url.contains("://") {
        return scope(text).map_err(|error| pointed_at(text, &error));
    }
    scope_of_request(method, url).map(ScopePattern::from)
}

/// Adds a line with a mark below the place that a message names, if the mark is sure to stand below it.
fn pointed_at(text: &str, message: &str) -> String {
    let place = message.split_once(" at byte ").and_then(|(_, rest)| rest.split_once(' ')?.0.parse::<usize>().ok());
    match place {
        Some(place) if text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 70 => {
            format!("{message}\n  {text}\n  {:>width$}", '^', width = place + 1)
        }
        _ => message.to_owned(),
    }
}

impl Explanation {
    fn of(given: &str, scope: &ScopePattern, all: &[(String, ScopePattern)]) -> Self {
        let others: Vec<&ScopePattern> = all.iter().map(|(_, other)| other).filter(|other| *other != scope).collect();
        let select = |is_meant: &dyn Fn(&ScopePattern) -> bool| {
            others.iter().filter(|other| is_meant(other)).map(|other| (*other).clone()).collect::<Vec<_>>()
        };
        let overlaps =
            |other: &ScopePattern| scope.intersects(other) && !scope.includes(other) && !other.includes(scope);
        Self {
            given: if given.contains("://") { without_secrets(given) } else { given.to_owned() },
            scope: scope.clone(),
            environment: environment(scope.host()),
            covers: in_words(scope),
            covered_by: wider(scope),
            includes: select(&|other| scope.includes(other)),
            included_in: select(&|other| other.includes(scope)),
            overlaps: select(&overlaps),
        }
    }

    fn text(&self) -> String {
        let texts = |scopes: &[ScopePattern]| scopes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut lines = vec![("covers", vec![self.covers.clone()])];
        if self.given.contains("://") {
            lines.insert(0, ("needs", vec![self.scope.to_string()]));
        }
        lines.push(("in", vec![self.environment.unwrap_or("production and the sandbox").to_owned()]));
        // There are more, such as those with another part of the path or of the host.
        let wider = texts(&self.covered_by);
        let some = (!wider.is_empty()).then(|| "for example:".to_owned());
        lines.push(("covered by", some.into_iter().chain(wider).collect()));
        lines.push(("includes", texts(&self.includes)));
        lines.push(("included in", texts(&self.included_in)));
        lines.push(("overlaps", texts(&self.overlaps)));
        let title = if self.given.contains("://") { self.given.clone() } else { self.scope.to_string() };
        let lines = lines.iter().filter(|(_, values)| !values.is_empty());
        let lines = lines.map(|(name, values)| format!("  {name:<12} {}\n", values.join(&format!("\n{:15}", ""))));
        format!("{}\n{}", visible(&title), lines.collect::<String>())
    }
}

/// Returns the environment of a host. One with a wildcard may stand for hosts of both.
fn environment(host: &str) -> Option<&'static str> {
    match host {
        "*" => None,
        host if host.starts_with("*.") => None,
        host if host.starts_with("test.") => Some("sandbox"),
        _ => Some("production"),
    }
}

fn in_words(scope: &ScopePattern) -> String {
    let methods = scope.method().map_or("requests with any method".to_owned(), |method| format!("{method} requests"));
    let host = match scope.host() {
        "*" => "any host".to_owned(),
        host => host.strip_prefix("*.").map_or_else(|| host.to_owned(), |domain| format!("any host below {domain}")),
    };
    match scope.path() {
        "*" => format!("{methods} to {host}"),
        "root" => format!("{methods} to {host}, path /"),
        path => format!("{methods} to {host}, path /{path} and below it"),
    }
}

/// Returns the wider patterns that cover a pattern: with `*` for the endpoint, the method, the first label of the host, and the host.
fn wider(scope: &ScopePattern) -> Vec<ScopePattern> {
    let method = scope.method().map_or("*", |method| method.as_str());
    let below = scope.host().trim_start_matches("*.").split_once('.').map(|(_, domain)| format!("*.{domain}"));
    let any_host = below.filter(|domain| domain.contains('.') && domain.matches('.').count() > 1);
    let texts = [
        Some(format!("*:{}/{}", scope.host(), scope.path())),
        Some(format!("{method}:{}/*", scope.host())),
        Some(format!("*:{}/*", scope.host())),
        any_host.map(|domain| format!("*:{domain}/*")),
        Some("*:*/*".to_owned()),
    ];
    let mut wider: Vec<ScopePattern> = texts.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
    wider.retain(|pattern: &ScopePattern| pattern != scope && pattern.includes(scope));
    wider.dedup();
    wider
}
