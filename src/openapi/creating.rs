//! What the failure of a request for a token says about the next one.

use reqwest::StatusCode;

use crate::error::{Error, Operation};

/// Returns whether the request that failed with this error may have created a token. `create`: the operation that creates tokens.
pub(super) fn may_have_created(error: &Error, create: Operation) -> bool {
    error.operation() == Some(create.name) && (error.is_ambiguous() || error.is_decode())
}

/// Returns whether an error is about the service or the account: a request for a token would fail the same way.
pub(super) fn create_would_fail(error: &Error) -> bool {
    error.is_transient() || error.is_unauthorized() || error.status() == Some(StatusCode::FORBIDDEN)
}
