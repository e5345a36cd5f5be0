//! Seals records, so that only programs with the account's credentials, or with a key, can read what a store keeps, or write what a client
//! believes.
//!
//! A sealed record is a text of four parts: `g1.<key id>.<nonce>.<ciphertext>`. All but the first are in base64 for URLs, without padding.
//!
//! - The secrets of the account, or the key that was given, are the input of HKDF-SHA-256 (RFC 5869); its salt says which of the two.
//! - The key id has 24 bits of its output. A reader needs it to pick the key, and to tell another key from a damaged record.
//! - Each name has a key of its own. The ciphertext is AES-256-GCM with a random nonce of 96 bits, and its tag of 128 bits.
//! - Associated data: the form, the name, and what stands outside. So no record opens in the place of another.
//!
//! Anyone who can write to the store can put back an older record of the same name, or remove one.

#[cfg(any(test, gettone_test_transport))]
pub mod hostile;
#[cfg(test)]
mod tests;

use std::{fmt, iter};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use super::{StoreError, StoredToken};
use crate::error::{Error, Kind};

/// Whether a client seals the records of its store, and with which key.
///
/// A sealed record is encrypted and authenticated (AES-256-GCM). Somebody who can read the store sees when the tokens were obtained and when
/// they expire, how long a record is, which records have the same key, and the names as far as the store shows them; nothing else.
/// Somebody who can write to it can remove a record or put back an older one of the same name, but can neither change a record, nor make
/// one, nor move one to another name.
///
/// If a client cannot open a record, it reports the record, requests a token without it, and replaces it. That includes records that are
/// not sealed. A [`RefreshClient`](crate::openapi::v2::RefreshClient) fails instead, because its pair may be in that record.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Sealing {
    /// Records are not sealed: their tokens are in plain text.
    #[default]
    Off,
    /// Records are sealed with a key that is derived from the secrets of the client's own credentials.
    ///
    /// Clients with the same credentials share records, and no other program can open them. After a change of the credentials no client
    /// can open the old records.
    ///
    /// The credentials must be hard to guess, like a key or a client secret that a vendor has generated. Somebody with a copy of the store
    /// can test guesses against it, as fast as they can compute.
    WithCredentials,
    /// Records are sealed with a key of your own.
    WithKeys(SealingKeys),
}

impl Sealing {
    /// Fails if a record is plain that should be sealed: the client was given a store around this one.
    pub(super) fn check(&self, token: &StoredToken) -> Result<(), StoreError> {
        match self {
            Self::WithCredentials | Self::WithKeys(_) if !token.is_sealed() => Err(
                "the record is not sealed, and is not saved; in a store around this one, return `sealing` of this one"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

/// One or more keys for [`Sealing::WithKeys`]. The first one seals, all of them open.
///
/// A key consists of 32 random bytes, for example from a file that `openssl rand 32` wrote, or from a systemd credential:
///
/// ```no_run
/// use gettone::store::{Sealing, SealingKeys};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let new = SealingKeys::from_bytes(&std::fs::read("/run/credentials/invoices.service/store-key")?)?;
/// let old = SealingKeys::from_bytes(&std::fs::read("/run/credentials/invoices.service/old-store-key")?)?;
/// let sealing = Sealing::WithKeys(new.also_open_with(old));
/// # Ok(())
/// # }
/// ```
///
/// To change the key of programs that share a store, first let each of them open with the new key too, then let each of them seal with it.
/// Drop the old key when no token from before is left.
///
/// `Debug` prints how many keys there are. The keys are wiped from memory when the last clone is dropped.
#[derive(Clone)]
pub struct SealingKeys {
    seals: Key,
    also_open: Vec<Key>,
}

impl SealingKeys {
    /// Creates keys from one key of 32 random bytes, never a passphrase.
    #[must_use]
    pub fn new(mut key: [u8; 32]) -> Self {
        let seals = Key::new(b"gettone sealing key", &key);
        key.zeroize();
        Self { seals, also_open: Vec::new() }
    }

    /// Creates keys from one key of 32 random bytes, never a passphrase.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): there are not 32 bytes.
    pub fn from_bytes(key: &[u8]) -> Result<Self, Error> {
        key.try_into().map(Self::new).map_err(|_| {
            Error::invalid_input(format!(
                "sealing key of {} bytes: expected 32 random bytes, for example from a file that `openssl rand 32` wrote or from a systemd \
                 credential; a passphrase, base64 and hexadecimal are no such bytes",
                key.len()
            ))
        })
    }

    /// Adds keys that open records, such as the one that sealed them until now.
    #[must_use]
    pub fn also_open_with(mut self, keys: Self) -> Self {
        self.also_open.push(keys.seals);
        self.also_open.extend(keys.also_open);
        self
    }

    fn iter(&self) -> impl Iterator<Item = &Key> {
        iter::once(&self.seals).chain(&self.also_open)
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKeys").field("count", &self.iter().count()).finish()
    }
}

/// The form of a sealed record, at its beginning.
const FORM: &str = "g1.";

/// The longest sealed record, which is that of the longest token file.
const MAX_LENGTH: usize = 16 * 1024 * 1024;

/// What seals and opens the records of a client.
#[derive(Debug, Clone)]
pub(crate) struct Sealer(SealingKeys);

impl Sealer {
    /// Derives the key from the secrets of an account, of which one at least must be hard to guess.
    pub(crate) fn from_credentials(secrets: &[&[u8]]) -> Self {
        // Large enough: a buffer that grows leaves copies behind.
        let length = secrets.iter().map(|secret| size_of::<u64>() + secret.len()).sum();
        let mut joined = Zeroizing::new(Vec::with_capacity(length));
        for secret in secrets {
            // With its length, so that no other secrets look the same when they are joined.
            joined.extend_from_slice(&length_of(secret));
            joined.extend_from_slice(secret);
        }
        Self(SealingKeys { seals: Key::new(b"gettone credentials", &joined), also_open: Vec::new() })
    }

    pub(crate) fn from_keys(keys: &SealingKeys) -> Self {
        Self(keys.clone())
    }

    /// Seals a record. `head` is what a store keeps beside the result and gives back with it: anybody can read it, but nobody can change
    /// it.
    ///
    /// # Errors
    ///
    /// [`is_store`](Error::is_store): there is no randomness for a nonce, or the record is too long to be opened again.
    pub(crate) fn seal(&self, name: &str, head: &[u8], plain: &[u8]) -> Result<String, Error> {
        let failed =
            |reason: &str| Error::new(Kind::Store).with_message(format!("cannot seal the record of a token: {reason}"));
        let sealed = self.0.seals.seal(name, head, plain).map_err(|Unspecified| {
            failed("the operating system gave no random bytes or no memory; see to that, and try again")
        })?;
        if sealed.len() > MAX_LENGTH {
            return Err(failed("it is longer than 12 MiB; request fewer scopes for one token"));
        }
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) returned for the same name and head.
    pub(crate) fn open(&self, name: &str, head: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
        let parts = sealed.strip_prefix(FORM).ok_or(Unsealed::NotSealed)?;
        let (id, nonce, ciphertext) = Some(parts)
            .filter(|_| sealed.len() <= MAX_LENGTH)
            .and_then(|parts| {
                let (id, rest) = parts.split_once('.')?;
                let (nonce, ciphertext) = rest.split_once('.')?;
                Some((bytes(id)?, bytes(nonce)?, BASE64_URL_SAFE_NO_PAD.decode(ciphertext).ok()?))
            })
            .ok_or(Unsealed::Damaged)?;
        // Two keys may have the same id.
        let mut keys = self.0.iter().filter(|key| key.id() == Ok(id)).peekable();
        keys.peek().ok_or(Unsealed::OtherKey)?;
        keys.find_map(|key| key.open(name, head, nonce, &ciphertext).ok()).ok_or(Unsealed::Damaged)
    }
}

/// Why a record does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsealed {
    NotSealed,
    OtherKey,
    Damaged,
}

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSealed => {
                "the record is not sealed, or a later version of the crate sealed it: let every program that uses the store seal its \
                 records, with the same version"
            }
            Self::OtherKey => {
                "the record is sealed with another key: if the account's credentials have not changed, another program uses other \
                 credentials, or another sealing key: use the same everywhere, and `also_open_with` for the old key"
            }
            Self::Damaged => {
                "the sealed record is damaged, or was moved here from another name: find out what else writes to the store"
            }
        })
    }
}

