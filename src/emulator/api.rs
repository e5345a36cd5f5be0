//! The APIs that the emulator has, and where each one is.

use std::fmt;

/// The path prefixes of the services.
pub(super) const PRODUCTION: &str = "/production";
pub(super) const SANDBOX: &str = "/sandbox";
pub(super) const PRODUCTION_V2: &str = "/v2/production";
pub(super) const SANDBOX_V2: &str = "/v2/sandbox";
pub(super) const KELIWEB: &str = "/keliweb";

/// One of the emulator's APIs.
///
/// ```
/// use gettone::emulator::{Api, Emulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::start().await?;
/// assert_eq!(emulator.count_valid_tokens(Api::Sandbox), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Api {
    /// Version 1 of Openapi.it Oauth, in production.
    Production,
    /// Version 1 of Openapi.it Oauth, in the sandbox.
    Sandbox,
    /// Version 2 of Openapi.it Oauth, in production.
    ProductionV2,
    /// Version 2 of Openapi.it Oauth, in the sandbox.
    SandboxV2,
    /// Keliweb Fatture, including its protected endpoint.
    Keliweb,
    /// The protected endpoint of Openapi.it.
    Echo,
    /// None: the emulator does not know the path.
    Unknown,
}

impl Api {
    /// Returns the name that the control interface uses.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::ProductionV2 => "production_v2",
            Self::SandboxV2 => "sandbox_v2",
            Self::Keliweb => "keliweb",
            Self::Echo => "echo",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::ProductionV2 => "production (version 2)",
            Self::SandboxV2 => "sandbox (version 2)",
            Self::Keliweb => "keliweb",
            Self::Echo => "echo",
            Self::Unknown => "unknown",
        })
    }
}
