//! Sends every request of every service: transport, retries, reading of responses.

pub(crate) mod body;
pub(crate) mod client;
mod failure;
pub(crate) mod response;
pub(crate) mod retry;
pub(crate) mod secrets;
#[cfg(any(test, gettone_test_transport))]
#[doc(hidden)]
pub mod test_transport;
pub(crate) mod transport;

/// Includes the client that `build.rs` generates for a service, as the module `generated`.
macro_rules! generated_client {
    ($name:literal) => {
        #[allow(clippy::all, clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, unused_qualifications)]
        mod generated {
            include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
        }

        impl progenitor_client::ClientHooks<$crate::http::transport::Dispatch> for generated::Client {
            fn exec(
                &self,
                request: reqwest::Request,
                info: &progenitor_client::OperationInfo,
            ) -> impl Future<Output = reqwest::Result<reqwest::Response>> {
                self.inner.exec(request, info.operation_id)
            }
        }
    };
}

pub(crate) use generated_client;
