//! The calls of an account, and its credit.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use time::{Date, Month};

use super::settings::{Limit, Settings};
use crate::scope::Scope;

pub(super) struct Usage {
    calls: BTreeMap<Scope, Calls>,
    pub(super) credit: Option<Decimal>,
}

/// The calls of one scope.
#[derive(Default)]
struct Calls {
    total: u64,
    days: BTreeMap<Date, Counter>,
}

#[derive(Default)]
struct Counter {
    calls: u64,
    paid: u64,
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
    pub(super) fn new(credit: Option<Decimal>) -> Self {
        Self { calls: BTreeMap::new(), credit }
    }

    /// Counts a call and takes its price. If the credit is too low, does neither and returns `false`.
    pub(super) fn call(&mut self, scope: &Scope, day: Date, settings: &Settings) -> bool {
        let before = self.calls.get(scope).map_or(0, |calls| calls.total);
        let is_paid = match settings.limit(scope) {
            Limit::Unlimited => false,
            Limit::Calls(free) => before >= free,
            Limit::Unknown => true,
        };
        if is_paid && !settings.price.is_zero() {
            let Some(left) = self.credit.and_then(|credit| credit.checked_sub(settings.price)) else { return false };
            if left.is_sign_negative() {
                return false;
            }
            self.credit = Some(left);
        }
        let calls = self.calls.entry(scope.clone()).or_default();
        calls.total += 1;
        let counter = calls.days.entry(day).or_default();
        counter.calls += 1;
        counter.paid += u64::from(is_paid);
        true
    }

    /// Returns `data` of a counter: an entry for each scope that was called.
    pub(super) fn counters(&self, range: Range, settings: &Settings) -> Value {
        let entry = |(scope, calls): (&Scope, &Calls)| {
            let counted = calls.days.iter().filter(|(day, _)| range.has(**day));
            let (counter, paid) = counted.fold((0, 0), |(calls, paid), (_, day)| (calls + day.calls, paid + day.paid));
            if counter == 0 {
                return None;
            }
            let limit = match settings.limit(scope) {
                Limit::Unlimited => json!(false),
                Limit::Calls(free) => json!(free),
                Limit::Unknown => Value::Null,
            };
            Some((scope.to_string(), json!({ "counter": counter, "paid": paid, "limit": limit })))
        };
        Value::Object(self.calls.iter().filter_map(entry).collect::<Map<_, _>>())
    }
}

impl Range {
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
