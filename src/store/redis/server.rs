//! One server, and the connection to it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, Value, cmd, pipe,
};
use tokio::runtime::{Handle, Id};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::address::{Address, Login};
use super::failure::{Cause, Context, Failure};
use crate::secret::Secret;

/// What every server of a store is asked with.
#[cfg_attr(not(any(feature = "rustls", feature = "native-tls")), allow(dead_code))]
pub(super) struct Access {
    pub(super) is_tls: bool,
    pub(super) root_certificate: Option<Vec<u8>>,
    /// A certificate and its key.
    pub(super) client_certificate: Option<(Vec<u8>, Secret)>,
    pub(super) login: Login,
    /// For sentinels that demand one.
    pub(super) sentinel_login: Login,
    pub(super) database: u32,
    pub(super) context: Context,
}

/// What a server is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The only one.
    Single,
    /// The primary, as a sentinel says.
    Primary,
    Sentinel,
    ClusterNode,
}

/// A command that may be sent again if its response was lost.
pub(super) struct Request {
    pub(super) command: Cmd,
    pub(super) script: Option<&'static str>,
    /// How many replicas must have what the command wrote, and how long the server waits for them.
    pub(super) replicas: Option<(usize, Duration)>,
    /// A record in the command.
    pub(super) record: Option<Secret>,
}

impl Request {
    /// Creates the request of a command from its words.
    pub(super) fn command(words: &[&str]) -> Self {
        let mut command = Cmd::new();
        command.arg(words);
        Self { command, script: None, replicas: None, record: None }
    }

    /// Creates the request of a script with one key.
    pub(super) fn script(script: &'static str, key: &str, values: &[&str]) -> Self {
        let mut request = Self::command(&["EVAL", script, "1", key]);
        request.command.arg(values);
        Self { script: Some(script), ..request }
    }
}

pub(super) enum Answer {
    /// The value, and how many replicas have what the command wrote.
    Value(Value, usize),
    /// Another node of the cluster has the key; for this command only if `is_once`.
    Elsewhere { address: Address, is_once: bool },
}

/// What a script returns if it has written.
const WRITTEN: Value = Value::Int(1);

pub(super) struct Server {
    pub(super) address: Address,
    role: Role,
    access: Arc<Access>,
    client: Client,
    open: Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    connection: MultiplexedConnection,
    /// The one that drives the connection. It may have ended, or run no more.
    runtime: Id,
    number: u64,
}

impl Server {
    pub(super) fn new(address: Address, role: Role, access: &Arc<Access>) -> Result<Arc<Self>, Failure> {
        let client = client(&address, access).map_err(|text| Failure::new(Cause::Misconfigured, &address, text))?;
        Ok(Arc::new(Self { address, role, access: Arc::clone(access), client, open: Mutex::default() }))
    }

