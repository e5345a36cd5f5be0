//! The calls of an account, and its credit.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use time::{Date, Month};

use super::catalog::Catalog;
use super::figures::{Charge, Figures};
use super::settings::{Limit, Settings};
use super::subscriptions::Subscription;
use super::wallet::Wallet;
use crate::emulator::clock::day;
use crate::scope::Scope;

pub(super) struct Usage {
    calls: BTreeMap<Scope, Calls>,
    pub(super) wallet: Wallet,
    pub(super) subscriptions: Vec<Subscription>,
}

/// The calls of one scope.
#[derive(Default)]
struct Calls {
    /// The calls that nothing paid for.
    free: u64,
    days: BTreeMap<Date, Figures>,
}

/// The days whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    Total,
    Year(i32),
    Month(i32, Month),
    Day(Date),
}

impl Usage {
    pub(super) fn new(wallet: Wallet, subscriptions: Vec<Subscription>) -> Self {
        Self { calls: BTreeMap::new(), wallet, subscriptions }
    }

    /// Returns what pays for the next call of a scope: a subscription first.
    pub(super) fn charge(&self, scope: &Scope, now: SystemTime, settings: &Settings) -> Charge {
        if self.subscriptions.iter().any(|subscription| subscription.has(scope, now)) {
            return Charge::Subscription;
        }
        let before = self.calls.get(scope).map_or(0, |calls| calls.free);
        match settings.limit(scope) {
            Limit::Unlimited => Charge::Free,
            Limit::Calls(free) if before < free => Charge::Free,
            Limit::Calls(_) | Limit::Unknown => Charge::Wallet(settings.price),
        }
    }

    /// Counts a call and takes what pays for it. If the credit is too low, does neither and returns `false`.
    pub(super) fn call(&mut self, scope: &Scope, charge: Charge, address: IpAddr, now: SystemTime) -> bool {
        match charge {
            Charge::Free => {}
            Charge::Subscription => {
                let found = self.subscriptions.iter_mut().find(|subscription| subscription.has(scope, now));
                found.into_iter().for_each(|subscription| subscription.take(now));
            }
            Charge::Wallet(price) if !self.wallet.pay(price, scope.host(), now) => return false,
            Charge::Wallet(_) => {}
        }
        let calls = self.calls.entry(scope.clone()).or_default();
        calls.free += u64::from(charge == Charge::Free);
        calls.days.entry(day(now)).or_default().add(charge, address);
        true
    }

    /// Counts a failed call of a scope that exists.
    pub(super) fn fail(&mut self, scope: &Scope, address: IpAddr, now: SystemTime, catalog: &Catalog) {
        if catalog.contains(scope) || self.calls.contains_key(scope) {
            self.calls.entry(scope.clone()).or_default().days.entry(day(now)).or_default().fail(address);
        }
    }

    /// Returns the sums for each scope that was called.
    pub(super) fn by_scope(&self, range: Range) -> impl Iterator<Item = (&Scope, Figures)> {
        let sums = self.calls.iter().map(move |(scope, calls)| {
            let mut sum = Figures::default();
            calls.days.iter().filter(|(day, _)| range.has(**day)).for_each(|(_, figures)| sum.merge(figures));
            (scope, sum)
        });
        sums.filter(|(_, sum)| !sum.is_empty())
    }

    /// Returns `data` of a counter of version 1: an entry for each scope that was called.
    pub(super) fn counters(&self, range: Range, settings: &Settings) -> Value {
        let entry = |(scope, sum): (&Scope, Figures)| {
            let limit = match settings.limit(scope) {
                Limit::Unlimited => json!(false),
                Limit::Calls(free) => json!(free),
                Limit::Unknown => Value::Null,
            };
            (scope.to_string(), json!({ "counter": sum.calls, "paid": sum.paid, "limit": limit }))
        };
        let called = self.by_scope(range).filter(|(_, sum)| sum.calls > 0);
        Value::Object(called.map(entry).collect::<Map<_, _>>())
    }
}

impl Range {
    /// Parses a `date` of version 2: a year, a month or a day.
    pub(super) fn of_date(text: &str) -> Option<Self> {
        let kind = match text.matches('-').count() {
            0 => "year",
            1 => "month",
            _ => "day",
        };
        Self::parse(kind, text)
    }

    /// Parses the kind and the date of a path; `None` for any format but the documented one.
    pub(super) fn parse(kind: &str, text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year = number(parts.next()?, 4)?;
        let range = match kind {
            "year" => Self::Year(year.into()),
            "month" => Self::Month(year.into(), month(parts.next()?)?),
            "day" => {
                let (month, day) = (month(parts.next()?)?, number(parts.next()?, 2)?);
                Self::Day(Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?)
            }
            _ => return None,
        };
        parts.next().is_none().then_some(range)
    }

    fn has(self, day: Date) -> bool {
        match self {
            Self::Total => true,
            Self::Year(year) => day.year() == year,
            Self::Month(year, month) => (day.year(), day.month()) == (year, month),
            Self::Day(other) => day == other,
        }
    }
}

fn month(text: &str) -> Option<Month> {
    Month::try_from(u8::try_from(number(text, 2)?).ok()?).ok()
}

/// Parses a number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u16> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
