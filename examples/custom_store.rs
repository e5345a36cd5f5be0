//! A store of one's own: all tokens in one JSON document, which goes wherever a program keeps a text, such as a row of a database or
//! a secret of a secret manager.
//!
//! `cargo run --example custom_store --features emulator` talks to the emulator, on this machine. With `OPENAPI_EMAIL` and
//! `OPENAPI_API_KEY` set it talks to the sandbox of Openapi.it, after `-- --production` to production. It makes one token and
//! deletes it again; no endpoint that is paid for is called.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use gettone::emulator::Emulator;
use gettone::openapi::{Credentials, Environment, v1::Oauth};
use gettone::store::{StoreError, StoreLock, StoredToken, TokenStore};
use gettone::{Builder, Scope, ScopeSet, Secret};

/// Takes the document after each change. It is full of secrets: this is where to encrypt it.
type Write = dyn Fn(&str) -> Result<(), StoreError> + Send + Sync;

/// Clones are the same store.
#[derive(Clone)]
struct Document(Arc<Parts>);

struct Parts {
    tokens: tokio::sync::Mutex<BTreeMap<String, Secret>>,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    write: Box<Write>,
}

impl Document {
    /// Goes on with what was written before; an empty text is an empty document.
    fn new<W>(text: &str, write: W) -> Result<Self, serde_json::Error>
    where
        W: Fn(&str) -> Result<(), StoreError> + Send + Sync + 'static,
    {
        let tokens: BTreeMap<_, _> = if text.is_empty() { BTreeMap::new() } else { serde_json::from_str(text)? };
        Ok(Self(Arc::new(Parts { tokens: tokens.into(), locks: Mutex::default(), write: Box::new(write) })))
    }

    async fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Secret>)) -> Result<(), StoreError> {
        let mut tokens = self.0.tokens.lock().await; // until the document is written: of two changes none is lost
        change(&mut tokens);
        let texts: BTreeMap<&String, &str> = tokens.iter().map(|(name, token)| (name, token.expose())).collect();
        (self.0.write)(Secret::new(serde_json::to_string(&texts)?).expose())
    }
}

impl TokenStore for Document {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        let tokens = self.0.tokens.lock().await;
        Ok(tokens.get(name).map(|token| StoredToken::from_json(token.expose())).transpose()?)
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        let json = token.to_json();
        self.change(|tokens| drop(tokens.insert(name.to_owned(), json))).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.change(|tokens| drop(tokens.remove(name))).await
    }

    /// One for each name, so that a token that takes long holds up no other. Where several processes share what is written, take
    /// a lock there, such as an advisory lock of the database.
    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        let lock = {
            let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        Ok(StoreLock::new(lock.lock_owned().await))
    }
}

/// A store is printed with the client that has it: no token may be in that.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Document")
    }
}

const HELP: &str = "\
A token store of your own: two clients of Openapi.it share one JSON document, and a third reads it after a restart.

It makes one token and deletes it again. It calls no paid endpoint.

Options:
  --production  talks to production; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL    the account's e-mail address
  OPENAPI_API_KEY  its API key: the sandbox's, or production's with --production

Without them the example runs against the emulator, on this machine.";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    if std::env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    let environment = match std::env::args().nth(1).as_deref() {
        None => Environment::Sandbox,
        Some("--production") => Environment::Production,
        Some(other) => return Err(format!("unknown argument `{other}`; the one there is: --production").into()),
    };
    let scope: Scope = "GET:imprese.openapi.it/base".parse()?;
    let is_set = |name| std::env::var_os(name).is_some();
    if environment == Environment::Production || is_set("OPENAPI_EMAIL") || is_set("OPENAPI_API_KEY") {
        println!("Openapi.it ({environment})");
        let credentials = Credentials::from_env()?;
        let scope = if environment == Environment::Sandbox { scope.sandbox()? } else { scope };
        return share(scope, || Oauth::builder(credentials.clone()).environment(environment)).await;
    }

    println!("Openapi.it (emulated on this machine)");
    let emulator = Emulator::start().await?;
    let account = emulator.account();
    let credentials = Credentials::new(account.email(), account.production_key().clone());
    let builder = || Oauth::builder(credentials.clone()).base_url(emulator.production_url()).clock(emulator.clock());
    share(scope, builder).await?;
    println!("  tokens made                        {}", emulator.count("create_token"));
    Ok(())
}

/// Two clients with one store, and a third after a restart.
async fn share(scope: Scope, builder: impl Fn() -> Builder<Oauth>) -> Result<(), Box<dyn Error>> {
    let scopes = ScopeSet::from(scope);
    let row = Arc::new(Mutex::new(String::new())); // stands for the database
    let database = Arc::clone(&row);
    let read = || row.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let write = move |text: &str| {
        text.clone_into(&mut database.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    };

    let store = Document::new(&read(), write.clone())?;
    let (one, other) = (builder().store(store.clone()).build()?, builder().store(store).build()?);
    let (first, second) = tokio::join!(one.token(&scopes), other.token(&scopes));
    let later = builder().store(Document::new(&read(), write)?).build()?;
    let third = later.token(&scopes).await;

    // Whatever went wrong: a token that is left behind lives on. Each client deletes what it made itself.
    let mut deleted = 0;
    for client in [one, other, later] {
        deleted += client.revoke_created().await?;
    }
    let (first, second, third) = (first?, second?, third?);
    println!("  two clients have the same token    {}", first == second);
    println!("  and a third one after a restart    {}", first == third);
    println!("  tokens deleted                     {deleted}");
    println!("  nothing is left in the database    {}", read() == "{}");
    Ok(())
}
