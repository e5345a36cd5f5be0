//! Any bytes as the file of a [`FileStore`], and any text as a record in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use gettone::store::{FileStore, Record, Replaced, StoredToken, TokenStore};
use serde_json::value::RawValue;

use super::secrets::{FAMILIES, assert_clean, assert_clean_error, splice};
use super::{block_on, memory};

/// Lists the secrets that the bytes of `FORMS` stand for.
pub fn secrets(family: u8) -> Vec<String> {
    let family = &FAMILIES[usize::from(family) % FAMILIES.len()];
    [family.token, family.refresh_token, family.api_key].map(str::to_owned).to_vec()
}

/// Checks an input as the whole file.
pub fn check_file(family: u8, input: &[u8]) {
    let secrets = secrets(family);
    let bytes = splice(input, &secrets);
    let _shown = Shown(&bytes);
    let folder = Folder::with(&bytes);
    block_on(file(&folder, &bytes, &secrets));
}

/// Prints an input if a property does not hold.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("of {}", self.0.get(..2_000).unwrap_or(self.0).escape_ascii());
        }
    }
}

async fn file(folder: &Folder, bytes: &[u8], secrets: &[String]) {
    let opened = FileStore::open(folder.file()).await;
    let expected = Model::read(bytes);
    let store = match (opened, &expected) {
        (Err(error), Model::Later) => {
            assert!(error.is_invalid_input() && error.to_string().contains("later version"), "{error}");
            assert_clean_error("a later version", &error, secrets);
            assert_eq!((folder.read(), folder.damaged()), (Some(bytes.to_vec()), vec![]));
            return;
        }
        (Ok(store), Model::Later) => panic!("{store:?} of a later version"),
        (Err(error), _) => panic!("{error}"),
        (Ok(store), _) => store,
    };
    let (tokens, rest) = match expected {
        // The store keeps all of it.
        Model::Damaged | Model::Later => {
            assert_eq!((folder.read(), folder.damaged()), (None, vec![bytes.to_vec()]));
            Default::default()
        }
        Model::Good { tokens, rest } => {
            assert_eq!((folder.read(), folder.damaged()), (Some(bytes.to_vec()), vec![]));
            (tokens, rest)
        }
    };
    // A damaged file may have had a record of any name.
    let is_damaged = !folder.damaged().is_empty();
    let assert_absent = |record: Option<Record>| {
        assert_eq!(record.is_some(), is_damaged, "{record:?}");
        if let Some(record) = record {
            let told = record.token().unwrap_err().to_string();
            assert!(told.contains("damaged, so it was renamed to"), "{told}");
            assert_clean("a damaged file", &told, secrets);
        }
    };
    for name in tokens.keys().map(String::as_str).chain([MINE, "absent"]).take(12) {
        match (store.load(name).await, tokens.get(name)) {
            (Ok(record), None) => assert_absent(record),
            (Ok(Some(record)), Some(json)) => match record.token() {
                Ok(token) => assert_eq!(Some(token), readable(json).as_ref(), "{name:?}"),
                Err(error) => {
                    assert!(readable(json).is_none(), "{name:?}: {error}");
                    // Whoever wrote the file chose the name, which the store shows.
                    let message = error.to_string();
                    let (before, rest) = message.split_once("cannot read the record of ").expect(&message);
                    let (_, after) = rest.split_once(", which the client ignores").expect(&message);
                    assert_clean("a damaged record", before, secrets);
                    assert_clean("a damaged record", after, secrets);
                }
            },
            (loaded, _) => panic!("{name:?}: {loaded:?}"),
        }
    }

    // Saving keeps useful tokens and unknown fields.
    let mine = StoredToken::from_json(TOKEN).unwrap();
    let seen = store.load(MINE).await.unwrap().map(|record| record.version().clone());
    assert!(matches!(store.replace(MINE, seen.as_ref(), &mine).await.unwrap(), Replaced::Done(_)));
    let mut kept = tokens;
    kept.retain(|_, json| {
        let since = readable(json).and_then(|token| OBTAINED_AT.duration_since(token.discard_after()).ok());
        since.is_none_or(|since| since.as_secs() >= 365 * 24 * 60 * 60)
    });
    kept.insert(MINE.to_owned(), mine.to_json().expose().to_owned());
    assert_eq!(Model::read(&folder.read().unwrap()), Model::Good { tokens: kept.clone(), rest: rest.clone() });
    assert_eq!(store.load(MINE).await.unwrap().unwrap().token().unwrap(), &mine);

    // Removing drops one token.
    let gone = kept.keys().find(|name| *name != MINE).cloned().unwrap_or(MINE.to_owned());
    store.remove(&gone).await.unwrap();
    kept.remove(&gone);
    assert_eq!(Model::read(&folder.read().unwrap()), Model::Good { tokens: kept, rest });
    assert_absent(store.load(&gone).await.unwrap());
    folder.tidy();
}

