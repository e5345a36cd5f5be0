//! The responses of version 2 of Openapi.it Oauth: those that the vendor documents, and those that a tolerant client accepts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "openapi_v2_answers/envelopes.rs"]
mod envelopes;
#[path = "openapi_v2_answers/failures.rs"]
mod failures;
#[path = "openapi_v2_answers/fields.rs"]
mod fields;
#[path = "openapi_v2_answers/forms.rs"]
mod forms;
#[path = "openapi_v2_answers/operations.rs"]
mod operations;
#[path = "openapi_v2_answers/requests.rs"]
mod requests;
#[path = "openapi_v2_answers/unknown.rs"]
mod unknown;
#[path = "openapi_v2_answers/wildcards.rs"]
mod wildcards;
