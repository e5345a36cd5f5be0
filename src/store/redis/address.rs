//! Where the servers are: the URLs of a Redis store.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::secret::Secret;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// Reads `host:port`, as a server writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::Tcp { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How the servers belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    /// The servers are sentinels, which know the primary by this name.
    Sentinel(String),
    Cluster,
}

#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

/// What one URL says, or several URLs that belong together say.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) is_tls: bool,
    pub(super) servers: Vec<Address>,
    pub(super) login: Login,
    pub(super) database: u32,
}

/// What is wrong with a URL, without any of its text: it may contain a password.
type Wrong = &'static str;

impl Target {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, Wrong> {
        Self::read(url, REDIS_PORT)
    }

    fn read(url: &str, default_port: u16) -> Result<Self, Wrong> {
        let (scheme, rest) = url.split_once("://").ok_or(
            "not a URL; write `redis://host:6379`, `rediss://` for TLS, `redis+sentinel://host1,host2/name`, \
             `redis+cluster://host1,host2`, or `unix:///path`",
        )?;
        if rest.contains('#') {
            return Err("it has a fragment (`#`); remove it, or write `%23` in a password");
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (protocol, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_tls = match protocol {
            "unix" => return Self::parse_socket(rest, query),
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err("unknown scheme; use `redis`, `rediss`, `valkey`, `valkeys` or `unix`"),
        };
        if query.is_some() {
            return Err("it has a query (`?`); remove it; a program sets more by `RedisStoreBuilder`");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(NO_HOST);
        }
        let mut path = path.split('/').filter(|part| !part.is_empty());
        let (kind, default_port) = match kind {
            "" => (Kind::Single, default_port),
            "cluster" => (Kind::Cluster, default_port),
            "sentinel" => {
                let name = path.next().ok_or("no name of a primary; write `redis+sentinel://host1,host2/name`")?;
                (Kind::Sentinel(decoded(name)?), SENTINEL_PORT)
            }
            _ => return Err("unknown scheme; after `+` only `sentinel` and `cluster` are known"),
        };
        let database = path.next().map_or(Ok(0), str::parse);
        let (Ok(database), None) = (database, path.next()) else {
            return Err("the path is not the number of a database; write `redis://host:6379/0`");
        };
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = login.split_once(':').map_or((login, None), |(name, word)| (name, Some(word)));
        let login = Login {
            username: Some(decoded(username)?).filter(|name| !name.is_empty()),
            password: password.map(decoded).transpose()?.filter(|word| !word.is_empty()).map(Secret::new),
        };
        let servers = hosts.split(',').map(|host| server(host, default_port)).collect::<Result<Vec<_>, _>>()?;
        if kind == Kind::Single && servers.len() > 1 {
            return Err("it has several hosts; use `redis+sentinel://` or `redis+cluster://`");
        }
        Ok(Self { kind, is_tls, servers, login, database })
    }

    /// Reads the path of a Unix socket.
    fn parse_socket(path: &str, query: Option<&str>) -> Result<Self, Wrong> {
        let (mut login, mut database) = (Login::default(), 0);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "db" => database = value.parse().map_err(|_| "`db` is not the number of a database")?,
                "user" => login.username = Some(value.into_owned()),
                "pass" => login.password = Some(Secret::new(value)),
                _ => return Err("unknown part of the query; a socket has `db`, `user` and `pass`"),
            }
        }
        let path = decoded(path)?;
        if !path.starts_with('/') || !cfg!(unix) {
            return Err("not the absolute path of a Unix socket; write `unix:///path`, on Unix only");
        }
        Ok(Self { kind: Kind::Single, is_tls: false, servers: vec![Address::Unix(path.into())], login, database })
    }

    /// Reads the URLs of several servers that belong together.
    pub(super) fn several(urls: impl IntoIterator<Item = impl AsRef<str>>, kind: Kind) -> Result<Self, Wrong> {
        let default_port = if matches!(kind, Kind::Sentinel(_)) { SENTINEL_PORT } else { REDIS_PORT };
        let mut all: Option<Self> = None;
        for url in urls {
            let mut one = Self::read(url.as_ref(), default_port)?;
            if one.kind != Kind::Single || one.servers.iter().any(|server| matches!(server, Address::Unix(_))) {
                return Err("of several URLs each must be that of one host; write `redis://host` or `rediss://host`");
            }
            let Some(all) = &mut all else {
                all = Some(Self { kind: kind.clone(), ..one });
                continue;
            };
            if all.is_tls != one.is_tls {
                return Err("some of the URLs are for TLS and some are not; make them alike");
            }
            all.servers.append(&mut one.servers);
            all.login.username = all.login.username.take().or(one.login.username);
            all.login.password = all.login.password.take().or(one.login.password);
            all.database = all.database.max(one.database);
        }
        all.ok_or("no URL; name at least one server")
    }
}

fn decoded(text: &str) -> Result<String, Wrong> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| "a percent-encoded part is not UTF-8; correct it")?.into_owned())
}

const NO_HOST: Wrong =
    "not a host and a port; write `host:6379` or `[::1]:6379`, and percent-encode `/`, `?`, `#`, `%` in a password";

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
fn server(text: &str, default_port: u16) -> Result<Address, Wrong> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(NO_HOST)?;
            (host, port.strip_prefix(':').or(if port.is_empty() { Some("") } else { None }).ok_or(NO_HOST)?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { default_port } else { port.parse().map_err(|_| NO_HOST)? };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(NO_HOST);
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}
