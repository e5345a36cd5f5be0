//! The lists of version 2 of Openapi.it Oauth: page by page, and as streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "openapi_v2_pages/lists.rs"]
mod lists;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use common::fake::{Answer, Do, FakeService, Handler};
use futures_core::stream::FusedStream;
use gettone::Scope;
use gettone::openapi::v2::{Entries, PageRange};
use lists::{Callbacks, Errors, LISTS, List, Subscriptions, Tokens, Transactions, client, numbers, query, targets};
use serde_json::json;
use tokio::sync::Notify;

#[tokio::test]
async fn a_stream_has_every_entry_once_and_in_the_services_order() {
    for list in LISTS {
        for (len, skips) in [
            (0, &[0][..]),
            (1, &[0]),
            (99, &[0]),
            (100, &[0, 99]),
            (101, &[0, 99]),
            (198, &[0, 99]),
            (199, &[0, 99, 198]),
            (250, &[0, 99, 198]),
        ] {
            let service = list.serve(len, |_| {}).await;
            assert_eq!(list.stream(&client(&service)).await.unwrap(), (0..len).collect::<Vec<_>>(), "{list:?}");
            let expected = skips.iter().map(|skip| format!("{}?limit=100&skip={skip}", list.path()));
            assert_eq!(targets(&service), expected.collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_stream_is_polled() {
    let service = Tokens.serve(1, |_| {}).await;
    let oauth = client(&service);
    let streams = (oauth.stream_tokens(), oauth.stream_errors(&[]));
    tokio::task::yield_now().await;
    drop(streams);
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn an_empty_list_has_many_forms() {
    for list in LISTS {
        let null = Answer::json(200, json!({ "data": null }));
        let own = list.empty().map(|code| Answer::json(404, json!({ "success": false, "error": code, "data": null })));
        for answer in [Some(null), Some(Answer::json(200, "[]")), Some(Answer::empty(204)), own].into_iter().flatten() {
            let service = FakeService::answering_with(answer).await;
            assert_eq!(list.stream(&client(&service)).await.unwrap(), [0; 0]);
            assert_eq!(service.calls(), 1);
        }
        for answer in [Answer::empty(404), Answer::json(404, json!({ "success": false, "error": 999, "data": null }))] {
            let service = FakeService::answering_with(answer).await;
            let error = list.stream(&client(&service)).await.unwrap_err();
            assert!(error.is_not_found() && error.operation() == Some(list.operation()), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_404_of_its_own_after_a_full_page_is_the_end() {
    for list in LISTS {
        for (code, is_end) in [(list.empty().unwrap_or(120), list.empty().is_some()), (999, false)] {
            let own = Answer::json(404, json!({ "success": false, "message": "x", "error": code, "data": null }));
            let service = FakeService::answering([list.answer(0..100), own]).await;
            let result = list.stream(&client(&service)).await;
            if is_end {
                assert_eq!(result.unwrap(), (0..100).collect::<Vec<_>>(), "{list:?}");
            } else {
                assert!(result.unwrap_err().is_not_found(), "{list:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_service_with_nothing_after_the_first_page_is_not_asked_for_ever() {
    let service = FakeService::deciding(|request| match query(request, "skip") {
        0 => Tokens.answer(0..100),
        _ => Answer::json(404, json!({ "success": false, "error": 120, "data": null })),
    })
    .await;
    assert_eq!(Tokens.stream(&client(&service)).await.unwrap(), (0..100).collect::<Vec<_>>());
    assert!(service.calls() <= 20, "{}", service.calls());
}

#[tokio::test]
async fn a_service_without_pages_is_read_whole() {
    let service = FakeService::answering_with(Errors.answer(0..250)).await;
    assert_eq!(Errors.stream(&client(&service)).await.unwrap(), (0..250).collect::<Vec<_>>());
    assert_eq!(targets(&service), ["/errors?limit=100&skip=0", "/errors?limit=100&skip=249"]);
}

#[tokio::test]
async fn a_service_that_repeats_a_page_for_ever_is_an_error() {
    let service = FakeService::answering_with(Errors.answer(0..100)).await;
    let error = Errors.stream(&client(&service)).await.unwrap_err();
    assert!(error.is_decode() && error.to_string().starts_with("a list that does not end"), "{error}");
    assert!(service.calls() <= 101, "{}", service.calls());
}

#[tokio::test]
async fn new_entries_at_the_front_neither_repeat_nor_hide_others() {
    for list in LISTS {
        for count in [1, 2, 50, 98, 99, 100, 250, 1_000] {
            let once = Mutex::new(true);
            let insert = move |entries: &mut Vec<usize>| {
                if std::mem::take(&mut *once.lock().unwrap()) {
                    entries.splice(0..0, 1_000..1_000 + count);
                }
            };
            let service = list.serve(250, insert).await;
            let all = list.stream(&client(&service)).await.unwrap();
            let unique: HashSet<usize> = all.iter().copied().collect();
            assert_eq!(unique.len(), all.len(), "{list:?} {count}: an entry came twice");
            assert!((0..250).all(|number| unique.contains(&number)), "{list:?} {count}: an entry is lost");
        }
    }
}

#[tokio::test]
async fn removed_entries_do_not_take_others_with_them() {
    for list in LISTS {
        for (at, count) in
            [(0, 1), (0, 50), (0, 99), (0, 100), (0, 160), (50, 60), (98, 1), (99, 1), (20, 200), (0, 240)]
        {
            let once = Mutex::new(true);
            let remove = move |entries: &mut Vec<usize>| {
                if std::mem::take(&mut *once.lock().unwrap()) {
                    entries.drain(at..at + count);
                }
            };
            let service = list.serve(250, remove).await;
            let all = list.stream(&client(&service)).await.unwrap();
            let unique: HashSet<usize> = all.iter().copied().collect();
            assert_eq!(unique.len(), all.len(), "{list:?} {at} {count}: an entry came twice");
            let kept = (0..at).chain(at + count..250);
            let lost: Vec<usize> = kept.filter(|number| !unique.contains(number)).collect();
            assert!(lost.is_empty(), "{list:?} {at} {count}: lost {lost:?}");
            assert!(service.calls() <= 8, "{list:?} {at} {count}: {} requests", service.calls());
        }
    }
}

#[tokio::test]
async fn a_list_that_shrinks_at_every_page_ends() {
    let service = Transactions.serve(1_000, |entries| drop(entries.drain(..entries.len().min(7)))).await;
    let all = Transactions.stream(&client(&service)).await.unwrap();
    assert_eq!(all.iter().copied().collect::<HashSet<_>>().len(), all.len());
    let left = 7 * (service.calls() - 1);
    assert!((left..1_000).all(|number| all.contains(&number)));
}

#[tokio::test]
async fn an_error_comes_once_and_is_the_end() {
    for list in LISTS {
        let failed = Answer::json(422, json!({ "success": false, "message": "no", "error": 999, "data": null }));
        let service = FakeService::answering([list.answer(0..100), failed, list.answer(99..199)]).await;
        let error = list.stream(&client(&service)).await.unwrap_err();
        assert_eq!((error.code(), error.operation()), (Some("999"), Some(list.operation())));
        assert_eq!(service.calls(), 2);
    }
    // What came before it is the caller's.
    let service = FakeService::answering([Tokens.answer(0..100), Answer::html(404, "<html>")]).await;
    let mut stream = client(&service).stream_tokens();
    for _ in 0..100 {
        stream.next().await.unwrap().unwrap();
    }
    assert!(stream.next().await.unwrap().unwrap_err().is_not_found());
    assert!(stream.next().await.is_none() && stream.next().await.is_none());
}

/// Starts a service that answers the second request when told to.
async fn held(list: List) -> (FakeService, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let released = Arc::clone(&go_on);
    let handler = Handler::new(move |request| {
        let (released, skip) = (Arc::clone(&released), query(&request, "skip"));
        async move {
            if skip > 0 {
                released.notified().await;
            }
            Some(list.answer((0..150).skip(skip).take(100)))
        }
    });
    (FakeService::new([Do::Serve(handler)]).await, go_on)
}

#[tokio::test]
async fn a_dropped_next_goes_on_where_it_was() {
    let (service, go_on) = held(Errors).await;
    let mut stream = client(&service).stream_errors(&[]);
    for _ in 0..100 {
        stream.next().await.unwrap().unwrap();
    }
    tokio::select! {
        _ = stream.next() => panic!("nobody answered"),
        () = service.called(2) => {}
    }
    assert!(!stream.is_terminated());
    go_on.notify_one();
    // Not requested once more.
    assert_eq!(stream.next().await.unwrap().unwrap().id(), "100");
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn a_dropped_stream_requests_nothing_more() {
    let (service, go_on) = held(Errors).await;
    let mut stream = client(&service).stream_errors(&[]);
    for _ in 0..5 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    assert_eq!(service.calls(), 1);
    // During a request, too.
    let mut stream = client(&service).stream_errors(&[]);
    for _ in 0..100 {
        stream.next().await.unwrap().unwrap();
    }
    tokio::select! {
        _ = stream.next() => panic!("nobody answered"),
        () = service.called(3) => {}
    }
    drop(stream);
    go_on.notify_one();
    assert_eq!(Errors.page(&client(&service), &[], PageRange::default()).await.unwrap().0, 100);
    assert_eq!(service.calls(), 4);
}

#[tokio::test]
async fn a_stream_moves_to_another_task_and_outlives_its_client() {
    let service = Callbacks.serve(150, |_| {}).await;
    let stream = client(&service).stream_callbacks(&["GET:a.it/b".parse().unwrap()]);
    let read = tokio::spawn(numbers(stream, |entry| entry.id().to_owned()));
    assert_eq!(read.await.unwrap().unwrap(), (0..150).collect::<Vec<_>>());
}

#[tokio::test]
async fn entries_that_cannot_be_read_come_once_and_do_not_disturb_the_pages() {
    // The last entry of the first page, which the second one repeats, is among them.
    let unreadable = [3, 99, 100, 198, 249];
    let service = FakeService::deciding(move |request| {
        let entry = |number: usize| match unreadable.contains(&number) {
            true => json!({ "refreshToken": format!("hunter2-{number}") }),
            false => Tokens.entry(number),
        };
        let skip = query(request, "skip");
        Answer::json(200, json!({ "data": (0..250).skip(skip).take(100).map(entry).collect::<Vec<_>>() }))
    })
    .await;
    let mut stream = client(&service).stream_tokens();
    let mut count = 0;
    while let Some(token) = stream.next().await {
        assert_eq!(token.unwrap().refresh_token().unwrap().expose(), "hunter2");
        count += 1;
    }
    assert_eq!(count, 245);
    let kept: Vec<&str> = stream.unrecognized().iter().map(gettone::Secret::expose).collect();
    assert_eq!(kept, unreadable.map(|number| format!("{{\"refreshToken\":\"hunter2-{number}\"}}")));
    assert_eq!(service.calls(), 3);
    let shown = format!("{stream:?} {:?}", stream.unrecognized());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_page_of_tokens_prints_no_secret() {
    let body = json!({ "data": [Tokens.entry(4_711), { "refreshToken": "hunter2" }] });
    let service = FakeService::answering_with(Answer::json(200, body)).await;
    let page = client(&service).list_tokens(PageRange::default()).await.unwrap();
    let shown = format!("{page:?} {:#?}", page);
    assert!(!shown.contains("hunter2") && !shown.contains("4711"), "{shown}");
    assert!(shown.contains("unrecognized: 1 entry"), "{shown}");
    assert_eq!(page.unrecognized()[0].expose(), r#"{"refreshToken":"hunter2"}"#);
}

#[tokio::test]
async fn page_by_page() {
    for list in LISTS {
        for (len, limit, pages) in [
            (0, 100, &[(0, 0)][..]),
            (7, 100, &[(0, 7)]),
            (100, 100, &[(0, 100), (100, 0)]),
            (250, 100, &[(0, 100), (100, 100), (200, 50)]),
            (5, 2, &[(0, 2), (2, 2), (4, 1)]),
            (2, 1, &[(0, 1), (1, 1), (2, 0)]),
        ] {
            let service = list.serve(len, |_| {}).await;
            let oauth = client(&service);
            let (mut range, mut found) = (Some(PageRange::new(0, limit).unwrap()), Vec::new());
            while let Some(this) = range {
                let (count, next) = list.page(&oauth, &[], this).await.unwrap();
                found.push((this.skip(), count));
                range = next;
            }
            assert_eq!(found, pages, "{list:?} {len}");
            let asked = pages.iter().map(|(skip, _)| format!("{}?limit={limit}&skip={skip}", list.path()));
            assert_eq!(targets(&service), asked.collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_full_page_with_unreadable_entries_is_not_the_last() {
    let body = json!({ "data": [Errors.entry(0), null, "x"] });
    let service = FakeService::answering_with(Answer::json(200, body)).await;
    let (count, next) = Errors.page(&client(&service), &[], PageRange::new(6, 3).unwrap()).await.unwrap();
    assert_eq!((count, next), (1, Some(PageRange::new(9, 3).unwrap())));
}

#[tokio::test]
async fn scopes_are_separated_by_commas_and_percent_encoded() {
    let scopes: Vec<Scope> =
        ["GET:company.openapi.com/IT-start", "POST:sms.openapi.com/send"].map(|text| text.parse().unwrap()).to_vec();
    let encoded = "GET%3Acompany.openapi.com%2FIT-start%2CPOST%3Asms.openapi.com%2Fsend";
    for list in [Errors, Callbacks, Subscriptions] {
        let service = list.serve(0, |_| {}).await;
        let oauth = client(&service);
        list.page(&oauth, &scopes, PageRange::new(7, 5).unwrap()).await.unwrap();
        list.page(&oauth, &scopes[1..], PageRange::default()).await.unwrap();
        list.page(&oauth, &[], PageRange::default()).await.unwrap();
        let path = list.path();
        assert_eq!(
            targets(&service),
            [
                format!("{path}?limit=5&scopes={encoded}&skip=7"),
                format!("{path}?limit=100&scopes=POST%3Asms.openapi.com%2Fsend&skip=0"),
                format!("{path}?limit=100&skip=0"),
            ]
        );
        for request in service.requests() {
            assert_eq!((request.method.as_str(), request.body.as_str()), ("GET", ""));
            assert_eq!(request.header("accept"), Some("application/json"));
        }
    }
    // Streams repeat them for each page.
    for list in [Errors, Callbacks, Subscriptions] {
        let service = list.serve(100, |_| {}).await;
        let oauth = client(&service);
        let count = match list {
            Errors => numbers(oauth.stream_errors(&scopes), |entry| entry.id().to_owned()).await,
            Callbacks => numbers(oauth.stream_callbacks(&scopes), |entry| entry.id().to_owned()).await,
            _ => numbers(oauth.stream_subscriptions(&scopes), |entry| entry.id().to_owned()).await,
        };
        assert_eq!(count.unwrap().len(), 100);
        let expected = [0, 99].map(|skip| format!("{}?limit=100&scopes={encoded}&skip={skip}", list.path()));
        assert_eq!(targets(&service), expected);
    }
}

#[test]
fn a_range_has_1_to_100_entries() {
    for limit in [1, 2, 99, 100] {
        let range = PageRange::new(u64::MAX, limit).unwrap();
        assert_eq!((range.skip(), range.limit()), (u64::MAX, limit));
    }
    for limit in [0, 101, 255] {
        let error = PageRange::new(0, limit).unwrap_err();
        assert!(error.is_invalid_input() && error.status().is_none());
        assert_eq!(error.to_string(), format!("page of {limit} entries: expected 1 to 100"));
    }
    assert_eq!(PageRange::default(), PageRange::new(0, 100).unwrap());
}

#[tokio::test]
async fn no_page_comes_after_the_last_number() {
    let service = FakeService::answering_with(Errors.answer(0..100)).await;
    let oauth = client(&service);
    let last = PageRange::new(u64::MAX - 1, 100).unwrap();
    assert_eq!(Errors.page(&oauth, &[], last).await.unwrap(), (100, None));
    let before = PageRange::new(u64::MAX - 100, 100).unwrap();
    let after = PageRange::new(u64::MAX, 100).unwrap();
    assert_eq!(Errors.page(&oauth, &[], before).await.unwrap(), (100, Some(after)));
}

#[test]
fn a_stream_is_sent_between_threads() {
    fn check<T: Send + Unpin + 'static>(_: fn() -> T) {}

    check::<Entries<gettone::openapi::v2::Token>>(|| unreachable!());
}
