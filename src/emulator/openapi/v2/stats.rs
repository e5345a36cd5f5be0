//! What an account has used: in all, by address, and by domain.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::{Failure, data};
use crate::emulator::message::Response;
use crate::emulator::openapi::figures::Figures;
use crate::emulator::openapi::ledger::Ledger;
use crate::emulator::openapi::number;
use crate::emulator::openapi::usage::Range;

const INVALID_DATE: Failure = Failure::coded(422, 240, "Invalid date format, must be YYYY or YYYY-MM or YYYY-MM-DD");

/// The figures of one domain.
#[derive(Default)]
struct Domain {
    sum: Figures,
    scopes: BTreeMap<String, Figures>,
}

/// Responds to one of the four operations.
pub(super) fn respond(operation: &str, ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let date = form_urlencoded::parse(call.request.query.as_bytes()).find(|(name, _)| name == "date");
    let range = date.map_or(Some(Range::Total), |(_, date)| Range::of_date(&date)).ok_or(INVALID_DATE)?;
    let mut domains: BTreeMap<String, Domain> = BTreeMap::new();
    let mut sum = Figures::default();
    for (scope, figures) in ledger.usage.by_scope(range) {
        sum.merge(&figures);
        let domain = domains.entry(scope.host().to_owned()).or_default();
        domain.sum.merge(&figures);
        domain.scopes.insert(scope.to_string(), figures);
    }
    let shown = match operation {
        "list_stats_ips" => json!(sum.addresses),
        "list_stats_apis" => {
            let shown = domains.into_iter().map(|(name, domain)| (name, Value::Object(domain.shown())));
            Value::Object(shown.collect())
        }
        "get_stats_api" => {
            let domain = domains.remove(call.parameter.as_ref()).unwrap_or_default();
            let mut shown = domain.shown();
            shown.insert("ip".to_owned(), json!(domain.sum.addresses));
            let scopes = domain.scopes.iter().map(|(scope, figures)| {
                let mut shown = counts(figures);
                shown.insert("ip".to_owned(), json!(figures.addresses));
                (scope.clone(), Value::Object(shown))
            });
            shown.insert("scopes".to_owned(), Value::Object(scopes.collect()));
            shown.into()
        }
        _ => {
            let mut shown = counts(&sum);
            shown.insert("totalIps".to_owned(), sum.addresses.len().into());
            shown.insert("totalApis".to_owned(), domains.len().into());
            shown.into()
        }
    };
    Ok(data(&shown))
}

impl Domain {
    fn shown(&self) -> Map<String, Value> {
        let mut shown = counts(&self.sum);
        shown.insert("totalIps".to_owned(), self.sum.addresses.len().into());
        shown.insert("totalScopes".to_owned(), self.scopes.len().into());
        shown
    }
}

/// Returns the figures that all forms of the stats have.
fn counts(figures: &Figures) -> Map<String, Value> {
    let counts = [
        ("totalRequests", (figures.calls + figures.errors).into()),
        ("walletRequests", figures.paid.into()),
        ("subscriptionRequests", figures.subscribed.into()),
        ("errorRequests", figures.errors.into()),
        ("walletAmount", number(figures.amount)),
    ];
    counts.map(|(name, value): (&str, Value)| (name.to_owned(), value)).into_iter().collect()
}
