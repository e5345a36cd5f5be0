//! Why a command failed, in one line that says what to do.

use redis::{ErrorKind, RedisError};

use super::address::Address;
use crate::error::{Error, Kind};
use crate::redact::{MESSAGE_LENGTH, Secrets, tidy};
use Cause::{Away, Closed, Misconfigured, NotReady, Panicked, Refused, Silent, Unknown};

/// The failure of a command. Its text has no secret in it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing listens at the address, or the network does not lead there.
    Away,
    /// The server closed the connection, or sends what Redis does not.
    Closed,
    /// The server is not ready, or no primary any more. Another connection may be of use, to another server.
    NotReady,
    /// The server did not respond in time.
    Silent,
    /// The server cannot do it now. The connection is good.
    Refused,
    /// The server sent a response that this store does not know.
    Unknown,
    /// The failure lasts until somebody changes the configuration of the program or of the server.
    Misconfigured,
    /// The TLS library panicked. That failure lasts too.
    Panicked,
}

/// What an error needs to know about the store: what to hide, and what to advise.
#[derive(Clone, Default)]
pub(super) struct Context {
    /// What no text may show.
    pub(super) secrets: Secrets,
    /// What the user of the store must be allowed, as `ACL SETUSER` reads it.
    pub(super) permissions: String,
    /// The script that the server was sent.
    pub(super) script: Option<&'static str>,
    /// Whether the client speaks TLS, and has no certificate of its own.
    pub(super) has_no_certificate: bool,
}

impl Failure {
    pub(super) fn new(cause: Cause, at: impl std::fmt::Display, text: impl std::fmt::Display) -> Self {
        Self { cause, text: format!("Redis at {at}: {text}") }
    }

    /// Describes an error of the library or the server.
    pub(super) fn of(error: &RedisError, at: &Address, context: &Context) -> Self {
        let (cause, text) = match error.code() {
            Some(code) => of_server(code, error.detail().unwrap_or_default(), context),
            None => of_connection(error, context),
        };
        Self::new(cause, at, text)
    }

    /// Returns whether the connection is of no use.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.cause, Away | Closed | NotReady | Silent)
    }

    /// Returns whether another server may take over soon, as after a failover. One that hangs is not waited for.
    pub(super) fn is_moving(&self) -> bool {
        matches!(self.cause, Away | Closed | NotReady)
    }

    /// Returns whether there may be time to try another connection.
    pub(super) fn is_found_at_once(&self) -> bool {
        self.is_moving()
    }

    /// Returns whether the failure lasts until somebody changes something.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self.cause, Misconfigured | Panicked | Unknown)
    }

    /// Returns the error of a call of the store.
    pub(super) fn into_error(self) -> Error {
        let kind = if self.is_away() { Kind::StoreUnavailable } else { Kind::Store };
        Error::new(kind).with_message(self.text)
    }

    /// Returns the error of a store that cannot be used with these settings.
    pub(super) fn into_misconfiguration(self) -> Error {
        match self.cause {
            Misconfigured | Panicked => Error::invalid_input(self.text),
            _ => self.into_error(),
        }
    }
}

