//! Requests for a token whose response is lost: the client finds the token by its name, or creates another one, and touches no other.

use gettone::Retry;
use gettone::openapi::Ttl;
use gettone::openapi::v2::{NewToken, Oauth, Renewal};
use serde_json::json;

use crate::account_v2::{FakeAccount, Fault};
use crate::{X, Y, enabled, once, set, token};

const LIST: &str = "GET /tokens?limit=100&skip=0";
const CREATE: &str = "POST /tokens";

/// Puts tokens in that might be mistaken for the client's: with its scopes, its lifetime, and names like its own.
fn put_others(service: &FakeAccount, name: &str) -> usize {
    let shorter = &name[..name.len() - 1];
    let upper = name.to_uppercase();
    let names = [
        None,
        Some(""),
        Some("gettone"),
        Some("gettone-"),
        Some(shorter),
        Some(&format!("{name}0")),
        Some(&format!(" {name}")),
        Some(&format!("{name} ")),
        Some(&format!("other-{name}")),
        Some(upper.as_str()),
        Some("gettone-00000000000000000000000000000000"),
    ]
    .map(|name| name.map(str::to_owned));
    for (number, name) in names.iter().enumerate() {
        service.put(&format!("other-{number}"), name.as_deref(), &[X], 86_400);
    }
    names.len()
}

fn name_of_first(service: &FakeAccount) -> String {
    service.bodies("POST")[0]["name"].as_str().unwrap().to_owned()
}

/// Asserts that of the tokens only the others live, after the client has deleted its own.
async fn assert_only_others_live(service: &FakeAccount, oauth: &Oauth, own: usize, others: usize) {
    let before: Vec<_> = service.state().tokens.iter().filter(|made| made.by == "somebody").cloned().collect();
    assert_eq!(oauth.revoke_created().await.unwrap(), own);
    assert_eq!(before.len(), others);
    assert_eq!(service.state().tokens, before);
    assert!(service.state().strayed.is_empty());
}

