//! Writes the fields of responses as the service does. The modules are for serde's `with`.

use std::collections::{BTreeMap, HashSet};

use rust_decimal::Decimal;
use serde::{Serialize, Serializer, ser};

use super::stats::Stats;
use crate::openapi::money;
use crate::scope::Scope;

/// An amount of money, which the service writes as a number.
struct Amount(Decimal);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        money::number(self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

pub(super) fn required_amount<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    Amount(*amount).serialize(serializer)
}

pub(super) fn amounts<S: Serializer>(amounts: &BTreeMap<String, Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(amounts.iter().map(|(name, amount)| (name, Amount(*amount))))
}

pub(super) mod amount {
    use super::{Amount, Decimal, Serialize, Serializer};
    pub(in crate::openapi::v2) use crate::openapi::v2::read::amount as deserialize;

    pub fn serialize<S: Serializer>(amount: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        amount.map(Amount).serialize(serializer)
    }
}

/// A time in UTC, with as many digits of a second as it has: `2025-11-19T10:00:00Z`.
pub(super) mod time {
    use std::time::SystemTime;

    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::{Serialize, Serializer, ser};
    pub(in crate::openapi::v2) use crate::openapi::v2::read::time as deserialize;

    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        let write = |time| text(time).ok_or_else(|| ser::Error::custom("a time that is not in the years 0 to 9999"));
        time.map(write).transpose()?.serialize(serializer)
    }

    fn text(time: SystemTime) -> Option<String> {
        let epoch = OffsetDateTime::UNIX_EPOCH;
        let time = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => epoch.checked_add(since.try_into().ok()?)?,
            Err(before) => epoch.checked_sub(before.duration().try_into().ok()?)?,
        };
        time.format(&Rfc3339).ok()
    }
}

/// The code of a failure: a number if it reads as the same text, otherwise the text.
pub(super) mod code {
    use serde_json::Number;

    use super::{Serialize, Serializer};
    pub(in crate::openapi::v2) use crate::openapi::v2::read::text as deserialize;

    pub fn serialize<S: Serializer>(code: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(code) = code else { return serializer.serialize_none() };
        match serde_json::from_str::<Number>(code) {
            Ok(number) if number.to_string() == *code => number.serialize(serializer),
            _ => code.serialize(serializer),
        }
    }
}

/// Writes the first figures of each scope, since JSON has no two entries of one name.
pub(super) fn by_scope<S: Serializer>(scopes: &[(Scope, Stats)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut seen = HashSet::new();
    serializer.collect_map(scopes.iter().filter(|(scope, _)| seen.insert(scope)).map(|(scope, stats)| (scope, stats)))
}
