//! What the platform recorded: failed calls, and deliveries to the account's own URLs.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entries::Identified;
use super::envelope::Object;
use super::read;
#[cfg(feature = "schemars")]
use super::schema;
use super::write;

/// A call that failed, at this service or at a data service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct ErrorLog {
    #[serde(deserialize_with = "read::required_text")]
    id: String,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    scope: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    domain: Option<String>,
    #[serde(rename = "errorAt", default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    at: Option<SystemTime>,
    #[serde(
        rename = "httpResponseCode",
        default,
        deserialize_with = "read::status",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    status: Option<u16>,
    #[serde(rename = "errorCode", default, with = "write::code", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<f64>"))]
    code: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    message: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    ip: Option<String>,
}

impl ErrorLog {
    /// Returns the id of the entry.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the scope of the call, as the service writes it: method, host and first segment of the path.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the host that was called.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Returns when the call failed.
    #[must_use]
    pub fn at(&self) -> Option<SystemTime> {
        self.at
    }

    /// Returns the status of the response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the code of the failure as the service writes it: a number, which may have a fraction. It means something only together with
    /// the [domain](Self::domain).
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the message of the failure.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns the address that called.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.ip.as_deref()
    }
}

impl Object for ErrorLog {
    const KEY: &'static str = "id";
}

impl Identified for ErrorLog {
    fn identity(&self) -> impl Hash {
        &self.id
    }
}

/// A delivery of the platform to a URL of the account.
///
/// [`list_callbacks`](super::Oauth::list_callbacks) returns a part of what [`get_callback`](super::Oauth::get_callback) returns. The URL,
/// the headers and the data may contain secrets: neither [`Debug`](fmt::Debug) nor `Serialize` writes any of them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct Callback {
    #[serde(deserialize_with = "read::required_text")]
    id: String,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    scope: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    domain: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing)]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    url: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    method: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    field: Option<String>,
    #[serde(
        rename = "httpResponseCode",
        default,
        deserialize_with = "read::status",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<schema::NumberOrText>"))]
    status: Option<u16>,
    #[serde(default, deserialize_with = "read::flag", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    active: Option<bool>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    created_at: Option<SystemTime>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    started_at: Option<SystemTime>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    completed_at: Option<SystemTime>,
    #[serde(default, deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    elapsed_time: Option<u64>,
    #[serde(default, deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    attempt: Option<u64>,
    #[serde(default, deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    retry: Option<u64>,
    #[serde(default, deserialize_with = "read::json", skip_serializing)]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    data: Option<Value>,
    #[serde(default, deserialize_with = "read::json", skip_serializing)]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    custom: Option<Value>,
    #[serde(default, deserialize_with = "read::json_map", skip_serializing)]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    headers: Option<Value>,
}

impl Callback {
    /// Returns the id of the delivery.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the scope of the call whose result is delivered, as the service writes it.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the host of the data service. `None` in a list.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Returns the URL of the account that the delivery goes to. The URL's query may contain a secret.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Returns the method of the delivery. `None` in a list.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Returns the name of the field that the URL was given in, such as `webhookUrl`. `None` in a list.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Returns the status that the URL responded with. A status does not mean that the delivery has ended: see
    /// [`completed_at`](Self::completed_at).
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns whether the delivery is still in progress. `None` in a list.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        self.active
    }

    /// Returns when the delivery was created. `None` in a list.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_at
    }

    /// Returns when the delivery began.
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        self.started_at
    }

    /// Returns when the delivery ended. `None` while it is in progress.
    #[must_use]
    pub fn completed_at(&self) -> Option<SystemTime> {
        self.completed_at
    }

    /// Returns how long the delivery took. `None` in a list.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed_time.map(Duration::from_millis)
    }

    /// Returns the number of this attempt. `None` in a list.
    #[must_use]
    pub fn attempt(&self) -> Option<u64> {
        self.attempt
    }

    /// Returns how many retries there were. `None` in a list.
    #[must_use]
    pub fn retries(&self) -> Option<u64> {
        self.retry
    }

    /// Returns what is delivered. `None` in a list.
    #[must_use]
    pub fn data(&self) -> Option<&Value> {
        self.data.as_ref()
    }

    /// Returns the data that the caller passed along for the delivery. `None` in a list.
    #[must_use]
    pub fn custom(&self) -> Option<&Value> {
        self.custom.as_ref()
    }

    /// Returns the headers of the delivery, with their signatures. `None` in a list.
    #[must_use]
    pub fn headers(&self) -> Option<&Value> {
        self.headers.as_ref()
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("id", &self.id)
            .field("scope", &self.scope)
            .field("status", &self.status)
            .field("started_at", &self.started_at)
            .field("completed_at", &self.completed_at)
            .finish_non_exhaustive()
    }
}

impl Object for Callback {
    const KEY: &'static str = "id";
}

impl Identified for Callback {
    fn identity(&self) -> impl Hash {
        &self.id
    }
}