impl std::error::Error for Unsealed {}

type KeyId = [u8; 3];

/// A key, from which others are derived. Its bytes are wiped when the last clone is dropped.
#[derive(Clone)]
struct Key(Prk);

impl Key {
    /// `salt`: where the secret comes from.
    fn new(salt: &[u8], secret: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(secret))
    }

    fn derive(&self, info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
        let mut derived = Zeroizing::new([0; 32]);
        self.0.expand(info, HKDF_SHA256)?.fill(&mut *derived)?;
        Ok(derived)
    }

    /// Returns what the records of this key begin with.
    ///
    /// It says which records have the same key. It hardly helps to guess a secret: the ciphertext also tells whether a guess is right, for
    /// one more derivation for each name and the check of a tag.
    fn id(&self) -> Result<KeyId, Unspecified> {
        let [first, second, third, ..] = *self.derive(&[b"gettone key id 1"])?;
        Ok([first, second, third])
    }

    /// Returns the key of a name. Not by the conversion of `aws-lc-rs`, which leaves the bytes of the key on the stack.
    fn of_name(&self, name: &str) -> Result<RandomizedNonceKey, Unspecified> {
        let key = self.derive(&[b"gettone store 1\0", name.as_bytes()])?;
        RandomizedNonceKey::new(&AES_256_GCM, &*key)
    }

    fn seal(&self, name: &str, head: &[u8], plain: &[u8]) -> Result<String, Unspecified> {
        // Large enough: a buffer that grows leaves copies behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        buffer.extend_from_slice(plain);
        let nonce = self.of_name(name)?.seal_in_place_append_tag(associated(name, head), &mut *buffer)?;
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!("{FORM}{}.{}.{}", base64(&self.id()?), base64(nonce.as_ref()), base64(&buffer)))
    }

    fn open(
        &self,
        name: &str,
        head: &[u8],
        nonce: [u8; NONCE_LEN],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.of_name(name)?.open_in_place(nonce, associated(name, head), &mut buffer)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Returns what is authenticated with a record.
fn associated(name: &str, head: &[u8]) -> Aad<Vec<u8>> {
    // With the length, so that no other name and head look the same when they are joined.
    Aad::from([FORM.as_bytes(), &length_of(name.as_bytes()), name.as_bytes(), head].concat())
}

fn length_of(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}

/// Decodes a part of a record whose length is fixed.
fn bytes<const LENGTH: usize>(base64: &str) -> Option<[u8; LENGTH]> {
    BASE64_URL_SAFE_NO_PAD.decode(base64).ok()?.try_into().ok()
}
