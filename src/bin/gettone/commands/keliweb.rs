//! `keliweb logout`.

use serde::Serialize;

use crate::clients::Context;
use crate::failure::Failure;
use crate::output::Report;

/// The result of `keliweb logout`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Logout {
    /// Whether a token was kept.
    pub removed: bool,
}

/// Removes the kept token.
pub async fn logout(context: &Context) -> Result<Report, Failure> {
    let store = context.store().await?;
    let fatture = context.keliweb().await?.store(store.clone()).build()?;
    fatture.clear().await?;
    let removed = store.is_removed();
    let text = if removed { "removed the token\n" } else { "no token was kept\n" };
    Ok(Report::text(text, &Logout { removed }))
}
