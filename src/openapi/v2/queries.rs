//! The operations that only read: scopes, wallet, logs, stats and subscriptions.

use std::sync::Arc;

use super::envelope::{Address, ByDomain};
use super::operations::{
    GET_CALLBACK, GET_SCOPE, GET_STATS, GET_STATS_API, GET_SUBSCRIPTION, GET_WALLET, LIST_STATS_APIS, LIST_STATS_IPS,
    finish_list, many, one, parameter,
};
use super::{
    ApiStats, Callback, Entries, ErrorLog, Oauth, Page, PageRange, ScopeDetail, Stats, Subscription, Transaction,
    UserScope, Wallet,
};
use crate::error::Error;
use crate::http::body::Received;
use crate::http::transport::finish;
use crate::openapi::period::{Period, Span};
use crate::scope::Scope;

impl Oauth {
    /// Lists the scopes of the vendor's catalog, and which of them the account may use: `GET /scopes`.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_scopes(&self) -> Result<Page<UserScope>, Error> {
        self.api.list_scopes().await
    }

    /// Returns the prices, the free requests and the requirements of a scope: `GET /scopes/{id}`. The id is
    /// [that of an entry](UserScope::id), not the scope.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the id cannot be part of a path.
    /// - [`is_not_found`](Error::is_not_found): there is no such entry (404, code 10).
    /// - [those of all operations](Self#errors)
    pub async fn get_scope(&self, id: &str) -> Result<ScopeDetail, Error> {
        let client = self.api.client(&GET_SCOPE);
        one(&GET_SCOPE, finish(&client.inner, client.get_scope(parameter(&GET_SCOPE, "id", id)?).await))
    }

    /// Returns what the account has left to spend: `GET /wallet`.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn wallet(&self) -> Result<Wallet, Error> {
        let client = self.api.client(&GET_WALLET);
        one(&GET_WALLET, finish(&client.inner, client.get_wallet().await))
    }

    /// Lists a page of payments from the wallet and into it: `GET /wallet/transactions`.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_wallet_transactions(&self, range: PageRange) -> Result<Page<Transaction>, Error> {
        self.api.list_wallet_transactions(range).await
    }

    /// Returns a stream of payments from the wallet and into it.
    #[must_use]
    pub fn stream_wallet_transactions(&self) -> Entries<Transaction> {
        self.stream(|api, range| async move { api.list_wallet_transactions(range).await })
    }

    /// Lists a page of failed calls: `GET /errors`. With scopes, only calls for those.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the service calls the query invalid (400, code 190).
    /// - [those of all operations](Self#errors)
    pub async fn list_errors(&self, scopes: &[Scope], range: PageRange) -> Result<Page<ErrorLog>, Error> {
        self.api.list_errors(scopes, range).await
    }

    /// Returns a stream of failed calls. With scopes, only calls for those.
    #[must_use]
    pub fn stream_errors(&self, scopes: &[Scope]) -> Entries<ErrorLog> {
        let scopes: Arc<[Scope]> = scopes.into();
        self.stream(move |api, range| {
            let scopes = Arc::clone(&scopes);
            async move { api.list_errors(&scopes, range).await }
        })
    }

    /// Lists a page of deliveries to URLs of the account: `GET /callbacks`. With scopes, only those for calls of these scopes.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the service calls the query invalid (400, code 210).
    /// - [those of all operations](Self#errors)
    pub async fn list_callbacks(&self, scopes: &[Scope], range: PageRange) -> Result<Page<Callback>, Error> {
        self.api.list_callbacks(scopes, range).await
    }

    /// Returns a stream of deliveries to URLs of the account. With scopes, only those for calls of these scopes.
    #[must_use]
    pub fn stream_callbacks(&self, scopes: &[Scope]) -> Entries<Callback> {
        let scopes: Arc<[Scope]> = scopes.into();
        self.stream(move |api, range| {
            let scopes = Arc::clone(&scopes);
            async move { api.list_callbacks(&scopes, range).await }
        })
    }

    /// Returns a delivery with what it contained: `GET /callbacks/{id}`.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the id cannot be part of a path.
    /// - [`is_not_found`](Error::is_not_found): there is no such delivery (404, code 200).
    /// - [those of all operations](Self#errors)
    pub async fn get_callback(&self, id: &str) -> Result<Callback, Error> {
        let client = self.api.client(&GET_CALLBACK);
        one(&GET_CALLBACK, finish(&client.inner, client.get_callback(parameter(&GET_CALLBACK, "id", id)?).await))
    }

    /// Returns how much the account was used in a period: `GET /stats`. The vendor does not document the time zone of its days.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the service calls the date invalid (422, code 240). No [`Period`] gives it a reason
    ///   to.
    /// - [those of all operations](Self#errors)
    pub async fn stats(&self, period: Period) -> Result<Stats, Error> {
        let client = self.api.client(&GET_STATS);
        one(&GET_STATS, finish(&client.inner, client.get_stats(date(period).as_deref()).await))
    }

    /// Returns the addresses that called in a period: `GET /stats/ips`.
    ///
    /// # Errors
    ///
    /// [Those of `stats`](Self::stats).
    pub async fn stats_ips(&self, period: Period) -> Result<Vec<String>, Error> {
        let client = self.api.client(&LIST_STATS_IPS);
        let page = many(finish_list(&client.inner, client.list_stats_ips(date(period).as_deref()).await))?;
        Ok(page.into_iter().map(|Address(text)| text).collect())
    }

    /// Returns how much each domain was used in a period: `GET /stats/apis`.
    ///
    /// # Errors
    ///
    /// [Those of `stats`](Self::stats).
    pub async fn stats_apis(&self, period: Period) -> Result<Vec<(String, Stats)>, Error> {
        let client = self.api.client(&LIST_STATS_APIS);
        let response = finish(&client.inner, client.list_stats_apis(date(period).as_deref()).await)?;
        Ok(response.map(|Received(ByDomain(all))| all).unwrap_or_default())
    }

    /// Returns how much a domain, such as `company.openapi.com`, was used in a period, and each scope of it: `GET /stats/apis/{domain}`.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the domain cannot be part of a path.
    /// - [those of `stats`](Self::stats)
    pub async fn stats_api(&self, domain: &str, period: Period) -> Result<ApiStats, Error> {
        let call = &GET_STATS_API;
        let client = self.api.client(call);
        let response = client.get_stats_api(parameter(call, "domain", domain)?, date(period).as_deref()).await;
        one(call, finish(&client.inner, response))
    }

    /// Lists a page of the account's subscriptions: `GET /subscriptions`. With scopes, only those for these.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the service calls the query invalid (400, code 230).
    /// - [those of all operations](Self#errors)
    pub async fn list_subscriptions(&self, scopes: &[Scope], range: PageRange) -> Result<Page<Subscription>, Error> {
        self.api.list_subscriptions(scopes, range).await
    }

    /// Returns a stream of the account's subscriptions. With scopes, only those for these.
    #[must_use]
    pub fn stream_subscriptions(&self, scopes: &[Scope]) -> Entries<Subscription> {
        let scopes: Arc<[Scope]> = scopes.into();
        self.stream(move |api, range| {
            let scopes = Arc::clone(&scopes);
            async move { api.list_subscriptions(&scopes, range).await }
        })
    }

    /// Returns a subscription with its prices: `GET /subscriptions/{id}`.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the id cannot be part of a path.
    /// - [`is_not_found`](Error::is_not_found): there is no such subscription (404, code 220).
    /// - [those of all operations](Self#errors)
    pub async fn get_subscription(&self, id: &str) -> Result<Subscription, Error> {
        let call = &GET_SUBSCRIPTION;
        let client = self.api.client(call);
        one(call, finish(&client.inner, client.get_subscription(parameter(call, "id", id)?).await))
    }
}

/// Returns the value of `date`. `None` for all time.
fn date(period: Period) -> Option<String> {
    (period.span() != Span::Total).then(|| period.to_string())
}
