//! Checks of a store of your own, for its tests.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), gettone::Error> {
//! use gettone::store::{MemoryStore, laws};
//!
//! laws::check(MemoryStore::new()).await?;
//! laws::check_lock(MemoryStore::new()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The checks write records under names that begin with `laws of a store`, and remove them, even if a check fails. First they remove what an
//! earlier run left behind if it was killed. The store must accept records that are not sealed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Locked, Record, Replaced, StoreLock, StoredToken, TokenStore, Version};
use crate::error::{Error, Kind};
use crate::runtime;

/// How long a check waits for a lock that must be free.
const PATIENCE: Duration = Duration::from_secs(30);

const FREE: &str = "`lock` does not wait for a lock that nobody has";

/// Checks `load`, `replace` and `remove`: the store replaces a record only if it is the one that the client has seen, also for two clients
/// at once.
///
/// A store that can only get and set a text does not pass.
///
/// # Errors
///
/// - [`is_store`](Error::is_store): the store breaks a law, which the message names, or one of its calls failed.
/// - [`is_invalid_input`](Error::is_invalid_input): the call is outside a tokio runtime.
pub async fn check(store: impl TokenStore) -> Result<(), Error> {
    runtime::current()?;
    let store = Arc::new(store);
    // A client's names are long and have quotes in them.
    let long = "laws of a store \"á\\\u{1f511}\n".repeat(200);
    for name in ["laws of a store", "laws of a store: another name", "laws of a store\"; --", &long] {
        let laws = Laws { store: &*store, name };
        laws.with_no_trace(async {
            laws.one_after_the_other().await?;
            laws.a_call_that_is_dropped().await
        })
        .await?;
    }
    let name = "laws of a store: two at once";
    Laws { store: &*store, name }.with_no_trace(two_at_once(&store, name)).await
}

/// Checks `lock`: one client at a time has the lock of a name, another can take it after its release, and a client that waits sees a new
/// record. The lock of another name is free meanwhile.
///
/// A store that locks nothing does not pass, nor does one with a single lock for all names.
///
/// # Errors
///
/// - [`is_store`](Error::is_store): the store breaks a law, which the message names, or one of its calls failed.
/// - [`is_invalid_input`](Error::is_invalid_input): the call is outside a tokio runtime.
pub async fn check_lock(store: impl TokenStore) -> Result<(), Error> {
    runtime::current()?;
    let laws = Laws { store: &store, name: "laws of a store: lock" };
    laws.with_no_trace(locks(laws)).await
}

async fn locks<S: TokenStore>(laws: Laws<'_, S>) -> Result<(), Error> {
    let store = laws.store;
    let held = laws.lock(None).await?;
    {
        let mut waiting = pin!(store.lock(laws.name, None));
        for _ in 0..3 {
            let soon = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
            law(soon.is_err(), "`lock` waits for a lock that another client has")?;
        }
        let version = laws.done(laws.replace(None, "a").await?, "`replace` creates a record if there is none")?;
        held.release().await;
        match laws.in_time(waiting, FREE).await? {
            Locked::Held(_) | Locked::Changed => {}
            Locked::Busy => return broken("`lock` takes a lock that has been released"),
        }
        // A lock of another name is free meanwhile.
        let other = Laws { name: "laws of a store: another lock", ..laws };
        let one = laws.lock(Some(&version)).await?;
        let other =
            other.in_time(store.lock(other.name, None), "`lock` does not wait for the lock of another name").await?;
        let Locked::Held(two) = other else { return broken("`lock` does not wait for the lock of another name") };
        one.release().await;
        two.release().await;
    }
    // One that is dropped, and one that nobody waits for anymore.
    let version = laws.load().await?.map(|record| record.version().clone());
    drop(laws.lock(version.as_ref()).await?);
    let held = laws.lock(version.as_ref()).await?;
    let _ = poll_once(store.lock(laws.name, version.as_ref()));
    held.release().await;
    laws.lock(version.as_ref()).await?.release().await;
    Ok(())
}

struct Laws<'a, S> {
    store: &'a S,
    name: &'a str,
}

impl<S> Clone for Laws<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Laws<'_, S> {}

