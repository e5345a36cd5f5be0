//! The responses of version 2 of Openapi.it Oauth: those that the vendor documents, and those that a tolerant client accepts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "openapi_v2_answers/envelopes.rs"]
mod envelopes;
#[path = "openapi_v2_answers/operations.rs"]
mod operations;
