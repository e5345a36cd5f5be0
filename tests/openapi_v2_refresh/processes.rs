//! Stores, restarts, and several processes with one pair.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use gettone::clock::{Clock, ManualClock};
use gettone::openapi::v2::{RefreshClient, RefreshCredentials};
use gettone::store::{FileStore, MemoryStore, Record, Replaced, StoreError, StoredToken, TokenStore, Version};
use gettone::{AccessToken, Builder, Retry};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::account_v2::{FakeAccount, Fault};
use crate::common::store::FakeStore;
use crate::common::until;
use crate::{DAY, IN_WINDOW, assert_lost, pair, sent, start, token};

fn process(service: &FakeAccount, credentials: &RefreshCredentials, store: impl TokenStore) -> RefreshClient {
    builder(service, credentials, store).build().unwrap()
}

fn builder(service: &FakeAccount, credentials: &RefreshCredentials, store: impl TokenStore) -> Builder<RefreshClient> {
    service.worker(credentials.clone()).retry(Retry::none()).store(store)
}

#[tokio::test]
async fn a_restarted_program_continues_with_the_stored_pair() {
    for told in [false, true] {
        let service = start().await;
        let folder = std::env::temp_dir().join(format!("gettone-refresh-{told}-{}", std::process::id()));
        let credentials = pair(&service, told);
        let mut expected = usize::from(!told);
        for _ in 0..4 {
            let store = FileStore::open(folder.join("tokens.json")).await.unwrap();
            let worker = process(&service, &credentials, store);
            assert_eq!(token(&worker).await, format!("t{expected}"));
            service.seconds(IN_WINDOW);
            expected += 1;
            assert_eq!(token(&worker).await, format!("t{expected}"));
        }
        let all: Vec<_> = (0..expected).map(|number| format!("r{number}")).collect();
        assert_eq!(sent(&service), all);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn without_a_store_a_restarted_program_fails_clearly() {
    let service = start().await;
    let credentials = pair(&service, false);
    let worker = || service.worker(credentials.clone()).build().unwrap();
    assert_eq!(token(&worker()).await, "t1");
    let restarted = worker();
    let error = restarted.token().await.unwrap_err();
    assert!(error.is_not_found() && error.code() == Some("160"), "{error}");
    service.hours(1);
    assert_lost(&restarted.token().await.unwrap_err());
    assert_eq!(sent(&service), ["r0", "r0"]);
}

/// A store whose records expire, as those of other programs, or as a clock that is ahead says.
#[tokio::test]
async fn a_spent_pair_is_remembered_when_its_record_is_of_no_other_use() {
    for ahead in [1, 2 * 365] {
        let service = start().await;
        service.state().omits.push("refreshToken");
        let folder = std::env::temp_dir().join(format!("gettone-refresh-spent-{ahead}-{}", std::process::id()));
        let store = FileStore::open(folder.join("tokens.json")).await.unwrap();
        let credentials = pair(&service, false);
        let worker = process(&service, &credentials, store.clone());
        assert_eq!(token(&worker).await, "t1");
        worker.wait_idle().await;
        drop(worker);
        // Another program saves a token, and the store drops what was of no use by then.
        service.hours(25);
        let now = service.clock.now() + Duration::from_secs(ahead * DAY);
        let now = now.duration_since(UNIX_EPOCH).unwrap().as_millis();
        let other = format!(r#"{{"version":1,"access_token":"another","obtained_at":{now},"expires_at":{now}}}"#);
        let other = StoredToken::from_json(&other).unwrap();
        assert!(matches!(store.replace("another", None, &other).await.unwrap(), Replaced::Done(_)));
        assert_lost(&process(&service, &credentials, store).token().await.unwrap_err());
        assert_eq!(sent(&service), ["r0"]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn after_a_damaged_file_the_first_pair_is_not_used_again() {
    for told in [false, true] {
        let service = start().await;
        let folder = std::env::temp_dir().join(format!("gettone-refresh-damaged-{told}-{}", std::process::id()));
        let (path, renamed) = (folder.join("tokens.json"), folder.join("tokens.json.damaged-0"));
        let credentials = pair(&service, told);
        let worker = process(&service, &credentials, FileStore::open(&path).await.unwrap());
        token(&worker).await;
        service.seconds(IN_WINDOW);
        token(&worker).await;
        worker.wait_idle().await;
        drop(worker);
        let before = sent(&service);
        for content in ["", "{\"version\":1,\"tok"] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            for _ in 0..2 {
                let worker = process(&service, &credentials, FileStore::open(&path).await.unwrap());
                for _ in 0..2 {
                    let error = worker.token().await.unwrap_err();
                    assert!(error.is_store() && error.to_string().contains("damaged-"), "{error}");
                    service.hours(1);
                }
            }
            assert!(renamed.exists());
        }
        assert_eq!(sent(&service), before);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn the_new_pair_is_saved_before_a_caller_gets_it() {
    let service = start().await;
    let gate = Arc::new(Semaphore::new(0));
    let saved = Arc::new(Mutex::new(Vec::new()));
    let (permits, all) = (Arc::clone(&gate), Arc::clone(&saved));
    let store = FakeStore::new(move |call, token| {
        let (permits, all) = (Arc::clone(&permits), Arc::clone(&all));
        let token = token.map(|token| token.to_json().expose().to_owned());
        async move {
            if call == "save" {
                permits.acquire().await?.forget();
                all.lock().unwrap().extend(token);
            }
            Ok(())
        }
    });
    let worker = process(&service, &pair(&service, false), store);
    let mut waiting = Box::pin(worker.token());
    for _ in 0..1_000 {
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the pair is not saved yet"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(sent(&service), ["r0"]);
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().expose(), "t1");
    let text = saved.lock().unwrap().pop().unwrap();
    assert!(text.contains(r#""access_token":"t1""#) && text.contains(r#""refresh_token":"r1""#), "{text}");
}

/// The tasks of several processes, at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_one_store_refresh_one_after_the_other() {
    for told in [false, true] {
        let service = start().await;
        let (credentials, store) = (pair(&service, told), MemoryStore::new());
        let processes: Vec<_> = (0..4).map(|_| process(&service, &credentials, store.clone())).collect();
        for round in 0..10 {
            let calls: JoinSet<String> = (0..40)
                .map(|number| {
                    let worker = processes[number % 4].clone();
                    async move { worker.token().await.unwrap().expose().to_owned() }
                })
                .collect();
            let current = format!("t{}", round + usize::from(!told));
            assert!(calls.join_all().await.iter().all(|token| *token == current), "{round} {told}");
            for process in &processes {
                assert_eq!(token(process).await, current);
            }
            service.seconds(IN_WINDOW);
        }
        let all: Vec<_> = (0..9 + usize::from(!told)).map(|number| format!("r{number}")).collect();
        assert_eq!((sent(&service), service.refreshed_together()), (all, 1), "{told}");
    }
}

/// A process whose refresh token was certainly not used gives it back: another process sends it, and both have its pair from then on.
#[tokio::test]
async fn a_failure_does_not_keep_the_pair_from_another_process() {
    for fault in [Fault::Throttled(90), Fault::Code(422, 110), Fault::Status(403), Fault::Status(404)] {
        for told in [false, true] {
            let service = start().await;
            let (credentials, store) = (pair(&service, told), MemoryStore::new());
            let processes =
                [process(&service, &credentials, store.clone()), process(&service, &credentials, store.clone())];
            for process in &processes {
                token(process).await;
            }
            service.seconds(IN_WINDOW);
            service.fail("PATCH", [fault]);
            let before = token(&processes[0]).await;
            let after = token(&processes[1]).await;
            assert_ne!(before, after, "{fault:?}");
            service.hours(1);
            assert_eq!(token(&processes[0]).await, after, "{fault:?} {told}");
            assert_eq!(token(&process(&service, &credentials, store)).await, after);
            service.seconds(IN_WINDOW - 3_600);
            assert_ne!(token(&processes[0]).await, after);
            assert_eq!(service.living().len(), 1);
        }
    }
}

/// A refresh token that may have been used, or that was rejected, is sent by no other process either, nor after a restart.
#[tokio::test]
async fn a_refresh_token_that_may_be_used_up_is_sent_by_no_other_process() {
    for fault in
        [Fault::LostResponse, Fault::LostRequest, Fault::Status(500), Fault::Code(401, 130), Fault::Code(404, 160)]
    {
        for told in [false, true] {
            let service = start().await;
            let (credentials, store) = (pair(&service, told), MemoryStore::new());
            let processes =
                [process(&service, &credentials, store.clone()), process(&service, &credentials, store.clone())];
            for process in &processes {
                token(process).await;
            }
            let before = sent(&service).len();
            service.seconds(IN_WINDOW);
            service.fail("PATCH", [fault]);
            for process in &processes {
                token(process).await;
            }
            service.seconds(60);
            let restarted = process(&service, &credentials, store);
            for process in processes.iter().chain([&restarted]) {
                for _ in 0..3 {
                    assert_lost(&process.token().await.unwrap_err());
                    service.hours(1);
                }
            }
            assert_eq!(sent(&service).len(), before + 1, "{fault:?} {told}");
        }
    }
}

/// The pair of the credentials is older than the stored one: it is neither returned nor sent.
#[tokio::test]
async fn the_first_pair_never_comes_back() {
    let uncertain = [Fault::LostResponse, Fault::LostRequest, Fault::Broken, Fault::Undecodable, Fault::Status(503)];
    let rejected = [Fault::Code(401, 130), Fault::Code(404, 160), Fault::Status(401)];
    for fault in uncertain.into_iter().chain(rejected) {
        for told in [false, true] {
            for is_expired in [false, true] {
                let service = start().await;
                service.state().tokens[0].ttl = 30 * DAY;
                let end = service.clock.now() + Duration::from_secs(if told { DAY } else { 0 });
                let credentials = RefreshCredentials::new("worker", "t0", "r0").expires_at(end);
                let store = MemoryStore::new();
                // The first process refreshes, the second one starts with the same credentials.
                let first = process(&service, &credentials, store.clone());
                token(&first).await;
                first.invalidate(&"t0".into());
                assert_eq!(token(&first).await, "t1");
                let second = process(&service, &credentials, store.clone());
                assert_eq!(token(&second).await, "t1");
                service.fail("PATCH", [fault]);
                if is_expired {
                    service.seconds(60 * DAY);
                } else {
                    second.invalidate(&"t1".into());
                }
                second.token().await.unwrap_err();
                for _ in 0..3 {
                    service.hours(1);
                    assert_lost(&second.token().await.unwrap_err());
                }
                assert_eq!(sent(&service), ["r0", "r1"], "{fault:?} {told} {is_expired}");
            }
        }
    }
}

/// The stored pair is the first one itself: after its refresh failed, it is neither returned nor sent again.
#[tokio::test]
async fn the_stored_pair_is_not_taken_for_another_one() {
    for fault in [Fault::LostResponse, Fault::Broken, Fault::Code(401, 130), Fault::Code(404, 160), Fault::Status(503)]
    {
        for is_expired in [false, true] {
            let service = start().await;
            let (credentials, store) = (pair(&service, true), MemoryStore::new());
            assert_eq!(token(&process(&service, &credentials, store.clone())).await, "t0");
            let restarted = process(&service, &credentials, store);
            assert_eq!(token(&restarted).await, "t0");
            service.fail("PATCH", [fault]);
            if is_expired {
                service.seconds(DAY);
            } else {
                restarted.invalidate(&"t0".into());
            }
            restarted.token().await.unwrap_err();
            for _ in 0..3 {
                service.hours(1);
                assert_lost(&restarted.token().await.unwrap_err());
            }
            assert_eq!(sent(&service), ["r0"], "{fault:?}");
        }
    }
}

/// Somebody with the key has created another pair, because the stored one was lost, and gave it the same name.
#[tokio::test]
async fn another_pair_of_the_same_name_has_a_record_of_its_own() {
    let service = start().await;
    let store = MemoryStore::new();
    assert_eq!(token(&process(&service, &pair(&service, false), store.clone())).await, "t1");
    service.put("later", None, &[crate::BASE], DAY);
    let end = service.clock.now() + Duration::from_secs(DAY);
    let later = RefreshCredentials::new("worker", "later", "refresh-of-later").expires_at(end);
    for _ in 0..2 {
        assert_eq!(token(&process(&service, &later, store.clone())).await, "later");
    }
    service.seconds(IN_WINDOW);
    assert_eq!(token(&process(&service, &later, store.clone())).await, "t2");
    // And from there on, while the first pair has kept its record.
    assert_eq!(token(&process(&service, &later, store.clone())).await, "t2");
    assert_eq!(token(&process(&service, &pair(&service, false), store)).await, "t3");
    assert_eq!(sent(&service), ["r0", "refresh-of-later", "r1"]);
}

/// The store may have a later pair than the one that the program was started with. That one is neither returned nor sent, nor does it take
/// the place of the record.
#[tokio::test]
async fn while_the_store_cannot_be_read_no_older_pair_takes_its_place() {
    for told in [false, true] {
        let service = start().await;
        service.state().tokens[0].ttl = 30 * DAY;
        let end = service.clock.now() + Duration::from_secs(if told { 30 * DAY } else { 0 });
        let credentials = RefreshCredentials::new("worker", "t0", "r0").expires_at(end);
        let broken = Arc::new(AtomicBool::new(false));
        let is_broken = Arc::clone(&broken);
        let store = FakeStore::new(move |call, _| {
            let fails = call == "load" && is_broken.load(Ordering::Relaxed);
            ready(if fails { Err("cannot load".into()) } else { Ok(()) })
        });
        let first = process(&service, &credentials, store.clone());
        token(&first).await;
        first.invalidate(&"t0".into());
        assert_eq!(token(&first).await, "t1");
        broken.store(true, Ordering::Relaxed);
        // The pair in memory is enough.
        assert_eq!(token(&first).await, "t1");
        let restarted = process(&service, &credentials, store);
        for _ in 0..3 {
            let error = restarted.token().await.unwrap_err();
            assert!(error.is_store() && error.operation() == Some("refresh_token"), "{error:?}");
            service.hours(1);
        }
        broken.store(false, Ordering::Relaxed);
        assert_eq!(token(&restarted).await, "t1");
        assert_eq!(sent(&service), ["r0"], "{told}");
    }
}

/// Without a lock, two processes want to send the same refresh token. The one that comes second does not, and takes what the other has stored.
#[tokio::test]
async fn a_process_that_comes_second_takes_the_pair_of_the_first() {
    let service = start().await;
    let (credentials, store) = (pair(&service, true), MemoryStore::new());
    // A store whose locks lock nothing.
    let processes = [Unlocked(store.clone()), Unlocked(store)]
        .map(|store| service.worker(credentials.clone()).store(store).build().unwrap());
    for process in &processes {
        assert_eq!(token(process).await, "t0");
    }
    service.seconds(DAY);
    service.state().tokens[0].expire += DAY;
    let gate = service.hold("PATCH", false);
    let calls = processes.clone().map(|process| tokio::spawn(async move { process.token().await }));
    service.arrived(1).await;
    // Nothing else leads to a token, so the other call fails.
    until(|| calls.iter().any(JoinHandle::is_finished)).await;
    gate.add_permits(1);
    let mut given = Vec::new();
    for call in calls {
        given.extend(call.await.unwrap().ok().map(|token| token.expose().to_owned()));
    }
    assert_eq!(given, ["t1"]);
    service.hours(1);
    for process in &processes {
        assert_eq!(token(process).await, "t1");
    }
    assert_eq!(sent(&service), ["r0"]);
}

/// A store with the lock that a store has by default: none.
#[derive(Debug)]
struct Unlocked(MemoryStore);

impl TokenStore for Unlocked {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.0.load(name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        self.0.replace(name, seen, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name).await
    }
}

#[tokio::test]
async fn pairs_of_other_names_and_tokens_of_clients_with_a_key_have_their_own_records() {
    let service = start().await;
    let store = MemoryStore::new();
    service.put("other", None, &[crate::BASE], DAY);
    let end = service.clock.now() + Duration::from_secs(DAY);
    let other = RefreshCredentials::new("other", "other", "refresh-of-other").expires_at(end);
    let oauth = service.builder().store(store.clone()).build().unwrap();
    oauth.token(&gettone::ScopeSet::parse([crate::BASE]).unwrap()).await.unwrap();
    oauth.wait_idle().await;
    assert_eq!(token(&process(&service, &other, store.clone())).await, "other");
    assert_eq!(token(&process(&service, &pair(&service, true), store.clone())).await, "t0");
    assert_eq!(token(&process(&service, &other, store.clone())).await, "other");
    assert!(format!("{store:?}").contains("tokens: 3"));
    assert_eq!(service.count("PATCH"), 0);
}

#[tokio::test]
async fn a_store_that_fails_is_reported_and_the_pair_kept_in_memory() {
    for failing in ["load", "claim", "save", "remove", "lock", "all"] {
        let service = start().await;
        let fails =
            move |call| if call == failing || failing == "all" { Err(format!("cannot {call}").into()) } else { Ok(()) };
        let store = FakeStore::new(move |call, _| ready(fails(call))).hurried(5);
        let reported = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&reported);
        let builder = builder(&service, &pair(&service, false), store);
        let worker =
            builder.on_store_failure(move |error| all.lock().unwrap().push(format!("{error:?}"))).build().unwrap();
        if ["load", "claim", "all"].contains(&failing) {
            // The store may have a later pair, or another process may send the refresh token.
            let error = worker.token().await.unwrap_err();
            assert!(error.is_store() && reported.lock().unwrap().len() >= 2, "{error:?}");
            assert!(sent(&service).is_empty());
            continue;
        }
        for number in 1..6 {
            let expected = format!("t{number}");
            assert_eq!(token(&worker).await, expected, "{failing}");
            service.seconds(IN_WINDOW);
            // So that the next caller waits until the store has failed for good.
            worker.invalidate(&AccessToken::new(expected));
        }
        assert_eq!(sent(&service), ["r0", "r1", "r2", "r3", "r4"], "{failing}");
        let reported = reported.lock().unwrap();
        let expected = match failing {
            "remove" => 0,
            _ => 5,
        };
        assert_eq!(reported.len(), expected, "{failing}: {reported:?}");
        assert!(reported.iter().all(|text| !text.contains("r1") && !text.contains("t1")), "{reported:?}");
    }
}

/// While the store was away, the pair was refreshed again and again. It is the newest one that the store has in the end.
#[tokio::test]
async fn a_store_that_works_again_gets_the_newest_pair() {
    let service = start().await;
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let fails = move |call: &str| match is_broken.load(Ordering::Relaxed) {
        true if call == "save" => Err("cannot save".into()),
        _ => Ok(()),
    };
    let store = FakeStore::new(move |call, _| ready(fails(call))).hurried(5);
    let worker = process(&service, &pair(&service, false), store.clone());
    assert_eq!(token(&worker).await, "t1");
    for (number, is_broken) in [(2, true), (3, true), (4, false)] {
        broken.store(is_broken, Ordering::Relaxed);
        service.hours(1);
        worker.invalidate(&AccessToken::new(format!("t{}", number - 1)));
        assert_eq!(token(&worker).await, format!("t{number}"));
    }
    let restarted = process(&service, &pair(&service, false), store);
    assert_eq!(token(&restarted).await, "t4");
    restarted.invalidate(&"t4".into());
    assert_eq!(token(&restarted).await, "t5");
    assert_eq!(sent(&service), ["r0", "r1", "r2", "r3", "r4"]);
}

/// The client returns the new pair before it tries again to save it.
#[tokio::test]
async fn while_a_store_fails_to_save_no_caller_gets_the_token_that_the_refresh_has_ended() {
    let service = start().await;
    let store = FakeStore::new(|call, _| ready(if call == "save" { Err("away".into()) } else { Ok(()) })).hurried(5);
    let worker = process(&service, &pair(&service, true), store);
    assert_eq!(token(&worker).await, "t0");
    service.seconds(IN_WINDOW);
    assert_eq!(worker.token().await.unwrap().expose(), "t1");
    assert_eq!(service.living(), ["t1"]);
}

/// The first has claimed the pair, and stores the next one a moment later.
#[tokio::test]
async fn a_process_that_comes_second_takes_the_pair_of_the_first_soon() {
    let service = start().await;
    let (credentials, store) = (pair(&service, false), MemoryStore::new());
    let [first, second] =
        [Unlocked(store.clone()), Unlocked(store)].map(|store| process(&service, &credentials, store));
    let gate = service.hold("PATCH", false);
    let asking = tokio::spawn(async move { first.token().await });
    service.arrived(1).await;
    let error = second.token().await.unwrap_err();
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap().unwrap().expose(), "t1");
    assert!(!error.is_invalid_grant(), "{error}");
    service.seconds(5);
    assert_eq!(token(&second).await, "t1");
}

/// By a machine whose clock was ahead, and which took the pair with it.
#[tokio::test]
async fn a_claim_from_years_ahead_is_not_waited_for() {
    for days in [1, 365 * 70] {
        let service = start().await;
        let (credentials, store) = (pair(&service, false), MemoryStore::new());
        let ahead = Arc::new(ManualClock::new(service.clock.now() + Duration::from_secs(days * DAY)));
        let builder = service.worker(credentials.clone()).store(store.clone()).retry(Retry::none());
        let first = builder.clock(ahead).build().unwrap();
        service.fail("PATCH", [Fault::LostResponse]);
        assert!(first.token().await.unwrap_err().is_ambiguous());
        let second = process(&service, &credentials, store);
        assert_lost(&second.token().await.unwrap_err());
        assert_eq!(sent(&service), ["r0"]);
    }
}

/// Errors and events show the name of a record, so it says too little of the token to find that by.
#[tokio::test]
async fn the_name_of_a_record_shows_four_digits_of_a_checksum_and_nothing_of_the_token() {
    #[derive(Debug, Clone, Default)]
    struct Names(Arc<Mutex<Vec<String>>>);

    impl TokenStore for Names {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            self.0.lock().unwrap().push(name.to_owned());
            Ok(None)
        }

        async fn replace(&self, _: &str, _: Option<&Version>, _: &StoredToken) -> Result<Replaced, StoreError> {
            Ok(Replaced::Done(Version::new("1")))
        }

        async fn remove(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }

    let service = start().await;
    let names = Names::default();
    token(&process(&service, &pair(&service, true), names.clone())).await;
    let name = names.0.lock().unwrap().pop().unwrap();
    let (rest, checksum) = name.rsplit_once(' ').unwrap();
    assert_eq!(rest, format!("openapi-oauth-v2 refresh {:?} \"worker\"", service.url()));
    assert!(checksum.len() == 4 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{checksum}");
}