/// Describes an error that the server sent.
fn of_server(code: &str, message: &str, context: &Context) -> (Cause, String) {
    // A server may repeat the arguments of a command, and a token is one.
    let message = message.split(", with args").next().unwrap_or_default();
    let (permissions, shown) = (&context.permissions, context.shown(message));
    let lacks_permission = || {
        let lacks = match denied_command(message, context.script) {
            Some(command) => format!("the user may not send `{}`", context.shown(command).to_uppercase()),
            None => format!("the user lacks a permission ({shown})"),
        };
        (Misconfigured, format!("{lacks}; allow at least `ACL SETUSER <user> {permissions}`"))
    };
    let (cause, text) = match code {
        "NOPERM" => return lacks_permission(),
        "WRONGPASS" => (Misconfigured, "the server rejects the user name or the password; correct them"),
        "NOAUTH" => (Misconfigured, "the server demands a password; add it to the URL"),
        "DENIED" => (Misconfigured, "the server is in protected mode; set a password on it, and use that"),
        "MOVED" | "ASK" => (Misconfigured, "the server is part of a cluster; write `redis+cluster://`"),
        "BUSY" => (NotReady, "the server runs a slow script of somebody else; wait, or end it"),
        "TRYAGAIN" => (NotReady, "the cluster moves the keys; wait"),
        "READONLY" => (NotReady, "the server is a replica; wait for the failover to end, or name the primary"),
        "LOADING" => (NotReady, "the server is loading its data; wait"),
        "MASTERDOWN" => (NotReady, "the server has lost its primary; wait for the failover to end, or repair it"),
        "CLUSTERDOWN" => (NotReady, "the cluster is down; repair it"),
        "NOREPLICAS" => {
            (NotReady, "the server has fewer replicas than its `min-replicas-to-write`; repair the replicas")
        }
        "OOM" => (Refused, "the server is full; raise its `maxmemory`, or give the store a server of its own"),
        "MISCONF" => (Refused, "the server cannot save its data, and takes no writes; see its log"),
        "WRONGTYPE" => (Refused, "a key of the store holds something else; choose another prefix, or delete it"),
        "ERR" if message.contains("max number of clients") => {
            (NotReady, "the server has too many clients; raise its `maxclients`")
        }
        "ERR" if message.contains("without any password") => {
            (Misconfigured, "the server has no password; remove yours, or set it on the server")
        }
        "ERR" if message.contains("unknown command") => {
            let text = format!("the server lacks a command ({shown}); rename it back, or use another server");
            return (Misconfigured, text);
        }
        // What becomes of `NOPERM` in a script.
        "ERR" if message.contains("ACL failure in script") || message.contains("user executing the script") => {
            return lacks_permission();
        }
        _ => return (Unknown, format!("the server answers `{code} {shown}`; see its documentation")),
    };
    (cause, text.to_owned())
}

/// Returns the command that the user may not send. Redis 7.0 says only in which line of a script it is.
fn denied_command<'a>(message: &'a str, script: Option<&'a str>) -> Option<&'a str> {
    let quoted = |text: &'a str, before: &str| text.split_once(before)?.1.split('\'').next();
    let line = || message.split_once("user_script:")?.1.split('.').next()?.parse::<usize>().ok();
    quoted(message, "run the '").or_else(|| quoted(script?.lines().nth(line()?.checked_sub(1)?)?, "call('"))
}

/// Describes an error without a response of the server.
fn of_connection(error: &RedisError, context: &Context) -> (Cause, String) {
    let text = error.to_string();
    let (reason, text) = (context.shown(&text), text.to_lowercase());
    let has = |part: &str| text.contains(part);
    if error.is_connection_refusal() {
        (Away, "connection refused; start the server, or correct the address".to_owned())
    } else if has("certificaterequired") || has("certificate required") {
        let text =
            "the server demands a client certificate; a program sets it by `RedisStoreBuilder::client_certificate`";
        (Misconfigured, text.to_owned())
    } else if has("certificate") {
        let advice = if cfg!(all(feature = "rustls", feature = "native-tls")) {
            "set it by `RedisStoreBuilder::root_certificate`: with both of the features `rustls` and `native-tls` no other is \
             trusted"
        } else {
            "if it is right, have this machine trust its authority, or name that by `RedisStoreBuilder::root_certificate`"
        };
        (Misconfigured, format!("the server's certificate is not accepted ({reason}); {advice}"))
    } else if error.is_connection_dropped() {
        // With TLS 1.3 a server says that after the handshake, and what it says may be lost.
        let hint = match context.has_no_certificate {
            true => ": it may demand a client certificate (`RedisStoreBuilder::client_certificate`)",
            false => "",
        };
        (Closed, format!("the server closed the connection; see its log{hint}"))
    } else if error.kind() == ErrorKind::InvalidClientConfig {
        let detail = error.detail().map_or(reason, |detail| context.shown(detail));
        (Misconfigured, format!("no connection with these settings ({detail}); correct them"))
    } else if error.kind() == ErrorKind::Parse {
        (Closed, "the server does not answer like Redis; correct the address".to_owned())
    } else {
        (Away, format!("{reason}; correct the address, or repair the connection"))
    }
}

impl Context {
    /// Returns a text as a short line, without whatever it has of the secrets.
    fn shown(&self, text: &str) -> String {
        tidy(text, &self.secrets, MESSAGE_LENGTH)
    }
}
