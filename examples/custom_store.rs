//! Shows a token store of your own, which two clients share: `cargo run --example custom_store --features emulator`
//!
//! It runs against the emulator, on this machine. With an account it creates one token and deletes it: see `-- --help`.

use std::collections::HashMap;
use std::sync::Arc;

use gettone::emulator::{EMAIL, Emulator, SANDBOX_KEY};
use gettone::openapi::{Credentials, Environment, v2::Oauth};
use gettone::store::{Locked, Record, Replaced, StoreError, StoreLock, StoredToken, TokenStore, Version, laws};
use gettone::{Builder, ScopeSet, Secret};
use tokio::sync::Mutex;

/// A stand-in for a table with the columns `name`, `version` and `token`. The tokens in it are secrets: encrypt what you write.
#[derive(Debug, Default)]
struct Table {
    rows: HashMap<String, (Version, Secret)>,
    /// In a database, a sequence: no two rows ever have the same version, even if one is deleted and inserted again.
    last_version: u64,
}

/// Keeps each token in a row of a table. Clones share the table. `Debug` prints no token, because the `Debug` of a client prints its store.
#[derive(Debug, Clone, Default)]
struct TableStore {
    table: Arc<Mutex<Table>>,
    locks: Arc<Mutex<HashMap<String, Arc<Mutex<()>>>>>,
}

impl TokenStore for TableStore {
    /// `SELECT version, token FROM tokens WHERE name = $1`
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        let table = self.table.lock().await;
        Ok(table.rows.get(name).map(|(version, token)| Record::from_json(version.clone(), token.expose())))
    }

    /// `UPDATE tokens SET version = nextval('versions'), token = $1 WHERE name = $2 AND version = $3`; an `INSERT` if `seen` is `None`
    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        let mut table = self.table.lock().await;
        if table.rows.get(name).map(|(version, _)| version) != seen {
            return Ok(Replaced::Conflict); // no row was changed: another client was faster
        }
        table.last_version += 1;
        let version = Version::new(table.last_version.to_string());
        table.rows.insert(name.to_owned(), (version.clone(), token.to_json()));
        Ok(Replaced::Done(version))
    }

    /// `DELETE FROM tokens WHERE name = $1`
    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.table.lock().await.rows.remove(name);
        Ok(())
    }

    /// Locks one name. If several processes share the table, lock it there: with an advisory lock of the database, for example.
    async fn lock(&self, name: &str, _: Option<&Version>) -> Result<Locked, StoreError> {
        let lock = Arc::clone(self.locks.lock().await.entry(name.to_owned()).or_default());
        Ok(Locked::Held(StoreLock::new(lock.lock_owned().await)))
    }
}

/// Shares a store between two clients, and reads it with a third one after a restart.
async fn share(place: &str, scopes: &ScopeSet, builder: impl Fn() -> Builder<Oauth>) -> Result<(), StoreError> {
    println!("Openapi.it ({place})");
    let store = TableStore::default();
    let (one, other) = (builder().store(store.clone()).build()?, builder().store(store.clone()).build()?);
    let (first, second) = tokio::join!(one.token(scopes), other.token(scopes));
    let restarted = builder().store(store.clone()).build()?;
    let third = restarted.token(scopes).await;
    // Also after an error: a token that is left behind stays valid.
    let deleted = one.revoke_created().await? + other.revoke_created().await? + restarted.revoke_created().await?;
    let (first, second, third) = (first?, second?, third?);
    println!("  two clients share a token     {}", first == second);
    println!("  so does one after a restart   {}", first == third);
    println!("  tokens deleted                {deleted}");
    println!("  the table is empty            {}", store.table.lock().await.rows.is_empty());
    Ok(())
}

const HELP: &str = "\
A token store of your own: two clients of Openapi.it share a table of a database, and a third reads it after a restart.
With the variables below it makes one token and deletes it; it calls no paid endpoint. Without them it runs against the emulator.

Options:
  --production  talks to production; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL, OPENAPI_API_KEY  the account's e-mail address and API key: the sandbox's, or with --production production's";

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), StoreError> {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    let (environment, scope) = match std::env::args().nth(1).as_deref() {
        None => (Environment::Sandbox, "GET:test.imprese.openapi.it/base"),
        Some("--production") => (Environment::Production, "GET:imprese.openapi.it/base"),
        Some(other) => return Err(format!("unknown argument `{other}`; expected none, or --production").into()),
    };
    let scopes = ScopeSet::parse([scope])?;
    let is_set = |name| std::env::var_os(name).is_some();
    if environment == Environment::Sandbox && !is_set("OPENAPI_EMAIL") && !is_set("OPENAPI_API_KEY") {
        return emulated(&scopes).await;
    }
    let credentials = Credentials::from_env()?;
    share(&environment.to_string(), &scopes, || Oauth::builder(credentials.clone()).environment(environment)).await
}

/// SCAFFOLDING, not to copy: the emulator, and what it counted.
async fn emulated(scopes: &ScopeSet) -> Result<(), StoreError> {
    let emulator = Emulator::start().await?;
    let credentials = Credentials::new(EMAIL, SANDBOX_KEY);
    let builder = || Oauth::builder(credentials.clone()).base_url(emulator.sandbox_v2_url()).clock(emulator.clock());
    share("emulated on this machine", scopes, builder).await?;
    println!("  tokens made                   {}", emulator.count("create_token"));
    // As in the tests of your own store.
    laws::check(TableStore::default()).await?;
    laws::check_lock(TableStore::default()).await?;
    println!("  the store passes the checks   true");
    Ok(())
}
