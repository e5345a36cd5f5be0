//! Finds the server that has a key, and sends it commands: one server, the primary that sentinels know, or the nodes of a cluster.
//!
//! When a server fails, it forgets all that it knows about servers, and asks anew with the next command.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::address::{Address, Kind};
use super::failure::{Cause, Failure};
use super::server::{Access, Answer, Request, Role, Server};
use crate::runtime;

/// How often a command is sent at most: over a dead connection, over one to a node that should know more, and over a new one.
const MAX_ATTEMPTS: usize = 3;

/// How often a cluster may redirect a command: to the node that has the slot, and on to where it is moved.
const MAX_REDIRECTS: usize = 4;

/// How often `connect` tries to find out why a server closes the connection.
const MAX_HANDSHAKES: usize = 5;

pub(super) struct Engine {
    kind: Kind,
    access: Arc<Access>,
    /// The servers that the program has named.
    contacts: Vec<Arc<Server>>,
    timeout: Duration,
    /// The primary, by the sentinels.
    primary: tokio::sync::Mutex<Option<Arc<Server>>>,
    cluster: Mutex<ClusterMap>,
}

/// The outcome of a command.
pub(super) struct Done {
    pub(super) value: redis::Value,
    /// How many replicas have what it has written, if it waited for them.
    pub(super) replicas: usize,
    /// Whether an earlier attempt may have been carried out too.
    pub(super) is_repeated: bool,
}

/// What the program and redirects have revealed about a cluster.
struct ClusterMap {
    nodes: HashMap<Address, Arc<Server>>,
    /// The node that has the keys with a tag.
    tags: HashMap<String, Arc<Server>>,
}

impl Engine {
    pub(super) fn new(kind: Kind, servers: Vec<Address>, access: Access, timeout: Duration) -> Result<Self, Failure> {
        let role = match kind {
            Kind::Single => Role::Single,
            Kind::Sentinel(_) => Role::Sentinel,
            Kind::Cluster => Role::ClusterNode,
        };
        let access = Arc::new(access);
        let contacts: Result<Vec<_>, _> =
            servers.into_iter().map(|address| Server::new(address, role, &access)).collect();
        let contacts = contacts?;
        let nodes = contacts.iter().map(|server| (server.address.clone(), Arc::clone(server))).collect();
        let cluster = Mutex::new(ClusterMap { nodes, tags: HashMap::new() });
        Ok(Self { kind, access, contacts, timeout, primary: Default::default(), cluster })
    }

    /// Sends a command to the server that has the keys with a tag. Waits for the response at most as long as one command may take,
    /// including connecting.
    ///
    /// A connection may have been dead for long, and a primary may have been demoted. If the client notices that at once, it sends the
    /// command again: each command has the same effect if it is carried out twice.
    pub(super) async fn run(&self, tag: &str, request: Request) -> Result<Done, Failure> {
        let deadline = runtime::after(self.timeout);
        let mut number = 1;
        loop {
            match self.attempt(tag, &request, deadline).await {
                Err(failure) if failure.is_found_at_once() && number < MAX_ATTEMPTS => number += 1,
                Err(failure) => return Err(failure),
                Ok((value, replicas)) => return Ok(Done { value, replicas, is_repeated: number > 1 }),
            }
        }
    }

    async fn attempt(&self, tag: &str, request: &Request, deadline: Instant) -> Result<(redis::Value, usize), Failure> {
        let (mut server, mut asking) = (self.locate(tag, deadline).await?, false);
        for _ in 0..=MAX_REDIRECTS {
            match server.send(request, asking, deadline).await {
                Ok(Answer::Value(value, replicas)) => return Ok((value, replicas)),
                Ok(Answer::Elsewhere { address, is_once }) => {
                    (server, asking) = (self.node(address)?, is_once);
                    if !is_once {
                        self.cluster().tags.insert(tag.to_owned(), Arc::clone(&server));
                    }
                }
                Err(failure) => {
                    if failure.is_away() {
                        self.forget(&server).await;
                    }
                    return Err(failure);
                }
            }
        }
        Err(server.failed(Cause::Refused, "the cluster redirects again and again; repair its slots"))
    }

    async fn locate(&self, tag: &str, deadline: Instant) -> Result<Arc<Server>, Failure> {
        match &self.kind {
            Kind::Single => {
                self.contacts.first().cloned().ok_or_else(|| self.failed(Cause::Misconfigured, "no server"))
            }
            Kind::Sentinel(name) => {
                let Ok(mut primary) = timeout_at(deadline, self.primary.lock()).await else {
                    return Err(self.failed(Cause::Silent, "no answer in time; repair the sentinels"));
                };
                if primary.is_none() {
                    *primary = Some(self.find_primary(name, deadline).await?);
                }
                primary.clone().ok_or_else(|| self.failed(Cause::Away, "no primary"))
            }
            Kind::Cluster => {
                let known = self.cluster().tags.get(tag).cloned();
                match known {
                    Some(server) => Ok(server),
                    None => self.any_contact(deadline).await,
                }
            }
        }
    }

