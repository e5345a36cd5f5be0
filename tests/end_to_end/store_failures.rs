//! A store that fails costs no caller a token, and the client reports it, also without `tracing`.

use std::fs;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gettone::emulator::Emulator;
use gettone::openapi::v1::Oauth;
use gettone::store::FileStore;
use gettone::{Builder, Error, ScopeSet};

use crate::common::store::FakeStore;
use crate::world::{fatture, oauth};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn builder(emulator: &Emulator) -> Builder<Oauth> {
    oauth(emulator).clock(emulator.clock())
}

fn scopes() -> ScopeSet {
    ScopeSet::parse(["GET:127.0.0.1/echo"]).unwrap()
}

/// What a client reports.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Error>>>);

impl Heard {
    fn by(&self) -> impl Fn(&Error) + Send + Sync + 'static {
        let heard = Arc::clone(&self.0);
        move |error| heard.lock().unwrap().push(error.clone())
    }

    fn texts(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        assert!(heard.iter().all(Error::is_store), "{heard:?}");
        heard.iter().map(ToString::to_string).collect()
    }
}

/// Fails in these calls.
fn failing(calls: &'static [&'static str]) -> FakeStore {
    let fails = move |call: &str| if calls.contains(&call) { Err(format!("cannot {call}").into()) } else { Ok(()) };
    FakeStore::new(move |call, _| ready(fails(call))).hurried(4)
}

#[tokio::test]
async fn each_failure_of_a_store_is_reported_and_the_token_is_returned() {
    for (calls, expected) in [
        // What is there is loaded again once the client has the lock, and before it saves.
        (&["load"][..], &["load", "load", "load"][..]),
        (&["lock"], &["lock"]),
        // The client tries several times to save a token, and reports that once.
        (&["save"], &["save"]),
        (&["load", "lock"], &["load", "lock", "load"]),
        (&["load", "lock", "save", "remove"], &["load", "lock", "load"]),
        (&["remove"], &[]),
    ] {
        let emulator = Emulator::start().await.unwrap();
        let heard = Heard::default();
        let oauth = builder(&emulator).store(failing(calls)).on_store_failure(heard.by()).build().unwrap();
        let token = oauth.token(&scopes()).await.unwrap();
        oauth.wait_idle().await;
        let texts = heard.texts();
        let heard: Vec<_> = texts.iter().map(|text| text.rsplit(' ').next().unwrap()).collect();
        assert_eq!(heard, expected, "{calls:?}");
        assert!(texts.iter().all(|text| text.starts_with("the token store failed: cannot ")), "{texts:?}");
        assert_eq!(oauth.token(&scopes()).await.unwrap(), token);
        assert_eq!(emulator.count("create_token"), 1);
    }
}

