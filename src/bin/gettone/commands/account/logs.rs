//! `openapi errors` and `openapi callbacks`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use gettone::openapi::v2::{Callback, ErrorLog};
use serde::Serialize;

use super::subscriptions::yes;
use super::{Selected, all, cell, count, moment, only_v2};
use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::{Report, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gettone openapi errors --scope GET:imprese.openapi.it/base --limit 20")]
pub struct ErrorsArguments {
    #[command(flatten)]
    selected: Selected,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The query of a URL is not shown, since it may contain a secret.

Examples:
  gettone openapi callbacks --limit 20
  gettone openapi callbacks 61f2a9c0e4b0 --json")]
pub struct CallbacksArguments {
    /// Show this delivery in detail
    #[arg(value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["scopes", "limit"])]
    id: Option<String>,

    #[command(flatten)]
    selected: Selected,
}

/// The JSON of `errors`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Errors {
    errors: Vec<ErrorJson>,
    /// How many more there are that cannot be read.
    unreadable: usize,
}

/// A call that failed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct ErrorJson {
    id: String,
    at: Option<String>,
    scope: Option<String>,
    domain: Option<String>,
    /// The status of the response.
    status: Option<u16>,
    /// The service's code of the failure.
    code: Option<String>,
    message: Option<String>,
    /// The address that called.
    ip: Option<String>,
}

impl ErrorJson {
    fn of(error: &ErrorLog) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: error.id().to_owned(),
            at: moment(error.at()),
            scope: text(error.scope()),
            domain: text(error.domain()),
            status: error.status(),
            code: text(error.code()),
            message: text(error.message()),
            ip: text(error.ip()),
        }
    }
}

pub async fn errors(arguments: &ErrorsArguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let oauth = only_v2("errors", version, context).await?;
    let Selected { scopes, limit } = &arguments.selected;
    let errors = all(oauth.stream_errors(scopes), *limit, context).await?;
    let header = ["TIME", "STATUS", "CODE", "SCOPE", "ADDRESS", "MESSAGE"];
    let table = Table::of(header, &errors.entries, |error| {
        let scope = error.scope().or(error.domain());
        let (time, status, code) = (cell(moment(error.at())), cell(error.status()), cell(error.code()));
        [time, status, code, cell(scope), cell(error.ip()), cell(error.message())]
    });
    let json = Errors { errors: errors.map(ErrorJson::of), unreadable: errors.unreadable };
    Ok(Report::table(table, &json).with_note(count(errors.entries.len(), "error")))
}

/// The JSON of `callbacks`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Callbacks {
    callbacks: Vec<CallbackJson>,
    /// How many more there are that cannot be read.
    unreadable: usize,
}

/// A delivery. In a list, the service leaves some of it out. Headers and data are not here, since they may contain secrets.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct CallbackJson {
    id: String,
    scope: Option<String>,
    domain: Option<String>,
    /// The URL without user name, query and fragment.
    url: Option<String>,
    method: Option<String>,
    /// The name of the field that the URL was given in.
    field: Option<String>,
    /// The status that the URL responded with.
    status: Option<u16>,
    is_active: Option<bool>,
    created_at: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    elapsed_milliseconds: Option<u64>,
    attempt: Option<u64>,
    retries: Option<u64>,
}

impl CallbackJson {
    fn of(callback: &Callback) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: callback.id().to_owned(),
            scope: text(callback.scope()),
            domain: text(callback.domain()),
            url: callback.url().map(without_secrets),
            method: text(callback.method()),
            field: text(callback.field()),
            status: callback.status(),
            is_active: callback.is_active(),
            created_at: moment(callback.created_at()),
            started_at: moment(callback.started_at()),
            completed_at: moment(callback.completed_at()),
            elapsed_milliseconds: callback.elapsed().and_then(|elapsed| elapsed.as_millis().try_into().ok()),
            attempt: callback.attempt(),
            retries: callback.retries(),
        }
    }

    fn fields(&self) -> Vec<(&'static str, Option<String>)> {
        let elapsed = self.elapsed_milliseconds.map(|elapsed| format!("{elapsed} ms"));
        vec![
            ("id", Some(self.id.clone())),
            ("scope", self.scope.clone()),
            ("domain", self.domain.clone()),
            ("method", self.method.clone()),
            ("URL", self.url.clone()),
            ("field", self.field.clone()),
            ("status", self.status.map(|status| status.to_string())),
            ("active", self.is_active.map(yes)),
            ("created", self.created_at.clone()),
            ("started", self.started_at.clone()),
            ("completed", self.completed_at.clone()),
            ("took", elapsed),
            ("attempt", self.attempt.map(|attempt| attempt.to_string())),
            ("retries", self.retries.map(|retries| retries.to_string())),
        ]
    }
}

/// Returns a URL without its user name, query and fragment, which may contain secrets. An ellipsis stands for a query.
pub fn without_secrets(url: &str) -> String {
    let (start, has_more) = match url.split_once(['?', '#']) {
        Some((start, _)) => (start, "?..."),
        None => (url, ""),
    };
    let (scheme, rest) = start.split_once("://").map_or(("", start), |(scheme, rest)| (scheme, rest));
    let host = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(host).unwrap_or((rest, ""));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{authority}{path}{has_more}")
}

pub async fn callbacks(
    arguments: &CallbacksArguments,
    version: ApiVersion,
    context: &Context,
) -> Result<Report, Failure> {
    let oauth = only_v2("callbacks", version, context).await?;
    if let Some(id) = &arguments.id {
        let json = CallbackJson::of(&oauth.get_callback(id).await?);
        return Ok(Report::table(Table::fields(json.fields()), &json));
    }
    let Selected { scopes, limit } = &arguments.selected;
    let callbacks = all(oauth.stream_callbacks(scopes), *limit, context).await?;
    let header = ["ID", "STARTED", "COMPLETED", "STATUS", "SCOPE", "URL"];
    let table = Table::of(header, &callbacks.entries, |callback| {
        let times = [callback.started_at(), callback.completed_at()];
        let [started, completed] = times.map(|time| cell(moment(time)));
        let (status, scope) = (cell(callback.status()), cell(callback.scope()));
        [callback.id().to_owned(), started, completed, status, scope, cell(callback.url().map(without_secrets))]
    });
    let json = Callbacks { callbacks: callbacks.map(CallbackJson::of), unreadable: callbacks.unreadable };
    Ok(Report::table(table, &json).with_note(count(callbacks.entries.len(), "delivery")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_neither_user_nor_query() {
        for (url, shown) in [
            ("https://a.it/hook?key=s3cret", "https://a.it/hook?..."),
            ("https://user:s3cret@a.it/hook", "https://a.it/hook"),
            ("https://user:s3cret@a.it?x=@", "https://a.it?..."),
            ("https://a.it/hook#s3cret", "https://a.it/hook?..."),
            ("user:s3cret@a.it/hook", "a.it/hook"),
            ("https://a.it/p@th", "https://a.it/p@th"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
