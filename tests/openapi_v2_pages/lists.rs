//! The five lists that have pages, at a service that changes them while they are read.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;

use futures_core::Stream;
use futures_core::stream::FusedStream;
use gettone::openapi::Credentials;
use gettone::openapi::v2::{Oauth, Page, PageRange};
use gettone::{Error, Retry, Scope};
use serde_json::{Value, json};

use crate::common::fake::{Answer, FakeService, Received};
use crate::common::http;

pub fn client(service: &FakeService) -> Oauth {
    let credentials = Credentials::new("test@example.com", "0123456789abcdef");
    Oauth::builder(credentials).base_url(service.url()).http_client(http()).retry(Retry::none()).build().unwrap()
}

/// The lists that have pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Tokens,
    Transactions,
    Errors,
    Callbacks,
    Subscriptions,
}

pub use List::{Callbacks, Errors, Subscriptions, Tokens, Transactions};

pub const LISTS: [List; 5] = [Tokens, Transactions, Errors, Callbacks, Subscriptions];

impl List {
    pub fn path(self) -> &'static str {
        match self {
            Tokens => "/tokens",
            Transactions => "/wallet/transactions",
            Errors => "/errors",
            Callbacks => "/callbacks",
            Subscriptions => "/subscriptions",
        }
    }

    /// The operation, as errors name it.
    pub fn operation(self) -> &'static str {
        match self {
            Tokens => "list_tokens",
            Transactions => "list_wallet_transactions",
            Errors => "list_errors",
            Callbacks => "list_callbacks",
            Subscriptions => "list_subscriptions",
        }
    }

    /// The code of the 404 that means that the list is empty.
    pub fn empty(self) -> Option<u32> {
        match self {
            Tokens => Some(120),
            Callbacks => Some(200),
            Subscriptions => Some(220),
            Transactions | Errors => None,
        }
    }

    pub fn entry(self, number: usize) -> Value {
        match self {
            Tokens => {
                json!({ "token": number.to_string(), "expireAt": "2031-01-01T00:00:00Z", "refreshToken": "hunter2" })
            }
            Transactions => json!({ "id": number.to_string(), "amount": -0.05 }),
            Errors | Callbacks | Subscriptions => json!({ "id": number.to_string(), "scope": "GET:a.it/b" }),
        }
    }

    /// Reads the whole stream. Returns the numbers of its entries, or the first error, after which it must be at its end.
    pub async fn stream(self, oauth: &Oauth) -> Result<Vec<usize>, Error> {
        match self {
            Tokens => numbers(oauth.stream_tokens(), |entry| entry.token().expose().to_owned()).await,
            Transactions => numbers(oauth.stream_wallet_transactions(), |entry| entry.id().to_owned()).await,
            Errors => numbers(oauth.stream_errors(&[]), |entry| entry.id().to_owned()).await,
            Callbacks => numbers(oauth.stream_callbacks(&[]), |entry| entry.id().to_owned()).await,
            Subscriptions => numbers(oauth.stream_subscriptions(&[]), |entry| entry.id().to_owned()).await,
        }
    }

    /// Requests a page. Returns the number of its entries, and the range of the next one.
    pub async fn page(
        self,
        oauth: &Oauth,
        scopes: &[Scope],
        range: PageRange,
    ) -> Result<(usize, Option<PageRange>), Error> {
        fn of<T>(page: Page<T>) -> (usize, Option<PageRange>) {
            assert_eq!((page.iter().count(), page.is_empty()), (page.len(), page.as_slice().is_empty()));
            (page.len(), page.next_range())
        }

        match self {
            Tokens => oauth.list_tokens(range).await.map(of),
            Transactions => oauth.list_wallet_transactions(range).await.map(of),
            Errors => oauth.list_errors(scopes, range).await.map(of),
            Callbacks => oauth.list_callbacks(scopes, range).await.map(of),
            Subscriptions => oauth.list_subscriptions(scopes, range).await.map(of),
        }
    }

    /// Returns the answer with these entries.
    pub fn answer(self, numbers: impl IntoIterator<Item = usize>) -> Answer {
        let entries: Vec<Value> = numbers.into_iter().map(|number| self.entry(number)).collect();
        Answer::json(200, json!({ "data": entries, "success": true, "message": "", "error": null }))
    }

    /// Starts a service with these entries, which `change` changes before each request after the first.
    pub async fn serve(self, len: usize, change: impl Fn(&mut Vec<usize>) + Send + Sync + 'static) -> FakeService {
        let entries = Mutex::new((0, (0..len).collect::<Vec<_>>()));
        FakeService::deciding(move |request| {
            let (requests, entries) = &mut *entries.lock().unwrap();
            if *requests > 0 {
                change(entries);
            }
            *requests += 1;
            let (limit, skip) = (query(request, "limit"), query(request, "skip"));
            self.answer(entries.iter().skip(skip).take(limit).copied())
        })
        .await
    }
}

pub fn query(request: &Received, name: &str) -> usize {
    let (_, query) = request.target.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).unwrap().1.parse().unwrap()
}

pub fn targets(service: &FakeService) -> Vec<String> {
    service.requests().into_iter().map(|request| request.target).collect()
}

/// Takes any stream, as a user's own function does.
pub async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

pub async fn numbers<T, S>(mut stream: S, id: impl Fn(&T) -> String) -> Result<Vec<usize>, Error>
where
    S: FusedStream<Item = Result<T, Error>> + Unpin + Send,
{
    let mut numbers = Vec::new();
    assert!(!stream.is_terminated());
    while let Some(entry) = next(&mut stream).await {
        match entry {
            Ok(entry) => numbers.push(id(&entry).parse().unwrap()),
            Err(error) => {
                assert!(stream.is_terminated() && next(&mut stream).await.is_none(), "an error ends the stream");
                return Err(error);
            }
        }
    }
    assert!(stream.is_terminated() && next(&mut stream).await.is_none(), "it stays at its end");
    Ok(numbers)
}
