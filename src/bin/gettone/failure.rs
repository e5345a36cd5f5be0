//! Why a command failed, and the exit code that says so.

use std::fmt;
use std::time::Duration;

use gettone::Error;
use serde::Serialize;

/// The exit codes. `docs/command-line.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    /// Credentials are missing, or the service refused them.
    Credentials = 4,
    /// The same command may succeed later: `EX_TEMPFAIL` of sysexits.
    TryLater = 75,
    Interrupted = 130,
    Terminated = 143,
}

/// Why a command failed. Its text never contains a secret.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    message: String,
    error: Option<Error>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), error: None }
    }

    /// Returns a failure that is none of the special ones.
    pub fn other(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Returns a failure of the caller: a wrong option, variable or configuration.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn credentials(message: impl fmt::Display) -> Self {
        Self::new(Exit::Credentials, message)
    }

    /// Returns whether the service refused the credentials that it was sent.
    pub fn is_refusal(&self) -> bool {
        self.exit == Exit::Credentials && self.error.is_some()
    }

    /// Returns the failure with a remark.
    pub fn with(self, remark: impl fmt::Display) -> Self {
        Self { message: format!("{}; {remark}", self.message), ..self }
    }

    /// Returns the failure with what the command was doing.
    pub fn during(self, action: impl fmt::Display) -> Self {
        Self { message: format!("{action}: {}", self.message), ..self }
    }

    /// Returns the failure with what the command had done before.
    pub fn after(self, done: impl fmt::Display) -> Self {
        Self { message: format!("{done}; {}", self.message), ..self }
    }

    /// Returns the failure as `--json` shows it.
    pub fn to_json(&self) -> FailureJson<'_> {
        let error = self.error.as_ref();
        FailureJson {
            error: Details {
                message: &self.message,
                exit_code: self.exit as u8,
                service: error.and_then(Error::service),
                operation: error.and_then(Error::operation),
                status: error.and_then(Error::status).map(|status| status.as_u16()),
                code: error.and_then(Error::code),
                retry_after: error.and_then(Error::retry_after).map(whole_seconds),
            },
        }
    }
}

/// A failure on stderr, with `--json`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct FailureJson<'a> {
    error: Details<'a>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Details<'a> {
    message: &'a str,
    exit_code: u8,
    /// The service of the call that failed.
    service: Option<&'a str>,
    /// Its operation.
    operation: Option<&'a str>,
    /// The status of the response.
    status: Option<u16>,
    /// The service's own code.
    code: Option<&'a str>,
    /// In how many seconds to try again, rounded up.
    retry_after: Option<u64>,
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.error.as_ref().and_then(Error::retry_after) {
            Some(wait) if self.exit == Exit::TryLater => write!(f, "; try again in {} s", whole_seconds(wait)),
            _ if self.exit == Exit::TryLater => f.write_str("; try again later"),
            _ => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = if error.is_unauthorized() || error.is_invalid_grant() {
            Exit::Credentials
        } else if error.is_invalid_input() && error.status().is_none() {
            Exit::Usage
        } else if error.is_transient() || error.is_backing_off() {
            Exit::TryLater
        } else {
            Exit::Failed
        };
        Self { exit, message: text_of(&error), error: Some(error) }
    }
}

/// Returns the text of an error. A message that only repeats the reason of the status is left out.
fn text_of(error: &Error) -> String {
    let text = error.to_string();
    match error.status().and_then(|status| status.canonical_reason()) {
        Some(reason) => text.replacen(&format!("{reason}: {reason}"), reason, 1),
        None => text,
    }
}