impl<S: TokenStore> Laws<'_, S> {
    async fn one_after_the_other(&self) -> Result<(), Error> {
        law(self.load().await?.is_none(), "`load` returns no record before one is written")?;
        let absent = Version::new("laws of a store");
        law(
            self.replace(Some(&absent), "a").await? == Replaced::Conflict,
            "`replace` with a version is a conflict if there is no record",
        )?;
        law(self.load().await?.is_none(), "`replace` changes nothing if it is a conflict")?;
        let first = self.done(self.replace(None, "a").await?, "`replace` creates a record if there is none")?;
        self.has("a", &first).await?;
        law(
            self.replace(None, "b").await? == Replaced::Conflict,
            "`replace` without a version is a conflict if there is a record",
        )?;
        law(
            self.replace(Some(&absent), "b").await? == Replaced::Conflict,
            "`replace` with a version that no record had is a conflict",
        )?;
        self.has("a", &first).await?;
        let second =
            self.done(self.replace(Some(&first), "b").await?, "`replace` with the version of the record replaces it")?;
        self.has("b", &second).await?;
        law(
            self.replace(Some(&first), "c").await? == Replaced::Conflict,
            "`replace` with the version of an earlier record is a conflict",
        )?;
        self.has("b", &second).await?;
        // The same text again.
        let third =
            self.done(self.replace(Some(&second), "c").await?, "`replace` with the version of the record replaces it")?;
        self.remove().await?;
        law(self.load().await?.is_none(), "`load` returns no record after `remove`")?;
        self.remove().await?;
        law(
            self.replace(Some(&third), "d").await? == Replaced::Conflict,
            "`replace` with the version of a removed record is a conflict",
        )?;
        let last = self.done(self.replace(None, "e").await?, "`replace` creates a record again after `remove`")?;
        let versions = [&first, &second, &third, &last];
        let is_repeated = (1..versions.len()).any(|index| versions[..index].contains(&versions[index]));
        law(!is_repeated, "`replace` returns no version twice")?;
        self.remove().await
    }

    /// The call may be carried out or not, but nothing in between.
    async fn a_call_that_is_dropped(&self) -> Result<(), Error> {
        let first = self.done(self.replace(None, "a").await?, "`replace` creates a record if there is none")?;
        let (before, after) = (token("a")?, token("b")?);
        let _ = poll_once(self.store.replace(self.name, Some(&first), &after));
        let _ = poll_once(self.store.load(self.name));
        let record = self.load().await?;
        let kept = record.as_ref().and_then(|record| record.token().ok());
        law(
            kept.is_some_and(|kept| [&before, &after].contains(&kept)),
            "a dropped `replace` leaves the old or the new record",
        )?;
        self.remove().await
    }

    async fn has(&self, text: &str, version: &Version) -> Result<(), Error> {
        let record = self.load().await?;
        let Some(record) = record else { return broken("`load` returns a record after `replace`") };
        law(
            record.token().is_ok_and(|kept| token(text).is_ok_and(|token| token == *kept)),
            "`load` returns the record that `replace` wrote",
        )?;
        law(record.version() == version, "`load` returns the version that `replace` returned")
    }

    fn done(&self, replaced: Replaced, rule: &'static str) -> Result<Version, Error> {
        match replaced {
            Replaced::Done(version) => Ok(version),
            Replaced::Conflict => broken(rule),
        }
    }

    async fn load(&self) -> Result<Option<Record>, Error> {
        self.store.load(self.name).await.map_err(|error| Error::store("load", error))
    }

    async fn replace(&self, seen: Option<&Version>, text: &str) -> Result<Replaced, Error> {
        self.store.replace(self.name, seen, &token(text)?).await.map_err(|error| Error::store("replace", error))
    }

    async fn remove(&self) -> Result<(), Error> {
        self.store.remove(self.name).await.map_err(|error| Error::store("remove", error))
    }

    async fn lock(&self, seen: Option<&Version>) -> Result<StoreLock, Error> {
        match self.in_time(self.store.lock(self.name, seen), FREE).await? {
            Locked::Held(lock) => Ok(lock),
            Locked::Changed => broken("`lock` returns `Changed` only if the record has another version"),
            Locked::Busy => broken("`lock` returns `Busy` only if another client has the lock"),
        }
    }

    /// Returns the outcome of `lock`. If it takes too long, the store breaks `rule`.
    async fn in_time(
        &self,
        lock: impl Future<Output = Result<Locked, super::StoreError>>,
        rule: &'static str,
    ) -> Result<Locked, Error> {
        match tokio::time::timeout(PATIENCE, lock).await {
            Ok(locked) => locked.map_err(|error| Error::store("lock", error)),
            Err(_) => broken(rule),
        }
    }

    /// Removes the record before a check and after it, whatever its outcome: the next run must not find what this one left.
    async fn with_no_trace(&self, check: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        self.remove().await?;
        let outcome = check.await;
        outcome.and(self.remove().await)
    }
}

/// Of several clients that have seen the same record, one replaces it.
async fn two_at_once<S: TokenStore>(store: &Arc<S>, name: &'static str) -> Result<(), Error> {
    let laws = Laws { store: &**store, name };
    let mut seen = None;
    for round in 0..10 {
        let mut clients = JoinSet::new();
        for client in 0..8 {
            let (store, seen, token) = (Arc::clone(store), seen.clone(), token(&format!("{round} {client}"))?);
            clients.spawn(async move { store.replace(name, seen.as_ref(), &token).await });
        }
        let mut versions = Vec::new();
        for replaced in clients.join_all().await {
            match replaced.map_err(|error| Error::store("replace", error))? {
                Replaced::Done(version) => versions.push(version),
                Replaced::Conflict => {}
            }
        }
        law(versions.len() == 1, "`replace` succeeds for one of several clients that have seen the same record")?;
        seen = versions.pop();
        let loaded = laws.load().await?.map(|record| record.version().clone());
        law(loaded == seen, "`load` returns the record of the client whose `replace` succeeded")?;
    }
    laws.remove().await
}