    /// Connects, unless there is a connection.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<(), Failure> {
        timeout_at(deadline, self.connection()).await.map_err(|_| self.silent())?.map(drop)
    }

    /// Sends a command, and waits for its response until the deadline. Drops a connection that is of no use.
    pub(super) async fn send(&self, request: &Request, asking: bool, deadline: Instant) -> Result<Answer, Failure> {
        let mut used = None;
        let sent = async {
            let open = self.connection().await?;
            used = Some(open.number);
            self.exchange(open.connection, request, asking).await
        };
        let answer = timeout_at(deadline, sent).await.unwrap_or_else(|_| Err(self.silent()));
        if answer.as_ref().is_err_and(Failure::is_away)
            // Otherwise somebody is just connecting.
            && let Ok(mut open) = self.open.try_lock()
            && open.as_ref().map(|open| open.number) == used
        {
            *open = None;
        }
        answer
    }

    async fn exchange(
        &self,
        mut connection: MultiplexedConnection,
        request: &Request,
        asking: bool,
    ) -> Result<Answer, Failure> {
        let value: RedisResult<Value> = if asking {
            // Nothing may come between the two.
            let mut both = pipe();
            both.cmd("ASKING").ignore().add_command(request.command.clone()).ignore_errors();
            let answers: RedisResult<Vec<RedisResult<Value>>> = both.query_async(&mut connection).await;
            answers.and_then(|mut answers| answers.pop().unwrap_or(Ok(Value::Nil)))
        } else {
            request.command.query_async(&mut connection).await
        };
        let value = match value {
            Ok(value) => value,
            Err(error) => match error.redirect_node().filter(|_| self.role == Role::ClusterNode) {
                Some((address, _)) => return self.elsewhere(address, error.code() == Some("ASK")),
                None => return Err(self.failure(&error, request)),
            },
        };
        let Some((replicas, time)) = request.replicas.filter(|_| value == WRITTEN) else {
            return Ok(Answer::Value(value, 0));
        };
        // On the same connection: it counts the replicas that have what this one has written, and knows of no other.
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let waited = cmd("WAIT").arg(replicas).arg(time).query_async(&mut connection).await;
        Ok(Answer::Value(value, waited.map_err(|error| self.failure(&error, request))?))
    }

    fn elsewhere(&self, address: &str, is_once: bool) -> Result<Answer, Failure> {
        let address = match (Address::parse(address), &self.address) {
            // An empty host is that of the node that answers.
            (Some(Address::Tcp { host, port }), Address::Tcp { host: own, .. }) if host.is_empty() => {
                Address::Tcp { host: own.clone(), port }
            }
            (Some(address), _) => address,
            (None, _) => {
                return Err(self.failed(Cause::Away, "the cluster redirects to a node without an address; repair it"));
            }
        };
        Ok(Answer::Elsewhere { address, is_once })
    }

    /// Returns the connection of this runtime. Another one may not run any more.
    async fn connection(&self) -> Result<Open, Failure> {
        let runtime = Handle::current().id();
        let mut open = self.open.lock().await;
        match &*open {
            Some(open) if open.runtime == runtime => Ok(open.clone()),
            _ => {
                let connection = self.opened().await?;
                Ok(open.insert(Open { connection, runtime, number: fastrand::u64(..) }).clone())
            }
        }
    }

    async fn opened(&self) -> Result<MultiplexedConnection, Failure> {
        // On a task of its own, which ends with this call: rustls panics if it cannot choose between two crypto providers.
        let (client, mut task) = (self.client.clone(), JoinSet::new());
        task.spawn(async move {
            let without_limits = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            client.get_multiplexed_async_connection_with_config(&without_limits).await
        });
        let mut connection = match task.join_next().await {
            Some(Ok(connected)) => connected.map_err(|error| self.error(&error))?,
            Some(Err(error)) if error.is_panic() && !self.access.is_tls => {
                let text = "the runtime has no I/O; build it with `enable_all`";
                return Err(self.failed(Cause::Misconfigured, text));
            }
            Some(Err(error)) if error.is_panic() => {
                return Err(self.failed(
                    Cause::Panicked,
                    "TLS panicked; if the program has two crypto providers of rustls, call \
                     `rustls::crypto::CryptoProvider::install_default` at its start",
                ));
            }
            Some(Err(_)) | None => return Err(self.failed(Cause::Away, "the runtime ends; use another")),
        };
        self.greet(&mut connection).await?;
        Ok(connection)
    }

    /// Logs in, and checks what the server is.
    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<(), Failure> {
        let Access { login, sentinel_login, database, .. } = &*self.access;
        if self.role != Role::Sentinel {
            self.log_in(connection, login).await?;
        }
        if *database != 0 && self.role != Role::Sentinel {
            let selected: RedisResult<Value> = cmd("SELECT").arg(*database).query_async(connection).await;
            if let Err(error) = selected {
                let failure = self.error(&error);
                return Err(match error.code() {
                    Some("ERR") => self.failed(
                        Cause::Misconfigured,
                        format_args!("the server has no database {database}; a cluster has only database 0"),
                    ),
                    _ => failure,
                });
            }
        }
        // Every user may send it.
        let mut hello: RedisResult<Value> = cmd("HELLO").query_async(connection).await;
        if self.role == Role::Sentinel && hello.as_ref().is_err_and(|error| error.code() == Some("NOAUTH")) {
            self.log_in(connection, sentinel_login).await?;
            hello = cmd("HELLO").query_async(connection).await;
        }
        let hello = match hello {
            // Redis 5 and some proxies do not know it.
            Err(error) if error.code() == Some("ERR") => return Ok(()),
            hello => hello.map_err(|error| self.error(&error))?,
        };
        let fields: HashMap<String, Value> = redis::from_redis_value(hello).unwrap_or_default();
        let field = |name| fields.get(name).and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
        let (mode, role) = (field("mode").unwrap_or_default(), field("role").unwrap_or_default());
        let (cause, text) = match (self.role, &*mode, &*role) {
            (Role::Single | Role::Primary, "cluster", _) => {
                (Cause::Misconfigured, "the server is part of a cluster; write `redis+cluster://`")
            }
            (Role::Single | Role::Primary, "sentinel", _) => {
                (Cause::Misconfigured, "the server is a sentinel; write `redis+sentinel://`")
            }
            (Role::Single, _, "replica" | "slave") => (
                Cause::Misconfigured,
                "the server is a replica; name its primary, or its sentinels by `redis+sentinel://`",
            ),
            (Role::Primary, _, "replica" | "slave") => {
                (Cause::NotReady, "the server is not the primary; wait for the failover to end")
            }
            (Role::Sentinel, "standalone" | "cluster", _) => {
                (Cause::Misconfigured, "the server is not a sentinel; name the sentinels, port 26379")
            }
            (Role::ClusterNode, "standalone", _) => {
                (Cause::Misconfigured, "the server is not part of a cluster; write `redis://`")
            }
            _ => return Ok(()),
        };
        Err(self.failed(cause, text))
    }

    async fn log_in(&self, connection: &mut MultiplexedConnection, login: &Login) -> Result<(), Failure> {
        let Some(password) = &login.password else { return Ok(()) };
        let mut command = cmd("AUTH");
        command
            .arg(&login.username)
            .arg(password.expose())
            .exec_async(connection)
            .await
            .map_err(|error| self.error(&error))
    }

    /// Returns whether a server there speaks TLS if this one does not, or the reverse.
    pub(super) async fn speaks_other(&self, deadline: Instant) -> bool {
        // A socket has one way to speak.
        if matches!(self.address, Address::Unix(_)) {
            return false;
        }
        let context = &self.access.context;
        let other = Access {
            is_tls: !self.access.is_tls,
            root_certificate: None,
            client_certificate: None,
            // Not for a server that is not known.
            login: Login::default(),
            sentinel_login: Login::default(),
            database: 0,
            context: context.clone(),
        };
        let Ok(other) = Self::new(self.address.clone(), self.role, &Arc::new(other)) else { return false };
        match other.connect(deadline).await {
            Ok(()) => true,
            Err(failure) => failure.cause == Cause::Misconfigured,
        }
    }

    fn silent(&self) -> Failure {
        self.failed(Cause::Silent, "no answer in time; repair the server or the connection to it")
    }

    pub(super) fn failed(&self, cause: Cause, text: impl fmt::Display) -> Failure {
        Failure::new(cause, &self.address, text)
    }

    fn error(&self, error: &RedisError) -> Failure {
        Failure::of(error, &self.address, &self.access.context)
    }

    /// Describes an error without the token in the command.
    fn failure(&self, error: &RedisError, request: &Request) -> Failure {
        let mut context = self.access.context.clone();
        if let Some(record) = &request.record {
            context.secrets.add(record.expose());
        }
        context.script = request.script;
        Failure::of(error, &self.address, &context)
    }
}

