//! What both versions do the same way.

use std::sync::Arc;

use gettone::openapi::{v1, v2};
use gettone::store::MemoryStore;
use gettone::{AccessToken, Error, ScopeSet, TokenHandle};
use reqwest::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use reqwest::{Method, Request};

use crate::account_v2::FakeAccount as SecondAccount;
use crate::common::account::FakeAccount as FirstAccount;
use crate::set;

#[derive(Clone)]
enum Client {
    First(v1::Oauth),
    Second(v2::Oauth),
}

/// Calls the client of either version.
macro_rules! on {
    ($client:expr, $oauth:ident => $call:expr) => {
        match $client {
            Client::First($oauth) => $call,
            Client::Second($oauth) => $call,
        }
    };
}

impl Client {
    async fn token(&self, scopes: &[&str]) -> Result<AccessToken, Error> {
        on!(self, oauth => oauth.token(&set(scopes)).await)
    }

    fn token_for(&self, scopes: &[&str]) -> TokenHandle {
        on!(self, oauth => oauth.token_for(&set(scopes)))
    }

    async fn authorize(&self, request: &mut Request) -> Result<AccessToken, Error> {
        on!(self, oauth => oauth.authorize(request).await)
    }
}

#[derive(Clone)]
enum Account {
    First(Arc<FirstAccount>),
    Second(Arc<SecondAccount>),
}

impl Account {
    /// Starts an account at each version, with a catalog that has these scopes.
    async fn both(catalog: &[&str]) -> [Self; 2] {
        let (first, second) = (FirstAccount::start().await, SecondAccount::start().await);
        first.state().catalogue = catalog.iter().map(|scope| scope.parse().unwrap()).collect();
        second.state().catalog = crate::enabled(catalog);
        [Self::First(Arc::new(first)), Self::Second(Arc::new(second))]
    }

    fn client(&self, scopes: Option<&[&str]>, store: Option<&MemoryStore>) -> Client {
        macro_rules! build {
            ($service:expr) => {{
                let builder = $service.builder();
                let builder = match scopes {
                    Some(scopes) => builder.scopes(ScopeSet::parse(scopes).unwrap()),
                    None => builder,
                };
                let builder = match store {
                    Some(store) => builder.store(store.clone()),
                    None => builder,
                };
                builder.build().unwrap()
            }};
        }
        match self {
            Self::First(service) => Client::First(build!(service)),
            Self::Second(service) => Client::Second(build!(service)),
        }
    }

    /// Returns how many tokens were created.
    fn created(&self) -> usize {
        match self {
            Self::First(service) => service.count("POST /token"),
            Self::Second(service) => service.count("POST /tokens"),
        }
    }

    fn hours(&self, hours: u64) {
        match self {
            Self::First(service) => service.hours(hours),
            Self::Second(service) => service.hours(hours),
        }
    }
}

/// What `Builder::scopes` is set to.
type Scopes = Option<&'static [&'static str]>;

const X: &[&str] = &["GET:a.it/x"];
const XY: &[&str] = &["GET:a.it/x", "GET:b.it/y"];

#[tokio::test]
async fn handles_stores_clear_and_invalidate_do_the_same_in_both_versions() {
    let mut trails = Vec::new();
    for account in Account::both(&[]).await {
        let store = MemoryStore::new();
        let client = account.client(None, Some(&store));
        let mut trail = Vec::new();
        let mut told =
            |token: Result<AccessToken, Error>| trail.push((token.unwrap().expose().to_owned(), account.created()));
        let handle = client.token_for(XY);
        told(handle.get().await);
        told(client.token(XY).await);
        told(client.token(X).await);
        told(client.token_for(X).get().await);
        on!(&client, oauth => oauth.wait_idle().await);
        told(account.client(None, Some(&store)).token(XY).await);
        account.hours(1);
        handle.invalidate(&client.token(X).await.unwrap());
        told(client.token(X).await);
        told(handle.get().await);
        on!(&client, oauth => oauth.wait_idle().await);
        told(account.client(None, Some(&store)).token(XY).await);
        on!(&client, oauth => oauth.clear().await.unwrap());
        told(handle.get().await);
        on!(&client, oauth => oauth.wait_idle().await);
        on!(&client, oauth => assert_eq!(oauth.revoke_created().await.unwrap(), 4));
        told(client.token(X).await);
        told(handle.get().await);
        account.hours(30);
        told(handle.clone().get().await);
        told(client.clone().token(X).await);
        assert_eq!(format!("{handle:?}"), "TokenHandle(GET:a.it/x GET:b.it/y)");
        trails.push(trail);
    }
    assert_eq!(trails[0], trails[1]);
}