fn token(text: &str) -> Result<StoredToken, Error> {
    // In the year 2100, so that no store drops it.
    StoredToken::from_json(&format!(
        r#"{{"version":1,"access_token":"{}","obtained_at":4102444800000,"expires_at":4102448400000}}"#,
        text.replace(' ', "-")
    ))
}

fn law(holds: bool, rule: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { broken(rule) }
}

fn broken<T>(rule: &'static str) -> Result<T, Error> {
    Err(Error::new(Kind::Store).with_message(format!("the store breaks a law: {rule}")))
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FileStore, MemoryStore, StoreError};

    #[tokio::test]
    async fn our_own_stores_keep_the_laws() {
        let folder = std::env::temp_dir().join(format!("gettone-laws-{}", std::process::id()));
        let file = FileStore::open(folder.join("tokens.json")).await.unwrap();
        check(MemoryStore::new()).await.unwrap();
        check_lock(MemoryStore::new()).await.unwrap();
        check(file.clone()).await.unwrap();
        check_lock(file).await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// A store in memory with one fault.
    #[derive(Debug)]
    struct Faulty(MemoryStore, &'static str);

    impl TokenStore for Faulty {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            let record = self.0.load(if self.1 == "one name" { "name" } else { name }).await?;
            Ok(record.filter(|_| self.1 != "forgets"))
        }

        async fn replace(
            &self,
            name: &str,
            seen: Option<&Version>,
            token: &StoredToken,
        ) -> Result<Replaced, StoreError> {
            let name = if self.1 == "one name" { "name" } else { name };
            let present = self.0.load(name).await?.map(|record| record.version().clone());
            let seen = match self.1 {
                "never compares" => present.as_ref(),
                "compares too early" if present.as_ref() == seen => {
                    tokio::task::yield_now().await;
                    let present = self.0.load(name).await?.map(|record| record.version().clone());
                    return self.0.replace(name, present.as_ref(), token).await;
                }
                "creates over a record" if seen.is_none() => present.as_ref(),
                _ => seen,
            };
            let replaced = self.0.replace(name, seen, token).await?;
            Ok(match replaced {
                Replaced::Done(_) if self.1 == "another version" => Replaced::Done(Version::new("another")),
                replaced => replaced,
            })
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            match self.1 {
                "never removes" => Ok(()),
                _ => self.0.remove(if self.1 == "one name" { "name" } else { name }).await,
            }
        }

        async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
            match self.1 {
                "locks nothing" => Ok(Locked::Held(StoreLock::new(()))),
                "one lock" => self.0.lock("name", None).await,
                "always busy" => Ok(Locked::Busy),
                _ => self.0.lock(name, seen).await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_breaks_a_law_is_found() {
        for (fault, rule) in [
            ("forgets", "`load` returns a record after `replace`"),
            ("never compares", "`replace` with a version is a conflict if there is no record"),
            ("creates over a record", "`replace` without a version is a conflict if there is a record"),
            ("compares too early", "`replace` succeeds for one of several clients that have seen the same record"),
            ("another version", "`load` returns the version that `replace` returned"),
            ("never removes", "`load` returns no record after `remove`"),
        ] {
            let error = check(Faulty(MemoryStore::new(), fault)).await.unwrap_err();
            assert!(error.is_store() && error.to_string().contains(rule), "{fault}: {error}");
        }
        for (fault, rule) in [
            ("locks nothing", "`lock` waits for a lock that another client has"),
            ("always busy", "`lock` returns `Busy` only if another client has the lock"),
            ("one lock", "`lock` does not wait for the lock of another name"),
        ] {
            let error = check_lock(Faulty(MemoryStore::new(), fault)).await.unwrap_err();
            assert!(error.to_string().contains(rule), "{fault}: {error}");
        }
        check(Faulty(MemoryStore::new(), "")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_leaves_no_record_and_finds_none() {
        const NAMES: [&str; 3] = ["laws of a store", "laws of a store: two at once", "laws of a store: lock"];
        let kept = MemoryStore::new();
        for fault in ["another version", "compares too early", "one lock"] {
            // What a run left that was killed.
            for name in NAMES {
                let left = kept.replace(name, None, &token("left").unwrap()).await.unwrap();
                assert!(matches!(left, Replaced::Done(_)), "{name}");
            }
            let outcomes = [check(Faulty(kept.clone(), fault)).await, check_lock(Faulty(kept.clone(), fault)).await];
            assert!(outcomes.iter().any(Result::is_err), "{fault}");
            for name in NAMES {
                let is_gone = kept.load(name).await.unwrap().is_none();
                // The check of the first name has failed before it came to the second.
                assert!(is_gone || (fault == "another version" && name == NAMES[1]), "{fault}: {name}");
                kept.remove(name).await.unwrap();
            }
        }
        check(kept.clone()).await.unwrap();
        check_lock(kept).await.unwrap();
    }
}
