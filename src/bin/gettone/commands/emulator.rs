//! `emulator`.

use clap::Args;
use gettone::emulator::Emulator;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Output, Report};

#[derive(Debug, Args)]
#[command(after_help = "\
It prints the variables with which gettone and other programs use it. Its
accounts are public: never give it real credentials. End it with Ctrl-C or kill.

Requests fail on demand, in one of these ways: status, html, lost_request,
lost_response, truncated_response. For example, the next one gets a 503:
  curl -H 'Content-Type: application/json' \\
    -d '{\"kind\":\"status\",\"status\":503}' URL/_emulator/faults
https://docs.rs/gettone/latest/gettone/guide/testing/ explains all controls.

Examples:
  gettone emulator > emulator.env &
  . ./emulator.env
  gettone openapi token GET:127.0.0.1/echo

  gettone emulator --port 8080 --json > emulator.json &")]
pub struct Arguments {
    /// Listen on this port of 127.0.0.1 [default: a free one]
    #[arg(long, default_value_t, hide_default_value = true)]
    port: u16,
}

/// What `emulator` prints: the variables with which programs use it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Started {
    /// The address.
    pub url: String,
    /// The variables by name.
    pub variables: std::collections::BTreeMap<&'static str, String>,
}

impl Started {
    fn of(emulator: &Emulator) -> Self {
        let (account, customer) = (emulator.account(), emulator.customer());
        let variables = [
            ("GETTONE_OPENAPI_URL", emulator.production_v2_url()),
            ("GETTONE_OPENAPI_SANDBOX_URL", emulator.sandbox_v2_url()),
            ("GETTONE_OPENAPI_V1_URL", emulator.production_url()),
            ("GETTONE_OPENAPI_V1_SANDBOX_URL", emulator.sandbox_url()),
            ("GETTONE_KELIWEB_URL", emulator.keliweb_url()),
            ("OPENAPI_EMAIL", account.email().to_owned()),
            ("OPENAPI_API_KEY", account.production_key().expose().to_owned()),
            ("OPENAPI_SANDBOX_KEY", account.sandbox_key().expose().to_owned()),
            ("KELIWEB_CLIENT_ID", customer.client_id().to_owned()),
            ("KELIWEB_CLIENT_SECRET", customer.client_secret().expose().to_owned()),
            ("KELIWEB_USERNAME", customer.username().to_owned()),
            ("KELIWEB_PASSWORD", customer.password().expose().to_owned()),
        ];
        Self { url: emulator.url(""), variables: variables.into() }
    }

    fn exports(&self) -> String {
        self.variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect()
    }
}

/// Runs the emulator until the program is interrupted.
pub async fn run(arguments: &Arguments, output: Output) -> Result<Report, Failure> {
    let emulator = Emulator::builder().port(arguments.port).control(true).start().await;
    let emulator =
        emulator.map_err(|error| Failure::other(format!("port {} of 127.0.0.1: {error}", arguments.port)))?;
    let started = Started::of(&emulator);
    output.print(&Report::text(started.exports(), &started))?;
    output.note(&format!(
        "The emulator listens on {url}\n\
         Set these variables in another shell, then try:\n\
         \x20 config=$(gettone keliweb token --format curl) &&\n\
         \x20   curl -K - {url}/api/hello <<<\"$config\"\n\
         \x20 header=$(gettone openapi token GET:127.0.0.1/echo --format header) &&\n\
         \x20   curl -H @- {url}/echo/hello <<<\"$header\"\n\
         Its page in a browser: {url}/\n\
         Faults, the clock, credit: `gettone emulator --help` shows how to control them",
        url = started.url,
    ));
    std::future::pending().await
}
