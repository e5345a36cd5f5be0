//! `keliweb logout`.

use serde::Serialize;

use crate::clients::Context;
use crate::failure::Failure;
use crate::output::Report;
use crate::settings::StoreChoice;

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
    fatture.clear().await.map_err(|error| {
        // A server may be reachable again later; a file stays as it is.
        let is_away = error.is_store() && matches!(context.settings.store, StoreChoice::Redis(_));
        let failure = Failure::from(error);
        if is_away { failure.temporary() } else { failure }
    })?;
    let removed = store.is_removed();
    let text = if removed { "removed the token\n" } else { "no token was kept\n" };
    Ok(Report::text(text, &Logout { removed }))
}
