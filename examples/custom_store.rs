//! Shows a token store of your own, which two clients share: `cargo run --example custom_store --features emulator`
//!
//! It runs against the emulator, on this machine. With an account it creates one token and deletes it: see `-- --help`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gettone::emulator::{EMAIL, Emulator, SANDBOX_KEY};
use gettone::openapi::{Credentials, Environment, v2::Oauth};
use gettone::store::{StoreError, StoreLock, StoredToken, TokenStore};
use gettone::{Builder, ScopeSet, Secret};
use tokio::sync::Mutex;

/// Keeps all tokens in one row of a database, as JSON. Clones share the row. `Debug` prints no token: a client prints its store.
#[derive(Debug, Clone)]
struct RowStore {
    /// A stand-in for the row. The tokens in it are secrets: encrypt what you write.
    row: Arc<Mutex<Secret>>,
    locks: Arc<Mutex<HashMap<String, Arc<Mutex<()>>>>>,
}

impl RowStore {
    /// Reads, changes and writes the row. The lock keeps other changes out; in a database, use a transaction.
    async fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Secret>)) -> Result<(), StoreError> {
        let mut row = self.row.lock().await;
        let mut tokens: BTreeMap<String, Secret> = serde_json::from_str(row.expose())?;
        change(&mut tokens);
        let texts: BTreeMap<&String, &str> = tokens.iter().map(|(name, token)| (name, token.expose())).collect();
        *row = serde_json::to_string(&texts)?.into();
        Ok(())
    }
}

impl TokenStore for RowStore {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        let tokens: BTreeMap<String, Secret> = serde_json::from_str(self.row.lock().await.expose())?;
        Ok(tokens.get(name).map(|token| StoredToken::from_json(token.expose())).transpose()?)
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        self.change(|tokens| drop(tokens.insert(name.to_owned(), token.to_json()))).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.change(|tokens| drop(tokens.remove(name))).await
    }

    /// Locks one name. If several processes share the row, lock it there: with an advisory lock of the database, for example.
    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        let lock = Arc::clone(self.locks.lock().await.entry(name.to_owned()).or_default());
        Ok(StoreLock::new(lock.lock_owned().await))
    }
}

/// Shares a store between two clients, and reads it with a third one after a restart.
async fn share(place: &str, scopes: &ScopeSet, builder: impl Fn() -> Builder<Oauth>) -> Result<(), StoreError> {
    println!("Openapi.it ({place})");
    let store = RowStore { row: Arc::new(Mutex::new(Secret::new("{}"))), locks: Arc::default() };
    let (one, other) = (builder().store(store.clone()).build()?, builder().store(store.clone()).build()?);
    let (first, second) = tokio::join!(one.token(scopes), other.token(scopes));
    let restarted = builder().store(RowStore { row: store.row.clone(), locks: Arc::default() }).build()?;
    let third = restarted.token(scopes).await;
    // Also after an error: a token that is left behind stays valid.
    let deleted = one.revoke_created().await? + other.revoke_created().await? + restarted.revoke_created().await?;
    let (first, second, third) = (first?, second?, third?);
    println!("  two clients share a token     {}", first == second);
    println!("  so does one after a restart   {}", first == third);
    println!("  tokens deleted                {deleted}");
    println!("  the row is empty              {}", store.row.lock().await.expose() == "{}");
    Ok(())
}

const HELP: &str = "\
A token store of your own: two clients of Openapi.it share one row of a database, and a third reads it after a restart.
With the variables it makes one token and deletes it; it calls no paid endpoint. Without them it runs against the emulator.

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
    Ok(())
}