#[tokio::test]
async fn each_failure_during_a_refresh_is_reported_and_the_token_is_returned() {
    for (calls, expected, passwords) in [
        (&["load"][..], &["load", "load", "load"][..], 2),
        (&["lock"], &["lock"], 1),
        (&["claim"], &["claim"; 3], 2),
        (&["save"], &["save"], 1),
    ] {
        let emulator = Emulator::start().await.unwrap();
        let (heard, working) = (Heard::default(), Arc::new(AtomicBool::new(true)));
        let store = {
            let working = Arc::clone(&working);
            let fails = move |call: &str| match calls.contains(&call) && !working.load(Ordering::Relaxed) {
                true => Err(format!("cannot {call}").into()),
                false => Ok(()),
            };
            FakeStore::new(move |call, _| ready(fails(call))).hurried(4)
        };
        let builder = fatture(&emulator).clock(emulator.clock()).store(store).on_store_failure(heard.by());
        let fatture = builder.build().unwrap();
        fatture.token().await.unwrap();
        fatture.wait_idle().await;
        working.store(false, Ordering::Relaxed);
        emulator.advance(HOUR);
        let token = fatture.token().await.unwrap();
        fatture.wait_idle().await;
        let texts = heard.texts();
        let heard: Vec<_> = texts.iter().map(|text| text.rsplit(' ').next().unwrap()).collect();
        assert_eq!(heard, expected, "{calls:?}");
        assert_eq!(fatture.token().await.unwrap(), token);
        let sent = [emulator.count("password_grant"), emulator.count("refresh")];
        assert_eq!(sent, [passwords, 2 - passwords], "{calls:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_and_a_damaged_record_are_reported() {
    let emulator = Emulator::start().await.unwrap();
    let folder = std::env::temp_dir().join(format!("gettone-store-failures-{}", std::process::id()));
    let path = folder.join("tokens.json");
    let start = async || {
        let heard = Heard::default();
        let store = FileStore::open(&path).await.unwrap();
        let oauth = builder(&emulator).store(store).on_store_failure(heard.by()).build().unwrap();
        let token = oauth.token(&scopes()).await.unwrap();
        oauth.wait_idle().await;
        (token, heard.texts())
    };
    let (first, heard) = start().await;
    assert_eq!(heard, Vec::<String>::new(), "all is well");
    // Half of the file is missing.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let (second, heard) = start().await;
    assert_ne!(second, first);
    // Until there is a record again.
    let tells =
        |text: &String| text.contains("damaged, so it was renamed to") && text.contains("tokens.json.damaged-0");
    assert!(!heard.is_empty() && heard.iter().all(tells), "{heard:?}");
    // One record is damaged.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"expires_at\"", "\"expires\"")).unwrap();
    let (third, heard) = start().await;
    assert_ne!(third, second);
    assert!(!heard.is_empty() && heard.iter().all(|text| text.contains("cannot read the record")), "{heard:?}");
    let shown = heard.concat();
    assert!(![&first, &second, &third].iter().any(|token| shown.contains(token.expose())), "{shown}");
    // The next client finds no damage.
    let (fourth, heard) = start().await;
    assert_eq!((fourth, heard), (third, vec![]));
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_callback_that_panics_costs_no_caller_a_token() {
    let emulator = Emulator::start().await.unwrap();
    let panics = |_: &Error| panic!("of the program's own");
    let oauth = builder(&emulator).store(FakeStore::failing().hurried(4)).on_store_failure(panics).build().unwrap();
    let token = oauth.token(&scopes()).await.unwrap();
    oauth.wait_idle().await;
    assert_eq!(oauth.token(&scopes()).await.unwrap(), token);
    assert_eq!(emulator.count("create_token"), 1);
}

/// In every arrangement of the records of three names, one of them of the other vendor, each client has its own token or requests one.
#[tokio::test]
async fn a_record_under_another_name_is_ignored_and_reported() {
    let emulator = Emulator::start().await.unwrap();
    let folder = std::env::temp_dir().join(format!("gettone-exchanged-{}", std::process::id()));
    let path = folder.join("tokens.json");
    let open = async |heard: &Heard| {
        let store = FileStore::open(&path).await.unwrap();
        let fatture = fatture(&emulator).clock(emulator.clock());
        let fatture = fatture.store(store.clone()).on_store_failure(heard.by()).build().unwrap();
        (fatture, builder(&emulator).store(store).on_store_failure(heard.by()).build().unwrap())
    };
    let other = ScopeSet::parse(["POST:127.0.0.1/echo"]).unwrap();
    for (arrangement, [a, b, c]) in
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].into_iter().enumerate()
    {
        for named in [true, false] {
            let _ = fs::remove_dir_all(&folder);
            let (fatture, oauth) = open(&Heard::default()).await;
            let kept = [
                fatture.token().await.unwrap(),
                oauth.token(&scopes()).await.unwrap(),
                oauth.token(&other).await.unwrap(),
            ];
            fatture.wait_idle().await;
            oauth.wait_idle().await;
            let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let tokens = file["tokens"].as_object_mut().unwrap();
            let mut records: Vec<_> = tokens.values().cloned().collect();
            // A record that no client saved has no name.
            records
                .iter_mut()
                .filter(|_| !named)
                .for_each(|record| drop(record.as_object_mut().unwrap().remove("name")));
            for (record, place) in tokens.values_mut().zip([a, b, c]) {
                *record = records[place].clone();
            }
            fs::write(&path, file.to_string()).unwrap();

            let heard = Heard::default();
            let (fatture, oauth) = open(&heard).await;
            let got = [
                fatture.token().await.unwrap(),
                oauth.token(&scopes()).await.unwrap(),
                oauth.token(&other).await.unwrap(),
            ];
            for (place, token) in got.iter().enumerate() {
                let others = kept.iter().enumerate().filter(|(other, _)| *other != place);
                assert!(others.into_iter().all(|(_, kept)| kept != token), "arrangement {arrangement}, name {place}");
            }
            let moved = [a, b, c].iter().enumerate().filter(|(place, from)| place != *from).count();
            assert_eq!(
                got.iter().zip(&kept).filter(|(got, kept)| got != kept).count(),
                moved,
                "arrangement {arrangement}"
            );
            fatture.wait_idle().await;
            oauth.wait_idle().await;
            let heard = heard.texts();
            assert_eq!(heard.is_empty(), moved == 0, "{heard:?}");
            let why = if named { "was saved under another name" } else { "has a token for something else" };
            assert!(heard.iter().all(|text| text.contains(why)), "{heard:?}");
        }
    }
    fs::remove_dir_all(&folder).unwrap();
}