/// Sets a client up. Returns what is wrong with the settings.
fn client(address: &Address, access: &Access) -> Result<Client, String> {
    let address = match address {
        Address::Tcp { host, port } if access.is_tls => return tls_client(host, *port, access),
        Address::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
        Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
    };
    silently(address).and_then(Client::open).map_err(|_| "the address cannot be used; correct it".to_owned())
}

/// Connects without a command that the user may not be allowed to send.
fn silently(address: ConnectionAddr) -> RedisResult<redis::ConnectionInfo> {
    Ok(address.into_connection_info()?.set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name()))
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn tls_client(host: &str, port: u16, access: &Access) -> Result<Client, String> {
    use redis::{ClientTlsConfig, TlsCertificates};

    let address = ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None };
    let client_tls = access.client_certificate.as_ref().map(|(certificate, key)| ClientTlsConfig {
        client_cert: certificate.clone(),
        client_key: key.expose().as_bytes().to_vec(),
    });
    let certificates = TlsCertificates { client_tls, root_cert: access.root_certificate.clone() };
    let client = silently(address).and_then(|address| Client::build_with_tls(address, certificates));
    client.map_err(|_| "a certificate or a key cannot be read; pass each as PEM, a key without a password".to_owned())
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn tls_client(_: &str, _: u16, _: &Access) -> Result<Client, String> {
    Err("TLS needs the feature `rustls` or `native-tls` of `gettone`; switch one on".to_owned())
}
