//! What the operations of version 2 return.

use std::fmt::{Debug, Display};

use gettone::RefreshToken;
use gettone::openapi::v2::{
    ApiStats, Callback, ErrorLog, Page, ScopeDetail, Stats, Subscription, Token, TokenLimits, Transaction, UserScope,
    Wallet,
};

use super::openapi_v1::{all, texts};
use super::*;

fn or_none(value: Option<impl Display>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn at(moment: Option<SystemTime>) -> String {
    or_none(moment.map(iso))
}

fn owned<const N: usize>(texts: [Option<&str>; N]) -> Vec<String> {
    texts.into_iter().flatten().map(str::to_owned).collect()
}

/// An entry of a list, or an object of its own.
trait Entry: Debug + Send + Sync + 'static {
    fn line(&self) -> String;

    fn assert_well_formed(&self) {}

    /// The texts of the service, which mean what the service likes.
    fn words(&self) -> Vec<String>;
}

/// Defines a call that returns one of these.
macro_rules! returned_alone {
    ($($type:ty),*) => {
        $(impl Returned for $type {
            fn text(&self) -> String {
                self.line()
            }

            fn assert_is_in(&self, _: &[u8]) {
                self.assert_well_formed();
            }

            fn visible(&self) -> Vec<String> {
                self.words()
            }
        })*
    };
}

returned_alone!(ApiStats, Callback, ScopeDetail, Stats, Subscription, Token, Wallet);

impl<T: Entry> Returned for Page<T> {
    fn text(&self) -> String {
        self.iter().map(Entry::line).collect::<Vec<_>>().join(" | ")
    }

    fn assert_is_in(&self, body: &[u8]) {
        self.iter().for_each(Entry::assert_well_formed);
        let count = self.len() + self.unrecognized().len();
        assert_eq!(laws::entries(body).unwrap_or(count), count);
        assert!(self.next_range().is_none() || count >= 100);
    }

    fn visible(&self) -> Vec<String> {
        self.iter().flat_map(Entry::words).collect()
    }

    fn is_absence(&self) -> bool {
        self.is_empty() && self.unrecognized().is_empty()
    }
}

/// What a stream returned.
impl Returned for Vec<Token> {
    fn text(&self) -> String {
        self.iter().map(Entry::line).collect::<Vec<_>>().join(" | ")
    }

    fn assert_is_in(&self, _: &[u8]) {
        self.iter().for_each(Entry::assert_well_formed);
    }

    fn visible(&self) -> Vec<String> {
        self.iter().flat_map(Entry::words).collect()
    }

    fn is_absence(&self) -> bool {
        self.is_empty()
    }
}

impl Returned for Option<Token> {
    fn text(&self) -> String {
        self.as_ref().map_or("none".to_owned(), Entry::line)
    }

    fn assert_is_in(&self, _: &[u8]) {
        self.iter().for_each(Entry::assert_well_formed);
    }

    fn visible(&self) -> Vec<String> {
        self.iter().flat_map(Entry::words).collect()
    }

    fn is_absence(&self) -> bool {
        self.is_none()
    }
}

/// Addresses.
impl Returned for Vec<String> {
    fn text(&self) -> String {
        self.join(" ")
    }

    fn assert_is_in(&self, body: &[u8]) {
        assert!(self.len() <= laws::entries(body).unwrap_or(usize::MAX) && !self.contains(&String::new()));
    }

    fn visible(&self) -> Vec<String> {
        self.clone()
    }
}

/// Figures of each domain.
impl Returned for Vec<(String, Stats)> {
    fn text(&self) -> String {
        self.iter().map(|(domain, stats)| format!("{domain} {}", stats.line())).collect::<Vec<_>>().join(" | ")
    }

    fn assert_is_in(&self, body: &[u8]) {
        assert!(self.len() <= laws::Data::read(body).and_then(laws::Data::len).unwrap_or(usize::MAX));
    }

    fn visible(&self) -> Vec<String> {
        self.iter().flat_map(|(domain, stats)| [vec![domain.clone()], stats.words()].concat()).collect()
    }
}

impl Entry for Token {
    fn line(&self) -> String {
        let stats = self.stats().line();
        let refresh_token = or_none(self.refresh_token().map(RefreshToken::expose));
        format!(
            "{} {}, {} to {}, changed {}, {}, refresh {refresh_token}, at most {}, used {stats}",
            self.token().expose(),
            or_none(self.name()),
            at(self.created_at()),
            iso(self.expires_at()),
            at(self.updated_at()),
            or_none(self.scopes().map(all)),
            limits(self.limits()),
        )
    }

    fn assert_well_formed(&self) {
        self.scopes().into_iter().for_each(laws::assert_rereads);
        laws::assert_sendable(self.token().expose());
        let elsewhere = self.words().join(" ");
        laws::assert_hidden(self, self.token().expose(), &elsewhere);
        if let Some(token) = self.refresh_token() {
            assert!((1..=laws::LONGEST_TOKEN).contains(&token.expose().len()));
            laws::assert_hidden(self, token.expose(), &elsewhere);
        }
    }

    fn words(&self) -> Vec<String> {
        let ips = self.limits().allowed_ips().iter().chain(self.stats().ips()).cloned();
        let scopes = self.scopes().map(texts).unwrap_or_default();
        owned([self.name()]).into_iter().chain(ips).chain(scopes).collect()
    }
}

fn limits(limits: &TokenLimits) -> String {
    format!(
        "{}/{}/{}/{} from [{}]",
        limits.max_total_requests(),
        limits.max_wallet_requests(),
        limits.max_subscription_requests(),
        limits.max_wallet_amount(),
        limits.allowed_ips().join(" "),
    )
}

