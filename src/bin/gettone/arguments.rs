//! What can be written on the command line. No option and no argument takes a secret: other users can read the arguments of a program.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use gettone::reqwest::Url;
use gettone::{Scope, ScopeMethod};

use crate::commands::{account, completions, emulator, manual, scope, token};
use crate::times;

const EXAMPLES: &str = "\
Examples:
  header=$(gettone openapi token --format header --for \"GET $URL\") &&
    curl -H @- \"$URL\" <<<\"$header\"
  config=$(gettone keliweb token --format curl) &&
    curl -K - https://fatture.keliweb.it/api/invoices <<<\"$config\"
  gettone status

Exit codes: 0 success, 1 failure, 2 wrong usage, 4 credentials are missing or
refused, 75 try again later, 130 or 143 interrupted.

Credentials come from --credentials, systemd, the environment (OPENAPI_EMAIL,
OPENAPI_API_KEY, KELIWEB_CLIENT_ID, ...), or the configuration file; never from
an argument. The configuration file is ~/.config/gettone/config.toml:
  [default.openapi]
  email = \"me@example.com\"
  api_key_command = [\"pass\", \"show\", \"openapi/api-key\"]

Guide: https://docs.rs/gettone/latest/gettone/guide/command_line/";

const OPENAPI_EXAMPLE: &str =
    "Examples:\n  gettone openapi token GET:imprese.openapi.it/base\n  gettone openapi stats --by scope";
const SCOPE_EXAMPLE: &str = "Example:\n  gettone scope explain '*:imprese.openapi.it/*'";
const KELIWEB_EXAMPLE: &str =
    "Example:\n  config=$(gettone keliweb token --format curl) && curl -K - URL <<<\"$config\"";

/// Reads a scope or a pattern. An error shows the text only if it is no token and no URL, both of which may be a secret.
pub fn scope<T: FromStr<Err = gettone::Error>>(text: &str) -> Result<T, String> {
    if !text.contains(':') || text.contains("://") || text.contains('@') {
        return Err("not a scope; expected METHOD:HOST/PATH, such as GET:imprese.openapi.it/base".to_owned());
    }
    // A query may have a key in it, and `scope explain` shows the text of an error.
    if text.contains(['?', '#']) {
        return Err("a scope has no query and no fragment; end it with the path".to_owned());
    }
    one(text)?;
    text.parse().map_err(|error: gettone::Error| error.to_string())
}

/// Reads a scope that is no pattern.
pub fn single_scope(text: &str) -> Result<Scope, String> {
    if text.contains('*') {
        return Err("expected one scope, without `*`, such as GET:imprese.openapi.it/base".to_owned());
    }
    scope(text)
}

/// Returns the scope of a request. An error shows neither the URL nor what stands in place of a method: both may contain a secret.
pub fn scope_of_request(method: &str, url: &str) -> Result<Scope, String> {
    let method = ScopeMethod::ALL.iter().find(|known| known.as_str() == method);
    let method = method.ok_or("unknown method before the URL; expected GET, POST, PUT, PATCH or DELETE")?;
    let url = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    Scope::for_request(&(*method).into(), &url).map_err(|error| error.to_string())
}

/// Refuses several scopes in one text.
pub fn one(text: &str) -> Result<(), String> {
    let scopes = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| part.contains(':'));
    if scopes.count() > 1 || text.contains(',') {
        return Err("expected one scope in each argument; write several with blanks between them, without commas and \
                    without quotes around all of them"
            .to_owned());
    }
    Ok(())
}

/// Tokens of Openapi.it and Keliweb Fatture for shells, scripts and other
/// languages.
#[derive(Debug, Parser)]
#[command(name = "gettone", version, term_width = 80, after_help = EXAMPLES, max_term_width = 80)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Use the sandbox of Openapi.it
    #[arg(long, global = true, conflicts_with = "production")]
    pub sandbox: bool,

    /// Use production [default, unless all hosts begin with `test.`]
    #[arg(long, global = true)]
    pub production: bool,

    /// Use a profile of the configuration file [default: default]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,

    /// Read another configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read credentials from a file, or from stdin (`-`)
    #[arg(long, global = true, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// Keep tokens in a file, in Redis (a URL without a password), or `none`
    #[arg(long, global = true, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    pub store: Option<String>,

    /// Give up after this time, such as 30s or 2m
    #[arg(long, global = true, value_name = "TIME", value_parser = times::positive)]
    pub timeout: Option<Duration>,

    /// Never ask, not even at a terminal
    #[arg(long, global = true)]
    pub no_input: bool,

    /// Print JSON: the result on stdout, an error on stderr
    #[arg(long, global = true)]
    pub json: bool,

    /// Print only results, warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Print each step on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// Use bold type: auto, always or never [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    // At a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    Always,
    Never,
}