const MINE: &str = "mine";
const TOKEN: &str =
    r#"{"version":1,"access_token":"mine-11ae","obtained_at":1634169600000,"expires_at":4102444800000}"#;

static OBTAINED_AT: std::sync::LazyLock<std::time::SystemTime> = std::sync::LazyLock::new(super::services::now);

fn readable(json: &str) -> Option<StoredToken> {
    StoredToken::from_json(json).ok()
}

/// What the store must read in a file.
#[derive(Debug, PartialEq)]
enum Model {
    Good { tokens: BTreeMap<String, String>, rest: BTreeMap<String, String> },
    Damaged,
    Later,
}

impl Model {
    fn read(bytes: &[u8]) -> Self {
        let fields = |json: &[u8]| {
            let fields = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(json).ok()?;
            Some(fields.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect::<BTreeMap<_, _>>())
        };
        let Some(mut rest) = fields(bytes) else { return Self::Damaged };
        let (version, tokens) = (rest.remove("version"), rest.remove("tokens"));
        match version.and_then(|version| version.parse::<u64>().ok()) {
            Some(1) => match tokens.and_then(|tokens| fields(tokens.as_bytes())) {
                Some(tokens) => Self::Good { tokens, rest },
                None => Self::Damaged,
            },
            Some(2..) => Self::Later,
            _ => Self::Damaged,
        }
    }
}

/// Checks an input as one record. Returns whether it was valid.
pub fn check_record(family: u8, input: &[u8]) -> bool {
    let secrets = secrets(family);
    let bytes = splice(input, &secrets);
    let text = String::from_utf8_lossy(&bytes);
    let _shown = Shown(&bytes);
    let (read, peak) = memory::peak(|| StoredToken::from_json(&text));
    memory::assert_in_proportion("a stored token", peak, text.len());
    match read {
        Ok(token) => {
            let json = token.to_json();
            assert_eq!(StoredToken::from_json(json.expose()).unwrap(), token, "{text}");
            assert!(token.discard_after() >= token.expires_at());
            assert_clean("a stored token", &format!("{token:?}"), &secrets);
            true
        }
        Err(error) => {
            assert!(error.is_decode(), "{error:?}");
            assert_clean_error("a stored token", &error, &secrets);
            assert_clean("a stored token", &error.to_string(), &secrets);
            false
        }
    }
}

/// A folder with a token file, which is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn with(bytes: &[u8]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gettone-hostile-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (mut folder, mut file) = (fs::DirBuilder::new(), fs::OpenOptions::new());
        #[cfg(unix)]
        {
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        }
        // In memory if possible, since a store waits for the disk.
        let memory = PathBuf::from("/dev/shm");
        let path = if memory.is_dir() { memory } else { std::env::temp_dir() }.join(name);
        folder.create(&path).unwrap();
        let made = Self(path);
        file.write(true).create_new(true).open(made.file()).unwrap().write_all(bytes).unwrap();
        made
    }

    fn file(&self) -> PathBuf {
        self.0.join("tokens.json")
    }

    fn read(&self) -> Option<Vec<u8>> {
        fs::read(self.file()).ok()
    }

    /// Returns the contents of all damaged files that the store renamed.
    fn damaged(&self) -> Vec<Vec<u8>> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let damaged = names.filter(|path| path.to_str().unwrap().contains("damaged"));
        damaged.map(|path| fs::read(path).unwrap()).collect()
    }

    /// Asserts that no temporary file is left.
    fn tidy(&self) {
        for entry in fs::read_dir(&self.0).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(matches!(&*name, "tokens.json" | "tokens.json.lock" | "tokens.json.damaged-0"), "{name}");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