impl Entry for UserScope {
    fn line(&self) -> String {
        format!("{} {} {}", or_none(self.id()), self.scope(), self.is_enabled())
    }

    fn assert_well_formed(&self) {
        laws::assert_is_scope(self.scope());
    }

    fn words(&self) -> Vec<String> {
        owned([self.id(), Some(self.scope().as_str())])
    }
}

impl Entry for ScopeDetail {
    fn line(&self) -> String {
        let free = self.free_limits();
        let free = format!("{}/{}/{}/{}", free.day(), free.month(), free.year(), free.total());
        let needs: Vec<_> = self.requirements().iter().map(|(name, is)| format!("{name}={is}")).collect();
        let prices: Vec<_> = self.prices().iter().map(|(name, price)| format!("{name}={price}")).collect();
        let (id, scope, is_enabled) = (self.id(), self.scope(), self.is_enabled());
        let rate = self.rate_limit();
        format!("{id} {scope} {is_enabled}, rate {rate}, free {free}, needs {needs:?}, costs {prices:?}")
    }

    fn assert_well_formed(&self) {
        laws::assert_is_scope(self.scope());
    }

    fn words(&self) -> Vec<String> {
        let keys = self.requirements().keys().chain(self.prices().keys()).cloned();
        let words = owned([Some(self.id()), Some(self.scope().as_str()), self.rate_limit().limited()]);
        words.into_iter().chain(keys).collect()
    }
}

impl Entry for Wallet {
    fn line(&self) -> String {
        format!("{}, {} to {}", self.credit(), at(self.created_at()), at(self.updated_at()))
    }

    fn assert_well_formed(&self) {
        assert_eq!(self.credit().to_string().parse(), Ok(self.credit()));
    }

    fn words(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Entry for Transaction {
    fn line(&self) -> String {
        format!("{} {} {} {}", self.id(), self.amount(), at(self.created_at()), or_none(self.description()))
    }

    fn words(&self) -> Vec<String> {
        owned([Some(self.id()), self.description()])
    }
}

impl Entry for ErrorLog {
    fn line(&self) -> String {
        let (id, when, status) = (self.id(), at(self.at()), or_none(self.status()));
        let [scope, domain, code, message, ip] =
            [self.scope(), self.domain(), self.code(), self.message(), self.ip()].map(or_none);
        format!("{id} {scope} {domain} {when} {status} {code} {message} {ip}")
    }

    fn words(&self) -> Vec<String> {
        owned([Some(self.id()), self.scope(), self.domain(), self.code(), self.message(), self.ip()])
    }
}

impl Entry for Callback {
    fn line(&self) -> String {
        let [scope, domain, url, method, field] =
            [self.scope(), self.domain(), self.url(), self.method(), self.field()].map(or_none);
        let [created, started, completed] = [self.created_at(), self.started_at(), self.completed_at()].map(at);
        let [data, custom, headers] = [self.data(), self.custom(), self.headers()].map(or_none);
        let (id, status, is_active) = (self.id(), or_none(self.status()), or_none(self.is_active()));
        let (attempt, retries) = (or_none(self.attempt()), or_none(self.retries()));
        let elapsed = or_none(self.elapsed().map(|elapsed| elapsed.as_millis()));
        format!(
            "{id} {scope} {domain} {url} {method} {field} {status} {is_active} {created} {started} {completed} {elapsed} ms \
             {attempt}/{retries} {data} {custom} {headers}"
        )
    }

    fn words(&self) -> Vec<String> {
        owned([Some(self.id()), self.scope()])
    }
}

impl Entry for Stats {
    fn line(&self) -> String {
        let [total, wallet, subscription, errors, ips, apis, scopes] = [
            self.total_requests(),
            self.wallet_requests(),
            self.subscription_requests(),
            self.error_requests(),
            self.total_ips(),
            self.total_apis(),
            self.total_scopes(),
        ]
        .map(or_none);
        let (amount, from) = (or_none(self.wallet_amount()), self.ips().join(" "));
        format!("{total}/{wallet}/{subscription}/{errors}/{amount}, {ips}/{apis}/{scopes} from [{from}]")
    }

    fn words(&self) -> Vec<String> {
        self.ips().to_vec()
    }
}

impl Entry for ApiStats {
    fn line(&self) -> String {
        let scopes = self.scopes().iter().map(|(scope, stats)| format!("; {scope} {}", stats.line()));
        scopes.fold(self.stats().line(), |text, scope| text + &scope)
    }

    fn assert_well_formed(&self) {
        self.scopes().iter().for_each(|(scope, _)| laws::assert_is_scope(scope));
    }

    fn words(&self) -> Vec<String> {
        let scopes = self.scopes().iter().flat_map(|(scope, stats)| [vec![scope.to_string()], stats.words()].concat());
        self.stats().words().into_iter().chain(scopes).collect()
    }
}

impl Entry for Subscription {
    fn line(&self) -> String {
        let [scope, domain, kind] = [self.scope(), self.domain(), self.kind()].map(or_none);
        let [starts, expires, created, updated] =
            [self.starts_at(), self.expires_at(), self.created_at(), self.updated_at()].map(at);
        let [left, total] = [self.available_requests(), self.total_requests()].map(or_none);
        let [price, per_request] = [self.price(), self.price_per_request()].map(or_none);
        let [is_active, is_renewed] = [self.is_active(), self.is_auto_renewed()].map(or_none);
        let id = self.id();
        format!(
            "{id} {scope} {domain} {is_active} {left}/{total} {starts} to {expires} {price} {per_request} {kind} {is_renewed} \
             {created} {updated}"
        )
    }

    fn words(&self) -> Vec<String> {
        owned([Some(self.id()), self.scope(), self.domain(), self.kind()])
    }
}