#[tokio::test]
async fn a_token_whose_response_was_lost_is_found_by_its_name() {
    for fault in [Fault::LostResponse, Fault::Truncated, Fault::Broken, Fault::Undecodable] {
        for retry in [Retry::none(), Retry::default()] {
            for renewal in [Renewal::Extend, Renewal::Replace] {
                let service = FakeAccount::start().await;
                service.fail(CREATE, [fault]);
                let oauth = service.builder().retry(retry.clone()).renewal(renewal).build().unwrap();
                let gate = service.hold("GET /tokens", false);
                let asking = tokio::spawn({
                    let oauth = oauth.clone();
                    async move { token(&oauth, &[X]).await }
                });
                service.arrived(1).await;
                let others = put_others(&service, &name_of_first(&service));
                gate.add_permits(10);
                assert_eq!(asking.await.unwrap(), "t1", "{fault:?}");
                assert_eq!(service.requests(), [CREATE, LIST], "{fault:?}");
                assert_only_others_live(&service, &oauth, 1, others).await;
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_was_not_created_is_created_after_the_search() {
    for fault in [Fault::LostRequest, Fault::Status(500), Fault::Status(502), Fault::Status(408), Fault::Status(504)] {
        for retry in [Retry::none(), Retry::default()] {
            let service = FakeAccount::start().await;
            service.fail(CREATE, [fault]);
            let oauth = service.builder().retry(retry).build().unwrap();
            let gate = service.hold("GET /tokens", false);
            let asking = tokio::spawn({
                let oauth = oauth.clone();
                async move { token(&oauth, &[X]).await }
            });
            service.arrived(1).await;
            let others = put_others(&service, &name_of_first(&service));
            gate.add_permits(10);
            assert_eq!(asking.await.unwrap(), "t1", "{fault:?}");
            assert_eq!(service.requests(), [CREATE, LIST, CREATE], "{fault:?}");
            let names = service.bodies("POST").into_iter().map(|body| body["name"].clone());
            assert_eq!(names.collect::<std::collections::HashSet<_>>().len(), 2);
            assert_only_others_live(&service, &oauth, 1, others).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_was_certainly_not_carried_out_is_not_searched_for() {
    for fault in
        [Fault::Code(422, 90), Fault::Status(403), Fault::Status(401), Fault::Status(404), Fault::Throttled(90)]
    {
        let service = FakeAccount::start().await;
        service.fail(CREATE, [fault]);
        let oauth = once(&service);
        oauth.token(&set(&[X])).await.unwrap_err();
        assert_eq!(oauth.revoke_created().await.unwrap(), 0);
        assert_eq!(service.take_requests(), [CREATE], "{fault:?}");
        service.hours(1);
        token(&oauth, &[X]).await;
        assert_eq!(service.requests(), [CREATE], "{fault:?}");
    }
}

#[tokio::test]
async fn while_the_list_is_unavailable_no_second_token_is_created() {
    for fault in [Fault::Status(503), Fault::LostRequest, Fault::LostResponse, Fault::Truncated, Fault::Status(401)] {
        let service = FakeAccount::start().await;
        service.fail(CREATE, [Fault::LostResponse]);
        service.state().always = Some(("GET /tokens", fault));
        let oauth = once(&service);
        for _ in 0..5 {
            let error = oauth.token(&set(&[X])).await.unwrap_err();
            assert_eq!(error.operation(), Some("list_tokens"), "{fault:?}: {error}");
            // While it backs off it sends nothing.
            let sent = service.requests().len();
            assert!(oauth.token(&set(&[X])).await.unwrap_err().is_backing_off());
            assert_eq!(service.requests().len(), sent);
            service.hours(3);
        }
        assert_eq!((service.count(CREATE), service.count("GET /tokens")), (1, 5), "{fault:?}");
        service.state().always = None;
        assert_eq!(token(&oauth, &[X]).await, "t1");
        assert_eq!(service.count(CREATE), 1);
        assert_only_others_live(&service, &oauth, 1, 0).await;
    }
}

#[tokio::test]
async fn a_list_that_always_fails_does_not_block_tokens_forever() {
    // After a 500 the client waits ten minutes for the list.
    for (begin, status) in [("GET /tokens", 404), ("GET /tokens", 500)] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        service.fail(CREATE, [Fault::LostResponse]);
        service.state().always = Some((begin, Fault::Status(status)));
        let error = oauth.token(&set(&[X])).await.unwrap_err();
        assert_eq!((error.status().unwrap().as_u16(), service.count(CREATE)), (status, 1));
        service.hours(1);
        assert_eq!(token(&oauth, &[X]).await, "t2", "{begin} {status}");
        service.state().always = None;
        // Nothing is forgotten.
        assert_only_others_live(&service, &oauth, 2, 0).await;
    }
}

#[tokio::test]
async fn a_lost_token_is_found_on_any_page_of_the_list() {
    for (before, after, pages) in [(0, 0, 1), (99, 0, 2), (0, 250, 3), (120, 130, 3), (250, 0, 3)] {
        let service = FakeAccount::start().await;
        let put = |from: usize, to: usize| {
            (from..to).for_each(|number| service.put(&format!("other-{number}"), Some("gettone"), &[X], 86_400));
        };
        put(0, before);
        service.fail(CREATE, [Fault::LostResponse]);
        let gate = service.hold("GET /tokens", false);
        let oauth = once(&service);
        let asking = tokio::spawn({
            let oauth = oauth.clone();
            async move { token(&oauth, &[X]).await }
        });
        service.arrived(1).await;
        put(before, before + after);
        gate.add_permits(10);
        assert_eq!(asking.await.unwrap(), "t1");
        assert_eq!((service.count(CREATE), service.count("GET /tokens")), (1, pages), "{before} {after}");
        assert_only_others_live(&service, &oauth, 1, before + after).await;
    }
}

/// The token is on the first page, and the second one cannot be read.
#[tokio::test]
async fn a_token_that_was_found_is_taken_although_the_rest_of_the_list_is_unavailable() {
    for fault in [Fault::Status(503), Fault::Status(500), Fault::Status(404), Fault::LostResponse] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        service.fail(CREATE, [Fault::LostResponse]);
        service.state().always = Some(("GET /tokens?limit=100&skip=99", fault));
        let gate = service.hold("GET /tokens", false);
        let asking = tokio::spawn({
            let oauth = oauth.clone();
            async move { token(&oauth, &[X]).await }
        });
        service.arrived(1).await;
        (0..150).for_each(|number| service.put(&format!("other-{number}"), None, &[X], 86_400));
        gate.add_permits(10);
        assert_eq!(asking.await.unwrap(), "t1", "{fault:?}");
        assert_eq!(service.count(CREATE), 1, "{fault:?}");
        assert_only_others_live(&service, &oauth, 1, 150).await;
    }
}

#[tokio::test]
async fn an_account_without_tokens_is_an_empty_list_or_a_404() {
    for empty_is_missing in [false, true] {
        let service = FakeAccount::start().await;
        service.state().empty_is_missing = empty_is_missing;
        service.fail(CREATE, [Fault::LostRequest]);
        assert_eq!(token(&once(&service), &[X]).await, "t1");
        assert_eq!(service.requests(), [CREATE, LIST, CREATE]);
    }
}

/// The search comes too early, so another token is created. The first one shows up later, and is deleted then.
#[tokio::test]
async fn a_token_that_is_listed_late_is_not_left_behind() {
    let service = FakeAccount::start().await;
    (service.state().lag, service.state().wraps) = (8, true);
    service.fail(CREATE, [Fault::LostResponse]);
    let oauth = once(&service);
    assert_eq!(token(&oauth, &[X]).await, "t2");
    assert_eq!(service.requests(), [CREATE, LIST, CREATE]);
    service.seconds(9);
    assert_only_others_live(&service, &oauth, 2, 0).await;
}

#[tokio::test]
async fn a_token_that_is_listed_late_is_found_by_the_next_call() {
    let service = FakeAccount::start().await;
    service.state().lag = 8;
    service.fail(CREATE, [Fault::LostResponse]);
    service.fail("GET /tokens", [Fault::Status(503)]);
    let oauth = once(&service);
    oauth.token(&set(&[X])).await.unwrap_err();
    service.seconds(9);
    assert_eq!(token(&oauth, &[X]).await, "t1");
    assert_eq!(service.count(CREATE), 1);
    assert_only_others_live(&service, &oauth, 1, 0).await;
}

/// The service does not list the token while the program revokes, but a moment later.
#[tokio::test]
async fn revoke_created_can_be_called_again_for_a_token_that_is_listed_late() {
    for (seconds, is_found) in [(0, false), (7, false), (8, true), (14, true)] {
        let service = FakeAccount::start().await;
        service.state().lag = 8;
        service.fail(CREATE, [Fault::LostResponse, Fault::LostRequest]);
        let oauth = once(&service);
        oauth.token(&set(&[X])).await.unwrap_err();
        service.seconds(seconds);
        assert_eq!(oauth.revoke_created().await.unwrap(), usize::from(is_found), "{seconds}");
        service.seconds(20);
        assert_eq!(oauth.revoke_created().await.unwrap(), usize::from(!is_found), "{seconds}");
        assert!(service.living().is_empty());
    }
}

/// Both responses were lost, and the service lists the first token late. One is used, and the other one is of no use to anybody.
#[tokio::test]
async fn of_two_lost_tokens_one_is_taken_and_the_other_one_deleted() {
    let service = FakeAccount::start().await;
    service.state().lag = 8;
    service.fail(CREATE, [Fault::LostResponse, Fault::Broken]);
    let oauth = once(&service);
    oauth.token(&set(&[X])).await.unwrap_err();
    assert_eq!(service.living().len(), 2);
    service.hours(1);
    let taken = token(&oauth, &[X]).await;
    assert_eq!(service.living(), [taken]);
    assert_eq!(service.count(CREATE), 2);
    assert_only_others_live(&service, &oauth, 1, 0).await;
}

/// A gateway repeats the request, and the service creates two tokens of one name.
#[tokio::test]
async fn of_two_tokens_of_one_name_neither_is_left_behind() {
    let service = FakeAccount::start().await;
    service.fail(CREATE, [Fault::LostResponse]);
    service.fail("GET /tokens", [Fault::Status(503)]);
    let oauth = once(&service);
    oauth.token(&set(&[X])).await.unwrap_err();
    let mut twin = service.state().tokens[0].clone();
    twin.token = "twin".to_owned();
    service.state().tokens.push(twin);
    service.hours(1);
    let taken = token(&oauth, &[X]).await;
    assert_eq!(service.living(), [taken]);
    assert_only_others_live(&service, &oauth, 1, 0).await;
}

#[tokio::test]
async fn a_lost_token_that_cannot_be_used_is_deleted_and_created_anew() {
    for (case, left) in [("granted less", 0), ("without scopes", 1), ("nearly expired", 1)] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        service.fail(CREATE, [Fault::LostResponse]);
        service.fail("GET /tokens", [Fault::Status(503)]);
        match case {
            "granted less" => service.state().denied = vec![Y],
            "without scopes" => service.state().omits = vec!["scopes"],
            _ => {}
        }
        oauth.token(&set(&[X, Y])).await.unwrap_err();
        if case == "nearly expired" {
            service.seconds(86_400 - 300);
        } else {
            service.hours(1);
        }
        let result = oauth.token(&set(&[X, Y])).await;
        assert_eq!(result.is_err_and(|error| error.not_granted().is_some()), case == "granted less", "{case}");
        assert_eq!(service.living().len(), left, "{case}");
        assert_eq!(service.count(CREATE), 2, "{case}");
        assert_only_others_live(&service, &oauth, left, 0).await;
    }
}

/// A wildcard counts as granted if the token has all that it stood for when it was requested.
#[tokio::test]
async fn a_lost_token_for_a_wildcard_is_found_if_it_was_granted_all_of_it() {
    for is_denied in [false, true] {
        let service = FakeAccount::start().await;
        service.state().catalog = enabled(&[X, "POST:a.it/x"]);
        service.state().denied = if is_denied { vec![X] } else { vec![] };
        service.fail(CREATE, [Fault::LostResponse]);
        let oauth = once(&service);
        let result = oauth.token(&set(&["*:a.it/*"])).await;
        if is_denied {
            assert_eq!(result.unwrap_err().not_granted(), Some(&set(&[X])));
            assert!(service.living().is_empty());
        } else {
            assert_eq!(result.unwrap().expose(), "t1");
            assert_eq!(service.requests(), ["GET /scopes", CREATE, LIST]);
            // A service that is enabled later is not in it.
            service.state().catalog.extend(enabled(&["PUT:a.it/x"]));
            assert_eq!(token(&oauth, &["*:a.it/*"]).await, "t1");
            assert_eq!(token(&oauth, &[X]).await, "t1");
        }
    }
}

/// An entry that the client cannot read may be its token.
#[tokio::test]
async fn a_lost_token_is_not_given_up_because_of_an_unreadable_entry() {
    for odd in [json!({ "token": "odd" }), json!("odd"), json!(null)] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        service.fail(CREATE, [Fault::LostResponse, Fault::LostRequest]);
        (service.state().lag, service.state().odd) = (40, vec![odd.clone()]);
        oauth.token(&set(&[X])).await.unwrap_err();
        service.seconds(20);
        assert_eq!(oauth.revoke_created().await.unwrap(), 0, "{odd}");
        service.seconds(20);
        assert_eq!(oauth.revoke_created().await.unwrap(), 1, "{odd}");
        assert!(service.living().is_empty());
    }
}

#[tokio::test]
async fn each_key_finds_its_own_token() {
    let service = FakeAccount::start().await;
    service.fail(CREATE, [Fault::LostResponse; 2]);
    service.fail("GET /tokens", [Fault::Status(503); 2]);
    let oauth = once(&service);
    oauth.token(&set(&[X])).await.unwrap_err();
    oauth.token(&set(&[Y])).await.unwrap_err();
    service.hours(1);
    assert_eq!(token(&oauth, &[Y]).await, "t2");
    assert_eq!(token(&oauth, &[X]).await, "t1");
    assert_eq!(service.count(CREATE), 2);
    assert_only_others_live(&service, &oauth, 2, 0).await;
}

/// One list serves all lost tokens.
#[tokio::test]
async fn revoke_created_lists_the_tokens_once() {
    let service = FakeAccount::start().await;
    service.fail(CREATE, [Fault::LostResponse; 3]);
    service.fail("GET /tokens", [Fault::Status(503); 3]);
    let oauth = once(&service);
    for scopes in [&[X][..], &[Y], &[X, Y]] {
        oauth.token(&set(scopes)).await.unwrap_err();
    }
    service.take_requests();
    service.fail("GET /tokens", [Fault::Status(500)]);
    assert_eq!(oauth.revoke_created().await.unwrap_err().status().unwrap(), 500);
    assert_eq!(service.take_requests(), [LIST]);
    assert_only_others_live(&service, &oauth, 3, 0).await;
    assert_eq!(service.count("GET"), 1);
    assert_eq!(oauth.revoke_created().await.unwrap(), 0);
    assert_eq!(service.count("GET"), 1, "nothing is left to search for");
}

/// For an hour the service creates each token and answers with a 500. The client finds each, and leaves none behind.
#[tokio::test]
async fn an_hour_of_500s_leaves_no_token_behind() {
    for list_fails in [false, true] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        service.state().always = Some((CREATE, Fault::Broken));
        let mut last = None;
        for minute in 0..60 {
            // Now and then the list fails too.
            if list_fails && minute % 3 != 2 {
                service.fail("GET", [Fault::Status(500)]);
            }
            if let Ok(token) = oauth.token(&set(&[X])).await {
                // So that the next call needs another one.
                oauth.invalidate(&token);
                assert_ne!(last.replace(token.clone()), Some(token), "minute {minute}");
            }
            service.seconds(11 * 60);
        }
        service.state().faults.clear();
        let living = service.living().len();
        let created = service.count(CREATE);
        assert!(created >= if list_fails { 15 } else { 55 }, "{created} were created");
        assert_only_others_live(&service, &oauth, living, 0).await;
    }
}

#[tokio::test]
async fn a_token_created_by_the_caller_is_not_mistaken_for_a_lost_one() {
    let service = FakeAccount::start().await;
    let oauth = service.builder().user_agent("own/1").retry(Retry::none()).build().unwrap();
    let created = oauth.create_token(NewToken::new(&set(&[X]), Ttl::days(1).unwrap()).name("gettone")).await.unwrap();
    service.fail(CREATE, [Fault::LostRequest]);
    assert_eq!(token(&oauth, &[X]).await, "t2");
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert_eq!(service.living(), [created.token().expose()]);
}

/// The task of the request is stopped with its runtime.
#[test]
fn a_request_that_was_stopped_is_searched_for() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, first, second) = (runtime(), runtime(), runtime());
    let service = server.block_on(FakeAccount::start());
    let gate = service.hold(CREATE, true);
    let oauth = once(&service);
    let asking = first.spawn({
        let oauth = oauth.clone();
        async move { oauth.token(&set(&[X])).await }
    });
    second.block_on(service.arrived(1));
    drop((asking, first));
    gate.add_permits(10);
    assert_eq!(second.block_on(token(&oauth, &[X])), "t1");
    assert_eq!(service.count(CREATE), 1);
    assert_eq!(second.block_on(oauth.revoke_created()).unwrap(), 1);
    assert!(service.living().is_empty());
}
