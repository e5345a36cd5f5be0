//! Puts a cached token on a request, for any service: builder, token handle, redirect policy, middleware.

mod authorize;
pub(crate) mod builder;
pub(crate) mod managed;
#[cfg(feature = "middleware")]
mod middleware;

pub use authorize::same_origin;
pub use builder::{Builder, Service};
pub use managed::TokenHandle;
#[cfg(feature = "middleware")]
pub use middleware::Middleware;