// A group of commands is an arm here, with a module in `commands`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Openapi.it: tokens for its services, and the account
    #[command(arg_required_else_help = true, after_help = OPENAPI_EXAMPLE)]
    Openapi(Openapi),
    /// Keliweb Fatture: its token
    #[command(subcommand, arg_required_else_help = true, after_help = KELIWEB_EXAMPLE)]
    Keliweb(Keliweb),
    /// Scopes of Openapi.it: explain and convert them, offline
    #[command(subcommand, arg_required_else_help = true, after_help = SCOPE_EXAMPLE)]
    Scope(scope::Command),
    /// Show addresses, where credentials come from, and kept tokens
    #[command(after_help = "Example:\n  gettone status --json")]
    Status,
    /// Run both services on this machine, for tests
    Emulator(emulator::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Print the manual, or write its pages to a folder
    Man(manual::Arguments),
}

#[derive(Debug, Args)]
pub struct Openapi {
    /// The version of Openapi.it's Oauth: 1 or 2 [default: 2]
    #[arg(long, global = true, value_name = "VERSION", value_enum, hide_possible_values = true)]
    pub api_version: Option<ApiVersion>,

    #[command(subcommand)]
    pub command: OpenapiCommand,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ApiVersion {
    // The vendor calls it deprecated.
    #[value(name = "1")]
    V1,
    #[default]
    #[value(name = "2")]
    V2,
}

#[derive(Debug, Subcommand)]
pub enum OpenapiCommand {
    /// Print a token for these scopes: a kept one, or a new one
    Token(token::OpenapiArguments),
    #[command(flatten)]
    Account(account::Command),
}

#[derive(Debug, Subcommand)]
pub enum Keliweb {
    /// Print the token: the kept one, or a new one
    Token(token::KeliwebArguments),
    /// Replace the token, and print the new one
    Refresh(token::FormatArguments),
    /// Remove the kept token; it stays valid until it expires
    #[command(after_help = "Example:\n  gettone keliweb logout")]
    Logout,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    /// Every option and argument that has a value. None is a secret. Before you add one here, make sure that its value is none.
    const VALUES: [&str; 24] = [
        "api_version",
        "by",
        "color",
        "config",
        "credentials",
        "folder",
        "format",
        // Of a subscription or a delivery, and the short ids of tokens.
        "id",
        "ids",
        "limit",
        "min_life",
        // A word that is no command of `tokens`: the program refuses it.
        "other",
        "patterns",
        "period",
        "port",
        "profile",
        "request",
        "scope",
        "scopes",
        "shell",
        "store",
        "timeout",
        "subcommand",
        "texts",
    ];

    fn check(command: &Command, options: &mut usize) {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let id = argument.get_id().as_str();
            assert!(VALUES.contains(&id), "{}: {id} takes a value", command.get_name());
            *options += 1;
        }
        command.get_subcommands().for_each(|command| check(command, options));
    }

    #[test]
    fn no_option_takes_a_secret() {
        let mut command = Arguments::command();
        command.build();
        command.clone().debug_assert();
        let mut options = 0;
        check(&command, &mut options);
        assert!(options > 60, "{options}");
    }
}
