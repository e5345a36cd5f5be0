//! What a token file promises: to its owner, to other processes, and after a crash.
//!
//! Much of it is about permissions and signals, so the tests are for Unix.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "file_store/planted_files.rs"]
mod planted_files;

use std::fs::{self, DirBuilder, File, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::Still;
use common::fake::{Do, FakeService, answer};
use common::store::{access_token, field, hold, is_claim, put};
use gettone::store::{FileStore, Locked, Replaced, StoredToken, TokenStore, Version};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const SECRET: &str = "secret-5c1d";
/// The year 2100, in milliseconds.
const FAR: u64 = 4_102_444_800_000;
/// Takes no time: where it is used, tokio's time is paused.
const LONG: Duration = Duration::from_secs(30);
/// Ends a test that would go on forever.
const AT_LAST: Duration = Duration::from_secs(20);

/// A folder that only this user can open, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("file_store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    /// Creates a folder with a token file of this content.
    fn with(content: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        fs::write(folder.file(), content).unwrap();
        set_mode(&folder.file(), 0o600);
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.join("tokens.json")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    async fn open(&self) -> FileStore {
        FileStore::open(self.file()).await.unwrap()
    }

    /// Lists the names of its files, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn has(&self, part: &str) -> bool {
        self.names().iter().any(|name| name.contains(part))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn token(text: &str) -> StoredToken {
    let json = json!({ "version": 1, "access_token": text, "obtained_at": 1_634_169_600_000_u64, "expires_at": FAR });
    StoredToken::from_json(&json.to_string()).unwrap()
}

async fn loaded(store: &FileStore, name: &str) -> Option<String> {
    stored(store, name).await.as_ref().map(access_token)
}

async fn stored(store: &FileStore, name: &str) -> Option<StoredToken> {
    store.load(name).await.unwrap().map(|record| record.token().unwrap().clone())
}

/// Returns why the record of a name cannot be read.
async fn damage(store: &FileStore, name: &str) -> String {
    store.load(name).await.unwrap().unwrap().token().unwrap_err().to_string()
}

/// Saves a token under a name without a record. Unlike [`put`], it does not load anything.
async fn create(store: &FileStore, name: &str) {
    let replaced = store.replace(name, None, &token(name)).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
}

/// Returns the error of each operation.
async fn errors(store: &FileStore) -> [String; 3] {
    let errors = [
        store.load("a").await.unwrap_err(),
        store.replace("a", None, &token(SECRET)).await.unwrap_err(),
        store.remove("a").await.unwrap_err(),
    ];
    errors.map(|error| {
        let own = error.downcast_ref::<gettone::Error>().unwrap();
        assert!(own.is_invalid_input() || own.is_store());
        assert!(!format!("{error} {error:?}").contains(SECRET));
        error.to_string()
    })
}

// Values.

#[tokio::test]
async fn every_store_of_a_file_loads_what_one_saved() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    assert_eq!(stored(&store, "a").await, None);
    let full = json!({
        "version": 1, "access_token": "a\"/", "obtained_at": 1, "expires_at": 2, "refresh_token": format!("å\"\n{SECRET}"),
        "refresh_expires_at": FAR, "scopes": { "requested": ["*:a.it/*"], "granted": ["GET:a.it/b"] },
    });
    let full = StoredToken::from_json(&full.to_string()).unwrap();
    put(&store, "a", &full).await.unwrap();
    put(&store, "b", &token("1")).await.unwrap();
    put(&other, "b", &token("2")).await.unwrap();
    for store in [&store, &store.clone(), &other, &folder.open().await] {
        assert_eq!(stored(store, "a").await, Some(full.clone()));
        assert_eq!(loaded(store, "b").await.unwrap(), "2");
    }
    other.remove("a").await.unwrap();
    assert_eq!((loaded(&store, "a").await, loaded(&store, "b").await), (None, Some("2".to_owned())));
}

#[tokio::test]
async fn no_file_is_created_before_a_token_is_saved() {
    let folder = Folder::new();
    let store = folder.open().await;
    store.remove("a").await.unwrap();
    assert_eq!(stored(&store, "a").await, None);
    assert_eq!(folder.names(), ["tokens.json.lock"]);
}

#[tokio::test]
async fn a_name_may_be_any_text() {
    let folder = Folder::new();
    let store = folder.open().await;
    let long = "x".repeat(100_000);
    let controls: String = (0..32_u8).map(char::from).collect();
    let names = ["", ".", "../up", "/etc/x", "a b\t", "\"quoted\\\"", &controls, "åß€🦀", "tokens", "version", &long];
    for (number, name) in names.iter().enumerate() {
        let _lock = hold(&store, name).await.unwrap();
        put(&store, name, &token(&number.to_string())).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(loaded(&folder.open().await, name).await, Some(number.to_string()));
    }
    for name in names {
        store.remove(name).await.unwrap();
    }
    assert_eq!(folder.text(), r#"{"version":1,"tokens":{}}"#);
    assert!(folder.names().iter().all(|name| name.starts_with("tokens.json")), "{:?}", folder.names());
}

#[tokio::test]
async fn unknown_fields_are_kept_verbatim() {
    let later = r#"{"version":2, "token" : "x"}"#;
    let other = format!(r#"{{"access_token":"x","obtained_at":1,"expires_at":{FAR},"version":1,"note": 1.50e2 }}"#);
    let number = "123456789012345678901234567890.10";
    let folder = Folder::with(format!(
        r#" {{"tokens" : {{ "other":{other}, "odd\u0021":{number},"later":{later}}} ,"more":[1, null ], "version": 1 }} "#
    ));
    let store = folder.open().await;
    put(&store, "mine", &token("1")).await.unwrap();
    let mine = token("1").to_json();
    let mine = mine.expose();
    let tokens = format!(r#""later":{later},"mine":{mine},"odd!":{number},"other":{other}"#);
    assert_eq!(folder.text(), format!(r#"{{"version":1,"tokens":{{{tokens}}},"more":[1, null ]}}"#));
}

#[tokio::test]
async fn a_damaged_record_is_unreadable_until_a_token_is_saved_in_its_place() {
    let folder = Folder::with(r#"{"version":1,"tokens":{"a":{"version":1},"b":"x","c":{"version":2},"d":null}}"#);
    let store = folder.open().await;
    for name in ["a", "b", "c", "d"] {
        // Each time: the record stays until another is saved.
        for _ in 0..2 {
            let record = store.load(name).await.unwrap().unwrap();
            let error = record.token().unwrap_err().to_string();
            assert!(error.contains(&format!("cannot read the record of {name}")), "{error}");
        }
        // It is there, and only its version replaces it.
        assert_eq!(store.replace(name, None, &token(name)).await.unwrap(), Replaced::Conflict);
        put(&store, name, &token(name)).await.unwrap();
        assert_eq!(loaded(&store, name).await.as_deref(), Some(name));
    }
    assert!(!folder.has("damaged"));
}

#[tokio::test]
async fn a_useless_token_is_dropped_when_another_is_saved() {
    let record = |expires: u64, renewal: u64| {
        let base = json!({ "version": 1, "access_token": "x", "obtained_at": 0, "expires_at": expires });
        let renewal = json!({ "refresh_token": "x", "refresh_expires_at": renewal });
        let fields = [&base, &renewal].into_iter().flat_map(|value| value.as_object().unwrap().clone());
        serde_json::Value::Object(fields.collect())
    };
    let (now, year) = (1_634_169_600_000, 365 * 24 * 60 * 60 * 1_000);
    let tokens = json!({
        "over": record(now - 2, now - 1), "just over": record(now, 1), "over for almost a year": record(1, now - year + 1),
        // By a wrong clock, which may also be that of the saving process.
        "over for a year": record(1, now - year), "of 1970": record(1, 2),
        "renewable": record(1, now + 1), "alive": record(FAR, 1),
    });
    for remove in [false, true] {
        // By the clock of the saving process.
        let folder = Folder::with(json!({ "version": 1, "tokens": tokens }).to_string());
        let store = folder.open().await;
        if remove {
            store.remove("alive").await.unwrap();
        } else {
            put(&store, "alive", &token("2")).await.unwrap();
        }
        for name in ["over", "just over", "over for almost a year"] {
            assert_eq!(loaded(&store, name).await.is_some(), remove, "{name}");
        }
        for name in ["over for a year", "of 1970", "renewable"] {
            assert!(loaded(&store, name).await.is_some(), "{name}");
        }
        assert_eq!(loaded(&store, "alive").await.is_some(), !remove);
    }
}

#[tokio::test]
async fn no_debug_output_shows_a_token() {
    let folder = Folder::new();
    let store = folder.open().await;
    put(&store, "a", &token(SECRET)).await.unwrap();
    assert_eq!(format!("{store:?}"), format!("FileStore {{ path: {:?} }}", folder.file()));
}

// Versions.

#[tokio::test]
async fn a_record_is_replaced_over_its_own_version_only() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    let removed = put(&store, "a", &token("0")).await.unwrap();
    store.remove("a").await.unwrap();
    let of_another = put(&store, "b", &token("b")).await.unwrap();
    let mut wrong = vec![Some(removed), Some(of_another), Some(Version::new(""))];
    let mut right = None;
    for round in 1..5 {
        let before = (folder.text(), fs::metadata(folder.file()).unwrap().ino());
        for wrong in &wrong {
            assert_eq!(other.replace("a", wrong.as_ref(), &token(SECRET)).await.unwrap(), Replaced::Conflict);
        }
        // The file was not even written anew.
        assert_eq!((folder.text(), fs::metadata(folder.file()).unwrap().ino()), before);

        let mine = token(&round.to_string());
        let Replaced::Done(version) = store.replace("a", right.as_ref(), &mine).await.unwrap() else {
            panic!("round {round}: it was the right version");
        };
        for store in [&store, &other, &folder.open().await] {
            let record = store.load("a").await.unwrap().unwrap();
            assert_eq!((record.token().unwrap(), record.version()), (&mine, &version));
        }
        // From now on it is an earlier one.
        wrong.push(right.replace(version));
    }
}

#[cfg(feature = "emulator")]
#[tokio::test]
async fn the_checks_of_a_store_pass_and_leave_nothing_behind() {
    use gettone::store::laws;

    let folder = Folder::new();
    laws::check(folder.open().await).await.unwrap();
    laws::check_lock(folder.open().await).await.unwrap();
    assert_eq!(folder.text(), r#"{"version":1,"tokens":{}}"#);
}

#[cfg(feature = "seal")]
#[tokio::test]
async fn a_store_that_wants_sealed_records_writes_no_other() {
    use gettone::store::Sealing;

    let folder = Folder::new();
    let store = folder.open().await.with_sealing(Sealing::WithCredentials);
    let error = store.replace("a", None, &token(SECRET)).await.unwrap_err().to_string();
    assert!(error.starts_with("the record is not sealed") && !error.contains(SECRET), "{error}");
    assert!(!folder.file().exists());
}

#[tokio::test]
async fn a_record_is_created_once() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    create(&store, "a").await;
    for store in [&store, &other] {
        assert_eq!(store.replace("a", None, &token(SECRET)).await.unwrap(), Replaced::Conflict);
    }
    assert_eq!(loaded(&other, "a").await.as_deref(), Some("a"));
    // Until it is removed.
    other.remove("a").await.unwrap();
    create(&store, "a").await;
}

/// What another name has does not matter.
#[tokio::test]
async fn the_version_of_a_record_survives_the_writes_of_others() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    let version = put(&store, "a", &token("1")).await.unwrap();
    for number in 0..3 {
        put(&other, "b", &token(&number.to_string())).await.unwrap();
    }
    other.remove("b").await.unwrap();
    assert_eq!(*store.load("a").await.unwrap().unwrap().version(), version);
    assert!(matches!(store.replace("a", Some(&version), &token("2")).await.unwrap(), Replaced::Done(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_tasks_one_replaces_a_record() {
    let folder = Folder::new();
    let stores = [folder.open().await, folder.open().await];
    let mut seen = None;
    for round in 0..10 {
        let mut tasks = JoinSet::new();
        for number in 0..10 {
            let (store, seen) = (stores[number % 2].clone(), seen.clone());
            tasks.spawn(async move {
                let mine = token(&format!("{round}-{number}"));
                (store.replace("a", seen.as_ref(), &mine).await.unwrap(), mine)
            });
        }
        let all = tasks.join_all().await;
        let mut done = all.iter().filter_map(|(replaced, mine)| match replaced {
            Replaced::Done(version) => Some((version, mine)),
            _ => None,
        });
        let (version, mine) = done.next().unwrap();
        assert_eq!(done.next(), None, "round {round}");
        assert_eq!(stored(&stores[0], "a").await.as_ref(), Some(mine));
        seen = Some(version.clone());
    }
}

#[test]
fn of_two_processes_one_replaces_a_record() {
    let folder = Folder::new();
    let mut children = [(); 2].map(|()| Process::start("replace", &folder.file()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for round in 0..ROUNDS {
        // Both have seen the same record.
        children.iter_mut().for_each(|child| drop(child.said("seen")));
        children.iter_mut().for_each(Process::go_on);
        let mut done = children.iter_mut().filter_map(|child| {
            let said = child.said("replaced ");
            (said != "nothing").then_some(said)
        });
        let (winner, other) = (done.next(), done.next());
        assert!(winner.is_some() && other.is_none(), "round {round}: {winner:?} {other:?}");
        assert_eq!(runtime.block_on(async { loaded(&folder.open().await, "a").await }), winner);
    }
}

#[tokio::test]
async fn a_record_of_the_first_version_of_the_crate_is_read_and_replaced() {
    // Written by version 0.1.0: without `id` and `claimed_at`.
    let (name, other) =
        (r#"keliweb-fatture \"https://a.it\" \"c\" \"u\""#, r#"openapi-oauth \"https://b.it\" \"e\" GET:b.it/c"#);
    let pair = format!(
        r#"{{"version":1,"access_token":"a1","obtained_at":1634169600000,"expires_at":1634173200000,"refresh_token":"r1","refresh_expires_at":{FAR},"name":"{name}"}}"#
    );
    let scoped = format!(
        r#"{{"version":1,"access_token":"t1","obtained_at":1634169600000,"expires_at":{FAR},"scopes":{{"requested":["GET:b.it/c"],"granted":["GET:b.it/c"]}},"name":"{other}"}}"#
    );
    let folder = Folder::with(format!(r#"{{"version":1,"tokens":{{"{name}":{pair},"{other}":{scoped}}}}}"#));
    let text = folder.text();
    let store = folder.open().await;
    let plain = |name: &str| name.replace('\\', "");
    for (name, json) in [(plain(name), &pair), (plain(other), &scoped)] {
        let record = store.load(&name).await.unwrap().unwrap();
        assert_eq!(record.token().unwrap().to_json().expose(), json);
        assert_eq!(store.replace(&name, None, &token(SECRET)).await.unwrap(), Replaced::Conflict);
    }
    assert_eq!(folder.text(), text);
    let name = plain(name);
    let record = store.load(&name).await.unwrap().unwrap();
    let times = [record.token().unwrap().expires_at(), record.token().unwrap().discard_after()];
    let at = |milliseconds| std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
    assert_eq!(times, [at(1_634_173_200_000), at(FAR)]);
    let replaced = store.replace(&name, Some(record.version()), &token("2")).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
    assert_eq!(folder.text(), text.replace(&pair, token("2").to_json().expose()));
}

/// A client of this version sends the refresh token of a file that version 0.1.0 left behind, and only after it has claimed it.
#[tokio::test]
async fn a_refresh_token_of_the_first_version_of_the_crate_is_claimed_and_used() {
    let pair = |number: u32| common::services::keliweb::pair(&format!("a{number}"), format!("r{number}")).to_string();
    let service =
        FakeService::new([Do::Pause(String::new(), answer("200 OK", "content-type: application/json\r\n", &pair(2)))])
            .await;
    let name = format!("keliweb-fatture {:?} {:?} {:?}", service.url(), common::services::CLIENT_ID, common::EMAIL);
    let record = json!({ "version": 1, "access_token": "a1", "obtained_at": 1_634_000_000_000_u64, "expires_at": 1_634_003_600_000_u64,
        "refresh_token": "r1", "refresh_expires_at": FAR, "name": name });
    let folder = Folder::with(json!({ "version": 1, "tokens": { name.clone(): record } }).to_string());
    let store = folder.open().await;
    let builder = common::fatture(&service.url()).http_client(common::http()).store(store.clone());
    let fatture = builder.still().0.build().unwrap();
    let asking = tokio::spawn({
        let fatture = fatture.clone();
        async move { fatture.token().await }
    });
    service.called(1).await;
    assert!(service.requests()[0].body.contains("refresh_token=r1"));
    let claim = stored(&store, &name).await.unwrap();
    assert!(
        is_claim(&claim) && field(&claim, "refresh_token").is_none() && access_token(&claim) == "a1",
        "{}",
        folder.text()
    );
    service.go_on();
    assert_eq!(asking.await.unwrap().unwrap().expose(), "a2");
    fatture.wait_idle().await;
    let saved = stored(&store, &name).await.unwrap();
    assert!(!is_claim(&saved) && access_token(&saved) == "a2", "{}", folder.text());
    assert_eq!(field(&saved, "refresh_token"), Some("r2".into()));
}

// Permissions.

#[test]
fn no_other_user_can_open_a_new_file_or_folder() {
    let folder = Folder::new();
    // A path relative to a working folder that the process then leaves.
    let mut command = command("umask 0;", "once", Path::new("one/two/tokens.json"));
    let output = command.current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((mode(&folder.0.join("one")), mode(&folder.0.join("one/two"))), (0o700, 0o700));
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.0.join("one/two")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let expected = ["tokens.json", "tokens.json.af63dc4c8601ec8c.lock", "tokens.json.damaged-0", "tokens.json.lock"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_existing_folder_keeps_its_mode() {
    let folder = Folder::new();
    set_mode(&folder.0, 0o755);
    put(&folder.open().await, "a", &token("1")).await.unwrap();
    assert_eq!(mode(&folder.0), 0o755);
}

#[tokio::test]
async fn a_file_that_other_users_can_open_is_rejected() {
    for bits in [0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o077] {
        let folder = Folder::with(json!({ "version": 1, "tokens": {}, "x": SECRET }).to_string());
        let store = folder.open().await;
        let before = (folder.text(), folder.names());
        set_mode(&folder.file(), 0o600 | bits);
        let path = folder.file().display().to_string();
        let expected = format!("token file {path}: other users can open it: chmod 600 {path}");
        let error = FileStore::open(folder.file()).await.unwrap_err();
        assert!(error.is_invalid_input());
        assert_eq!(error.to_string(), expected);
        assert_eq!(errors(&store).await, [expected.as_str(); 3]);
        assert_eq!((folder.text(), folder.names(), mode(&folder.file())), (before.0, before.1, 0o600 | bits));
        set_mode(&folder.file(), 0o600);
        put(&store, "a", &token("1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_other_users_can_write_to_is_rejected() {
    for bits in [0o020, 0o002, 0o077, 0o1002, 0o1077] {
        let folder = Folder::new();
        let before = FileStore::open(folder.0.join("before.json")).await.unwrap();
        set_mode(&folder.0, 0o700 | bits);
        let advice = match bits & 0o1000 {
            0 => format!("chmod go-w {}", folder.0.display()),
            _ => "use a folder that only you can write to".to_owned(),
        };
        let expected = |file: &str| {
            let path = folder.0.join(file);
            format!("token file {}: other users can write to its folder: {advice}", path.display())
        };
        assert_eq!(FileStore::open(folder.file()).await.unwrap_err().to_string(), expected("tokens.json"));
        assert_eq!(errors(&before).await, [expected("before.json").as_str(); 3]);
        assert_eq!(folder.names(), ["before.json.lock"]);
        set_mode(&folder.0, 0o700);
        folder.open().await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_regular_is_rejected() {
    for kind in ["link", "dangling", "folder"] {
        let folder = Folder::new();
        let target = folder.0.join("target.json");
        let store = folder.open().await;
        match kind {
            "folder" => fs::create_dir(folder.file()).unwrap(),
            _ => symlink(&target, folder.file()).unwrap(),
        }
        if kind == "link" {
            put(&FileStore::open(&target).await.unwrap(), "a", &token("1")).await.unwrap();
        }
        let reason = match kind {
            "folder" => "it is not a regular file: remove it, or give the path of a regular file",
            _ => "it is a symbolic link: remove it, or give the path that it leads to",
        };
        let expected = format!("token file {}: {reason}", folder.file().display());
        assert_eq!(FileStore::open(folder.file()).await.unwrap_err().to_string(), expected);
        assert_eq!(errors(&store).await, [expected.as_str(); 3]);
        assert_eq!(target.exists(), kind == "link");
    }
}

/// The largest token file.
const LARGEST: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn a_file_that_is_too_large_is_rejected_and_left_alone() {
    let small = r#"{"version":1,"tokens":{}}"#;
    let folder = Folder::with(small);
    let store = folder.open().await;
    // A sparse gibibyte takes no room on the disk.
    for length in [LARGEST as u64 + 1, 1 << 30] {
        File::options().write(true).open(folder.file()).unwrap().set_len(length).unwrap();
        let reason = "it is larger than 16 MiB, so it is not a token file: find out what wrote it, then remove it";
        let expected = format!("token file {}: {reason}", folder.file().display());
        let error = FileStore::open(folder.file()).await.unwrap_err();
        assert!(error.is_invalid_input());
        assert_eq!(error.to_string(), expected);
        assert_eq!(errors(&store).await, [expected.as_str(); 3]);
        assert_eq!(fs::metadata(folder.file()).unwrap().len(), length);
        assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    }
    fs::write(folder.file(), format!("{small}{}", " ".repeat(LARGEST - small.len()))).unwrap();
    assert_eq!(stored(&store, "a").await, None);
    fs::remove_file(folder.file()).unwrap();
    put(&store, "a", &token("1")).await.unwrap();
}

#[tokio::test]
async fn no_file_is_written_that_is_too_large_to_read() {
    let one = token("1");
    let record = one.to_json();
    let filled =
        |more: usize| format!(r#"{{"version":1,"tokens":{{"a":{}}},"more":"{}"}}"#, record.expose(), "x".repeat(more));
    let most = LARGEST - filled(0).len();
    let folder = Folder::with(filled(most));
    let store = folder.open().await;
    put(&store, "a", &token("2")).await.unwrap();
    assert_eq!(folder.text().len(), LARGEST);
    let error = put(&store, "a", &token(SECRET)).await.unwrap_err();
    assert!(error.downcast_ref::<gettone::Error>().unwrap().is_invalid_input());
    let reason = "it would become larger than 16 MiB: find out what fills it, then remove it";
    assert_eq!(error.to_string(), format!("token file {}: {reason}", folder.file().display()));
    assert_eq!(folder.text(), filled(most).replace(r#":"1""#, r#":"2""#));
    assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    // A smaller token is saved.
    store.remove("a").await.unwrap();
    assert_eq!(stored(&store, "a").await, None);
}

#[tokio::test]
async fn an_unusable_path_is_rejected() {
    for path in ["", "/", "..", "a/.."] {
        let error = FileStore::open(path).await.unwrap_err();
        assert_eq!(error.to_string(), format!("token file {path:?}: the path does not name a file; add a file name"));
    }
    let folder = Folder::with("{}");
    let path = folder.file().join("sub/tokens.json");
    let error = FileStore::open(&path).await.unwrap_err();
    let text = error.to_string();
    assert!(error.is_store() && !error.is_invalid_input());
    let begin = format!("the token store failed: token file {}: ", path.display());
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.ends_with("; this user must be able to read, write and lock files in its folder"), "{text}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<std::io::Error>() && text.contains(&source.to_string()), "{text}");

    let store = folder.open().await;
    fs::remove_dir_all(&folder.0).unwrap();
    for error in errors(&store).await {
        assert!(error.contains("; this user must be able to"), "{error}");
    }
}

// Damage.

/// Lists contents that no version of the crate has written.
fn damaged() -> Vec<Vec<u8>> {
    let whole = json!({ "version": 1, "tokens": { "a": { "access_token": SECRET } } }).to_string();
    let mut all: Vec<Vec<u8>> = [
        "",
        "null",
        "[]",
        "{}",
        "7",
        SECRET,
        r#"{"version":1}"#,
        r#"{"tokens":{}}"#,
        r#"{"version":1,"tokens":[]}"#,
        r#"{"version":1,"tokens":null}"#,
        r#"{"version":0,"tokens":{}}"#,
        r#"{"version":-1,"tokens":{}}"#,
        r#"{"version":"1","tokens":{}}"#,
        r#"{"version":1,"tokens":{"a":}}"#,
        r#"{"version":1,"tokens":{}}}"#,
    ]
    .map(Into::into)
    .into();
    all.extend((1..whole.len()).step_by(7).map(|end| whole.as_bytes()[..end].to_vec()));
    all.extend([b"\xff\xfe".to_vec(), b"{\"version\":1,\"tokens\":{\"\xff\":1}}".to_vec(), vec![0; 4096]]);
    all
}

#[tokio::test]
async fn a_damaged_file_is_renamed_and_the_store_goes_on() {
    for (content, operation) in damaged().iter().zip(["open", "load", "save", "remove"].iter().cycle()) {
        let folder = Folder::new();
        let store = folder.open().await;
        // A renamed file exists already.
        fs::write(folder.0.join("tokens.json.damaged-0"), "old").unwrap();
        fs::write(folder.file(), content).unwrap();
        set_mode(&folder.file(), 0o600);
        match *operation {
            "open" => drop(folder.open().await),
            "load" => drop(damage(&store, "a").await),
            "save" => drop(put(&store, "a", &token("a")).await.unwrap()),
            _ => store.remove("a").await.unwrap(),
        }
        assert_eq!(fs::read(folder.0.join("tokens.json.damaged-1")).unwrap(), *content);
        assert_eq!(fs::read(folder.0.join("tokens.json.damaged-0")).unwrap(), b"old");
        assert_eq!(folder.file().exists(), *operation == "save");
        // The damaged file may have had a record of any name.
        let error = damage(&store, "b").await;
        assert!(error.contains("damaged, so it was renamed to") && error.contains(".damaged-1"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
        let lost = store.load("b").await.unwrap().unwrap();
        assert!(matches!(store.replace("b", None, &token("b")).await.unwrap(), Replaced::Conflict));
        assert!(matches!(store.replace("b", Some(lost.version()), &token("b")).await.unwrap(), Replaced::Done(_)));
        assert_eq!(loaded(&store, "b").await.unwrap(), "b");
        assert!(!folder.has("damaged-2"));
        // Somebody has looked at the damaged files, and removed them.
        for number in [0, 1] {
            fs::remove_file(folder.0.join(format!("tokens.json.damaged-{number}"))).unwrap();
        }
        assert_eq!(loaded(&store, "a").await.is_some(), *operation == "save");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn only_one_store_renames_a_damaged_file() {
    for _ in 0..10 {
        let folder = Folder::new();
        let mut stores = Vec::new();
        for _ in 0..8 {
            stores.push(folder.open().await);
        }
        fs::write(folder.file(), "damaged").unwrap();
        set_mode(&folder.file(), 0o600);
        let mut tasks = JoinSet::new();
        for (number, store) in stores.into_iter().enumerate() {
            tasks.spawn(async move {
                let name = number.to_string();
                if number % 2 == 0 {
                    put(&store, &name, &token(&name)).await.unwrap();
                } else {
                    let error = damage(&store, &name).await;
                    assert!(error.contains("damaged-0"), "{error}");
                }
            });
        }
        tasks.join_all().await;
        let store = folder.open().await;
        for name in ["0", "2", "4", "6"] {
            assert_eq!(loaded(&store, name).await.as_deref(), Some(name));
        }
        assert_eq!(fs::read(folder.0.join("tokens.json.damaged-0")).unwrap(), b"damaged");
        assert!(!folder.has("damaged-1"));
    }
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    for text in [
        json!({ "version": 2, "tokens": { "a": SECRET } }).to_string(),
        json!({ "version": 4_000_000_000_u64, "encrypted": SECRET }).to_string(),
    ] {
        let folder = Folder::new();
        let store = folder.open().await;
        fs::write(folder.file(), &text).unwrap();
        set_mode(&folder.file(), 0o600);
        let error = FileStore::open(folder.file()).await.unwrap_err().to_string();
        assert!(error.contains("a later version of this crate wrote it"), "{error}");
        assert_eq!(errors(&store).await, [error.as_str(); 3]);
        assert_eq!(folder.text(), text);
        assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn damage_is_reported_without_a_secret() {
    use common::capture::capture;
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::fmt::format::FmtSpan;

    let (written, subscriber) = capture(LevelFilter::TRACE, FmtSpan::NONE);
    // For the whole process, since other threads work on files. Events of other tests name other files.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let folder = Folder::with(format!(r#"{{"version":1,"tokens":{{"a":{{"access_token":"{SECRET}"#));
    let store = folder.open().await;
    let error = damage(&store, "name").await;
    assert!(error.contains("damaged, so it was renamed to") && !error.contains(SECRET), "{error}");
    let record = json!({ "version": 1, "tokens": { "name": { "version": 1, "access_token": SECRET } } });
    fs::write(folder.file(), record.to_string()).unwrap();
    set_mode(&folder.file(), 0o600);
    let record = store.load("name").await.unwrap().unwrap();
    let error = record.token().unwrap_err().to_string();
    assert!(error.contains("cannot read the record of name") && !error.contains(SECRET), "{error}");
    let path = folder.file().display().to_string();
    let text = written.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(&path)).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines.iter().all(|line| line.contains("WARN")), "{text}");
    assert!(lines[0].contains(&format!("renamed path={path} to={path}.damaged-0")), "{text}");
    assert!(lines[1].contains("name=\"name\"") && lines[1].contains("a field is missing"), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

// Writers.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_lose_nothing() {
    let folder = Folder::new();
    let stores = [folder.open().await, folder.open().await];
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let store = stores[number % 2].clone();
        tasks.spawn(async move {
            let name = number.to_string();
            for count in 0..10 {
                let text = format!("{name}-{count}");
                put(&store, &name, &token(&text)).await.unwrap();
                // No other task writes under this name.
                assert_eq!(loaded(&store, &name).await, Some(text));
            }
        });
    }
    tasks.join_all().await;
    for number in 0..10 {
        assert_eq!(loaded(&stores[0], &number.to_string()).await, Some(format!("{number}-9")));
    }
    assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
}

#[tokio::test]
async fn a_writer_waits_for_another_and_a_reader_does_not() {
    let folder = Folder::new();
    let store = folder.open().await;
    put(&store, "a", &token("1")).await.unwrap();
    let other = File::open(folder.0.join("tokens.json.lock")).unwrap();
    other.lock().unwrap();
    let read = timeout(AT_LAST, loaded(&store, "a")).await;
    let writer = store.clone();
    let mut writing = tokio::spawn(async move { put(&writer, "a", &token("2")).await });
    // Long enough to notice a wait that must not happen; nothing is measured.
    let early = timeout(Duration::from_millis(50), &mut writing).await;
    other.unlock().unwrap();
    assert_eq!(read.unwrap().unwrap(), "1");
    assert!(early.is_err());
    writing.await.unwrap().unwrap();
    assert_eq!(loaded(&store, "a").await.unwrap(), "2");
}

#[tokio::test]
async fn the_file_of_a_killed_writer_is_removed() {
    let folder = Folder::new();
    let store = folder.open().await;
    put(&store, "a", &token("1")).await.unwrap();
    let before = folder.text();
    // The limit kills the process at the first byte that it writes to a file.
    let status = command("umask 0; ulimit -c 0; ulimit -f 0;", "once", &folder.file()).output().unwrap().status;
    assert_eq!(status.signal(), Some(25), "SIGXFSZ: {status}");
    assert_eq!(folder.text(), before);
    let left: Vec<_> = folder.names().into_iter().filter(|name| name.ends_with(".tmp")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(mode(&folder.0.join(&left[0])), 0o600);

    // Files of other processes stay, and one that cannot be removed does no harm.
    let others = [
        ".tmp",
        "other.json.1.tmp",
        "tokens.json..tmp",
        "tokens.json.-1.tmp",
        "tokens.json.1.tmp.old",
        "tokens.json.1x.tmp",
        "tokens.json.tmp",
        "tokens.json1.tmp",
        "xtokens.json.1.tmp",
    ];
    for name in others {
        fs::write(folder.0.join(name), "").unwrap();
    }
    fs::create_dir(folder.0.join(format!("tokens.json.{}.tmp", std::process::id()))).unwrap();
    put(&store, "b", &token("2")).await.unwrap();
    assert!(!folder.names().contains(&left[0]));
    assert!(others.iter().all(|name| folder.0.join(name).exists()), "{:?}", folder.names());
    assert_eq!((loaded(&store, "a").await, loaded(&store, "b").await), (Some("1".into()), Some("2".into())));
}

#[tokio::test]
async fn a_write_that_fails_changes_nothing_and_leaves_nothing() {
    let folder = Folder::new();
    let store = folder.open().await;
    put(&store, "a", &token("1")).await.unwrap();
    let before = (folder.text(), folder.names());
    // As on a full disk.
    let output = command("trap '' XFSZ; ulimit -f 0;", "fails", &folder.file()).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    assert_eq!((folder.text(), folder.names()), before);
}

#[tokio::test]
async fn the_last_token_can_be_removed_on_a_full_disk() {
    let folder = Folder::new();
    let store = folder.open().await;
    put(&store, "a", &token("1")).await.unwrap();
    let output = command("trap '' XFSZ; ulimit -f 0;", "removes", &folder.file()).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    assert_eq!(folder.names(), ["tokens.json.lock"]);
    assert_eq!(stored(&store, "a").await, None);
}

// Locks.

#[tokio::test(start_paused = true)]
async fn a_lock_excludes_others_of_the_same_name() {
    let folder = Folder::new();
    let store = folder.open().await;
    let others = [store.clone(), folder.open().await];
    let held = hold(&store, "a").await.unwrap();
    for other in &others {
        assert!(timeout(LONG, hold(other, "a")).await.is_err());
        // Another name is free, and so are the tokens.
        let _other = timeout(LONG, hold(other, "b")).await.unwrap().unwrap();
        put(other, "a", &token("1")).await.unwrap();
    }
    drop(held);
    for other in &others {
        drop(timeout(LONG, hold(other, "a")).await.unwrap().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_caller_gets_the_lock_when_it_is_free() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    let held = hold(&store, "a").await.unwrap();
    let mut waiting = tokio::spawn(async move { hold(&other, "a").await });
    assert!(timeout(LONG, &mut waiting).await.is_err());
    drop(held);
    let held = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    assert!(timeout(LONG, hold(&store, "a")).await.is_err());
    drop(held);
    drop(timeout(LONG, hold(&store, "a")).await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_lock_that_is_never_free_ends() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    let _held = hold(&store, "a").await.unwrap();
    let start = Instant::now();
    let locked = timeout(10 * LONG, other.lock("a", None)).await.unwrap().unwrap();
    assert!((170..172).contains(&start.elapsed().as_secs()));
    assert!(matches!(locked, Locked::Busy), "{locked:?}");
    // However long the tries take: here, most of the time.
    let start = Instant::now();
    let mut waiting = tokio::spawn(async move { other.lock("a", None).await });
    assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
    for _ in 0..17 {
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let locked = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    assert!(matches!(locked, Locked::Busy), "{locked:?}");
    assert!((170..172).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[test]
fn a_waiting_caller_need_not_wait_once_another_process_has_changed_the_record() {
    for (part, before) in [("create, holding", None), ("replace, holding", Some("1")), ("remove, holding", Some("1"))] {
        let folder = Folder::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut child = runtime.block_on(async {
            let (store, mut seen) = (folder.open().await, None);
            if let Some(text) = before {
                seen = Some(put(&store, "a", &token(text)).await.unwrap());
            }
            let mut child = Process::start(part, &folder.file());
            child.said("locked");
            let mut waiting = Box::pin(store.lock("a", seen.as_ref()));
            // Long enough to notice a wait that must not end; nothing is measured. The write of another name changes nothing.
            put(&store, "b", &token("b")).await.unwrap();
            assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "{part}");
            child.go_on();
            let locked = timeout(AT_LAST, waiting).await.unwrap().unwrap();
            assert!(matches!(locked, Locked::Changed), "{part}: {locked:?}");
            // The other process still has the lock.
            let current = store.load("a").await.unwrap().map(|record| record.version().clone());
            assert!(timeout(Duration::from_millis(300), store.lock("a", current.as_ref())).await.is_err(), "{part}");
            child
        });
        child.kill();
    }
}

#[test]
fn a_runtime_can_shut_down_during_the_wait_for_a_lock() {
    let folder = Folder::new();
    let (done, ended) = mpsc::channel();
    let file = folder.file();
    std::thread::spawn(move || {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (one, other) = (runtime(), runtime());
        let store = one.block_on(FileStore::open(file)).unwrap();
        let held = one.block_on(hold(&store, "a")).unwrap();
        let waiting = other.block_on(async { timeout(LONG, hold(&store, "a")).await });
        assert!(waiting.is_err());
        drop(other);
        drop(held);
        // A caller that stopped waiting does not have the lock.
        drop(one.block_on(hold(&store, "a")).unwrap());
        done.send(()).unwrap();
    });
    ended.recv_timeout(AT_LAST).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lock_is_free_even_while_a_process_is_being_started() {
    let folder = Folder::new();
    let (store, other) = (folder.open().await, folder.open().await);
    // A process that is being started inherits all open files.
    let starting =
        std::thread::spawn(|| (0..50).for_each(|_| assert!(Command::new("true").status().unwrap().success())));
    while !starting.is_finished() {
        drop(hold(&store, "a").await.unwrap());
        drop(timeout(Duration::from_millis(1), hold(&other, "a")).await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn the_lock_of_a_name_has_the_same_file_in_every_build() {
    let folder = Folder::new();
    let store = folder.open().await;
    // The test vectors of FNV-1a.
    for (name, hash) in [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")] {
        drop(hold(&store, name).await.unwrap());
        assert!(folder.names().contains(&format!("tokens.json.{hash}.lock")), "{name}: {:?}", folder.names());
    }
}

#[tokio::test(start_paused = true)]
async fn the_lock_of_a_killed_process_is_free() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut child = Process::start("hold", &folder.file());
    child.said("locked");
    assert!(timeout(LONG, hold(&store, "a")).await.is_err());
    child.kill();
    drop(timeout(LONG, hold(&store, "a")).await.unwrap().unwrap());
}

// Other processes.

#[test]
fn a_writer_that_is_killed_at_any_moment_spoils_nothing() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut halfway = 0;
    for round in 0..2_000 {
        // Some processes must be killed while they write; a fast machine may need more of them.
        if round >= 200 && halfway > 0 {
            break;
        }
        let mut child = Process::start("count", &folder.file());
        let mut said: u64 = child.said("saved ").parse().unwrap();
        let random = RandomState::new().build_hasher().finish();
        // Not to wait for anything, but to hit any moment.
        #[allow(clippy::disallowed_methods)]
        std::thread::sleep(Duration::from_micros(random % 10_000));
        for line in child.kill() {
            said = line.strip_prefix("saved ").map_or(said, |count| count.parse().unwrap());
        }
        for name in folder.names() {
            assert_eq!(mode(&folder.0.join(&name)), 0o600, "{name}");
            halfway += usize::from(name.ends_with(".tmp"));
        }
        let (last, other) = runtime.block_on(async {
            let store = folder.open().await;
            counts(&store).await
        });
        // The last save may have succeeded without being reported.
        assert!(last == said || last == said + 1, "round {round}: {last} is saved, {said} was the last that was said");
        assert!(other == last - 1, "round {round}: {other} and {last}");
        assert!(!folder.has("damaged"), "round {round}");
    }
    assert!(halfway > 0, "no process was killed while it wrote");
}

#[test]
fn two_processes_that_write_at_the_same_time_lose_nothing() {
    let folder = Folder::new();
    let children = ["a", "b"].map(|name| Process::start(name, &folder.file()));
    for mut child in children {
        let (status, said) = child.end();
        assert!(status.success(), "{said:#?}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = folder.open().await;
        for name in ["a", "b"] {
            assert_eq!(loaded(&store, name).await, Some(ROUNDS.to_string()));
        }
    });
    assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
}

const ROUNDS: u32 = 150;
const PART: &str = "GETTONE_TEST_PART";
const FILE: &str = "GETTONE_TEST_FILE";

/// Returns the counters that were saved last, the higher one first.
async fn counts(store: &FileStore) -> (u64, u64) {
    let mut counts = [0; 2];
    for (name, count) in ["even", "odd"].into_iter().zip(&mut counts) {
        if let Some(text) = loaded(store, name).await {
            let (number, filling) = text.split_once('-').unwrap();
            assert_eq!(filling.len(), FILLING);
            *count = number.parse().unwrap();
        }
    }
    (counts[0].max(counts[1]), counts[0].min(counts[1]))
}

const FILLING: usize = 1_000;

/// Not a test: other tests run its parts in other processes.
#[tokio::test]
#[ignore = "other tests run it"]
async fn a_part_of_another_test() {
    let (part, file) = (std::env::var(PART).unwrap(), std::env::var_os(FILE).unwrap());
    let open = || async { FileStore::open(&file).await.unwrap() };
    match part.as_str() {
        "once" => {
            let path = std::path::absolute(&file).unwrap();
            let store = open().await;
            std::env::set_current_dir("/").unwrap();
            put(&store, "a", &token("1")).await.unwrap();
            fs::write(path, "damaged").unwrap();
            put(&store, "a", &token("a")).await.unwrap();
            drop(store.lock("a", None).await.unwrap());
        }
        "fails" => {
            let error = put(&open().await, "a", &token(SECRET)).await.unwrap_err().to_string();
            assert!(error.contains("File too large") && error.contains("free some space"), "{error}");
            assert!(!error.contains(SECRET), "{error}");
        }
        "removes" => open().await.remove("a").await.unwrap(),
        "replace" => {
            let store = open().await;
            println!();
            for round in 0.. {
                let seen = store.load("a").await.unwrap().map(|record| record.version().clone());
                println!("seen");
                wait();
                let text = format!("{round}-{}", std::process::id());
                match store.replace("a", seen.as_ref(), &token(&text)).await.unwrap() {
                    Replaced::Done(_) => println!("replaced {text}"),
                    _ => println!("replaced nothing"),
                }
            }
        }
        "create, holding" | "replace, holding" | "remove, holding" => {
            let store = open().await;
            let _lock = hold(&store, "a").await.unwrap();
            println!("\nlocked");
            wait();
            match part.as_str() {
                "remove, holding" => store.remove("a").await.unwrap(),
                _ => drop(put(&store, "a", &token("2")).await.unwrap()),
            }
            wait();
        }
        "hold" => {
            let _lock = hold(&open().await, "a").await.unwrap();
            println!("\nlocked");
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        // Ends when the reader of its output ends.
        "count" => {
            let store = open().await;
            let mut count = counts(&store).await.0;
            println!();
            loop {
                count += 1;
                let name = if count % 2 == 0 { "even" } else { "odd" };
                put(&store, name, &token(&format!("{count}-{}", "x".repeat(FILLING)))).await.unwrap();
                println!("saved {count}");
            }
        }
        name => {
            let store = open().await;
            for count in 1..=ROUNDS {
                put(&store, name, &token(&count.to_string())).await.unwrap();
                // No other task writes under this name.
                assert_eq!(loaded(&store, name).await, Some(count.to_string()));
            }
        }
    }
}

/// Waits for [`Process::go_on`], or ends with the process that started this one.
fn wait() {
    if std::io::stdin().read_line(&mut String::new()).unwrap() == 0 {
        std::process::exit(0);
    }
}

/// Returns a command that runs one part in another process. `setup` is for the shell that starts it.
fn command(setup: &str, part: &str, file: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{setup} exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "a_part_of_another_test", "--ignored", "--nocapture"]).env(PART, part).env(FILE, file);
    command
}

/// Another process, which is killed when this is dropped.
struct Process {
    child: Child,
    /// Closed when this is dropped.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(part: &str, file: &Path) -> Self {
        let mut command = command("", part, file);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Waits for a line that begins like this, and returns the rest of it.
    fn said(&mut self, start: &str) -> String {
        let mut lines = self.output.by_ref().lines().map(Result::unwrap);
        lines.find_map(|line| line.strip_prefix(start).map(str::to_owned)).expect("such a line")
    }

    /// Lets it go on after a [`wait`].
    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// Kills it, and returns its output.
    fn kill(&mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.end().1
    }

    fn end(&mut self) -> (ExitStatus, Vec<String>) {
        let said = self.output.by_ref().lines().map(Result::unwrap).collect();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let mut opening = std::pin::pin!(FileStore::open("tokens.json"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = opening.as_mut().poll(&mut context) else { panic!("an error at once") };
    assert!(error.is_invalid_input() && error.to_string().contains("no tokio runtime"), "{error}");
}

#[test]
fn without_timers_a_lock_is_an_error_and_no_panic() {
    let (folder, runtime) = (Folder::new(), tokio::runtime::Builder::new_current_thread().build().unwrap());
    runtime.block_on(async {
        let store = folder.open().await;
        let _held = store.lock("a", None).await;
        let error = store.lock("a", None).await.unwrap_err();
        assert!(error.to_string().contains("no timers"), "{error}");
    });
}

#[tokio::test]
async fn a_file_or_folder_of_another_user_is_rejected() {
    let refused = async |path: PathBuf, reason: &str| {
        let error = FileStore::open(&path).await.unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{error}");
    };
    for (of_the_folder, reason) in [(true, "its folder belongs to another user"), (false, "it belongs to another user")]
    {
        let folder = Folder::new();
        put(&folder.open().await, "a", &token("1")).await.unwrap();
        let path = if of_the_folder { folder.0.clone() } else { folder.file() };
        // Root can give a file away; for other users the system's files belong to another user.
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        let systems = Path::new("/etc/passwd");
        if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
            refused(folder.file(), reason).await;
        } else if !of_the_folder && owner(systems) != owner(&path) {
            refused(systems.to_owned(), reason).await;
        }
    }
}

#[tokio::test]
async fn a_lock_that_another_process_never_releases_blocks_no_caller_forever() {
    let folder = Folder::new();
    let store = folder.open().await;
    put(&store, "a", &token("1")).await.unwrap();
    let mut path = folder.file().into_os_string();
    path.push(".lock");
    let held = File::open(path).unwrap();
    held.lock().unwrap();
    let error = put(&store, "a", &token("2")).await.unwrap_err();
    assert!(error.to_string().contains("another process has held the lock for too long"), "{error}");
    held.unlock().unwrap();
    put(&store, "a", &token("2")).await.unwrap();
}