#[tokio::test]
async fn the_same_requests_get_a_token_in_both_versions() {
    const START: &str = "https://company.openapi.com/IT-start/12485671007";
    let all: Scopes = Some(&["*:*/*"]);
    let domain: Scopes = Some(&["*:*.openapi.com/*"]);
    let local: Scopes = Some(&["GET:127.0.0.1/base"]);
    #[rustfmt::skip]
    let cases: &[(Scopes, &str, &str, Option<&str>, bool)] = &[
        (None,   "GET",     START,                                        None, true),
        (None,   "POST",    "https://company.openapi.com/",               None, true),
        (None,   "GET",     "https://imprese.openapi.it/base?x=1#y",      None, true),
        (None,   "GET",     "https://x.altravia.com/base",                None, true),
        (None,   "GET",     START,                                        Some("company.openapi.com"), true),
        (None,   "GET",     START,                                        Some("company.openapi.it"), false),
        (None,   "GET",     "https://example.com/IT-start",               None, false),
        (None,   "GET",     "https://openapi.com.example.com/IT-start",   None, false),
        (None,   "GET",     "https://notopenapi.com/IT-start",            None, false),
        (None,   "GET",     "http://company.openapi.com/IT-start",        None, false),
        (None,   "GET",     "http://127.0.0.1:1/base",                    None, false),
        (None,   "OPTIONS", START,                                        None, false),
        (local,  "GET",     "http://127.0.0.1:1/base/1",                  None, true),
        (local,  "GET",     "http://127.0.0.1:1/other",                   None, false),
        (local,  "POST",    "http://127.0.0.1:1/base",                    None, false),
        (local,  "GET",     START,                                        None, false),
        (domain, "GET",     START,                                        None, true),
        (domain, "GET",     "https://openapi.com/IT-start",               None, false),
        (domain, "GET",     "https://imprese.openapi.it/base",            None, false),
        (all,    "GET",     START,                                        None, true),
        (all,    "GET",     "https://imprese.openapi.it/base",            None, true),
        (all,    "GET",     "https://example.com/base",                   None, false),
    ];
    for (scopes, method, url, host, is_authorized) in cases {
        let mut results = Vec::new();
        for account in Account::both(&["GET:company.openapi.com/IT-start", "GET:imprese.openapi.it/base"]).await {
            let mut request = Request::new(Method::from_bytes(method.as_bytes()).unwrap(), url.parse().unwrap());
            if let Some(host) = host {
                request.headers_mut().insert(HOST, HeaderValue::from_static(host));
            }
            let client = account.client(*scopes, None);
            let result = client.authorize(&mut request).await;
            assert_eq!(
                (result.is_ok(), account.created()),
                (*is_authorized, usize::from(*is_authorized)),
                "{method} {url}: {result:?}"
            );
            let headers = request.headers();
            let authorization = headers.get(AUTHORIZATION);
            assert!(authorization.is_none_or(HeaderValue::is_sensitive));
            assert_eq!(headers.contains_key(ACCEPT), *is_authorized);
            results.push((
                result.map(|token| token.expose().to_owned()).map_err(|error| error.to_string()),
                authorization.map(|value| value.to_str().unwrap().to_owned()),
            ));
        }
        assert_eq!(results[0], results[1], "{method} {url}");
    }
}

/// A 401 from a data service: the middleware gets another token, and repeats the request once.
#[cfg(feature = "middleware")]
#[tokio::test]
async fn a_rejected_token_is_replaced_by_the_middleware_of_both_versions() {
    for account in Account::both(&[]).await {
        let client = account.client(Some(&["GET:127.0.0.1/base"]), None);
        let (url, layer) = match (&account, &client) {
            (Account::First(service), Client::First(oauth)) => (service.url(), oauth.middleware()),
            (Account::Second(service), Client::Second(oauth)) => (service.url(), oauth.middleware()),
            _ => unreachable!(),
        };
        let http = reqwest_middleware::ClientBuilder::new(crate::common::http()).with(layer).build();
        let call = || async { http.get(format!("{url}/base/1")).send().await.unwrap().status().as_u16() };
        assert_eq!((call().await, call().await, account.created()), (200, 200, 1));
        match &account {
            Account::First(service) => service.state().tokens.clear(),
            Account::Second(service) => service.state().tokens.clear(),
        }
        account.hours(1);
        assert_eq!((call().await, call().await, account.created()), (200, 200, 2));
    }
}