    /// Asks all sentinels at once, since some may be unreachable, and connects to the primary that they name.
    async fn find_primary(&self, name: &str, deadline: Instant) -> Result<Arc<Server>, Failure> {
        let mut asked = JoinSet::new();
        for sentinel in &self.contacts {
            let (sentinel, access, name) = (Arc::clone(sentinel), Arc::clone(&self.access), name.to_owned());
            asked.spawn(async move {
                let request = Request::command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &name]);
                let answer = match sentinel.send(&request, false, deadline).await {
                    // The connection was dead.
                    Err(failure) if failure.is_found_at_once() => sentinel.send(&request, false, deadline).await,
                    answer => answer,
                };
                let Answer::Value(value, _) = answer? else {
                    return Err(
                        sentinel.failed(Cause::Misconfigured, "the server is not a sentinel; name the sentinels")
                    );
                };
                let Ok(Some((host, port))) = redis::from_redis_value::<Option<(String, u16)>>(value) else {
                    let text = format_args!("the sentinel knows no primary of the name `{name}`; correct the name");
                    return Err(sentinel.failed(Cause::Misconfigured, text));
                };
                let primary = Server::new(Address::Tcp { host, port }, Role::Primary, &access)?;
                primary.connect(deadline).await?;
                Ok(primary)
            });
        }
        self.first(asked).await
    }

    /// Returns the first of the named nodes that can be connected to.
    async fn any_contact(&self, deadline: Instant) -> Result<Arc<Server>, Failure> {
        let mut asked = JoinSet::new();
        for server in self.contacts.iter().cloned() {
            asked.spawn(async move { server.connect(deadline).await.map(|()| server) });
        }
        self.first(asked).await
    }

    /// Returns the first success, or the failure that says most.
    async fn first(&self, mut tasks: JoinSet<Result<Arc<Server>, Failure>>) -> Result<Arc<Server>, Failure> {
        let mut failure: Option<Failure> = None;
        while let Some(result) = tasks.join_next().await {
            match result {
                Ok(Ok(server)) => return Ok(server),
                Ok(Err(new)) if failure.is_none() || new.is_lasting() => failure = Some(new),
                _ => {}
            }
        }
        Err(failure.unwrap_or_else(|| self.failed(Cause::Away, "the runtime ends; use another")))
    }

    fn node(&self, address: Address) -> Result<Arc<Server>, Failure> {
        let mut cluster = self.cluster();
        if let Some(known) = cluster.nodes.get(&address) {
            return Ok(Arc::clone(known));
        }
        let server = Server::new(address.clone(), Role::ClusterNode, &self.access)?;
        cluster.nodes.insert(address, Arc::clone(&server));
        Ok(server)
    }

    /// Forgets that a server has what it was asked for.
    async fn forget(&self, server: &Arc<Server>) {
        self.cluster().tags.retain(|_, node| !Arc::ptr_eq(node, server));
        // Somebody who holds it asks anew already.
        if let Ok(mut primary) = self.primary.try_lock()
            && primary.as_ref().is_some_and(|primary| Arc::ptr_eq(primary, server))
        {
            *primary = None;
        }
    }

    /// Looks for a mistake in the configuration that makes a server look unreachable.
    pub(super) async fn diagnose(&self, failure: &Failure) -> Option<Failure> {
        let deadline = runtime::after(self.timeout);
        for server in &self.contacts {
            // A server that demands a client certificate says so after the handshake, and closes the connection. If something is sent just
            // then, what the server has said may be lost, but hardly each time.
            let tries = if failure.cause == Cause::Closed { MAX_HANDSHAKES } else { 0 };
            for _ in 0..tries {
                match server.connect(deadline).await {
                    Ok(()) => return None,
                    Err(failure) if failure.is_lasting() => return Some(failure),
                    Err(failure) if failure.is_found_at_once() => {}
                    Err(_) => break,
                }
            }
            if server.speaks_other(deadline).await {
                let text = match self.access.is_tls {
                    true => "the server does not speak TLS there; write `redis://`, or name its port for TLS",
                    false => "the server speaks only TLS there; write `rediss://`, or name another port",
                };
                return Some(server.failed(Cause::Misconfigured, text));
            }
        }
        None
    }

    pub(super) fn failed(&self, cause: Cause, text: &str) -> Failure {
        let servers: Vec<_> = self.contacts.iter().map(|server| server.address.to_string()).collect();
        Failure::new(cause, servers.join(","), text)
    }

    fn cluster(&self) -> MutexGuard<'_, ClusterMap> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
