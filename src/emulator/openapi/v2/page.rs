//! The pages of a list, and its filter by scope.

use std::collections::HashSet;

use super::Call;
use super::answer::Failure;
use crate::scope::Scope;

/// The default size of a page, and the largest one.
const LARGEST: usize = 100;

/// The requested part of a list.
pub(super) struct Page {
    limit: usize,
    skip: usize,
    /// If set, only entries with one of these scopes.
    scopes: Option<HashSet<String>>,
}

impl Page {
    /// Parses `limit`, `skip` and `scopes` of the query. Returns `invalid` if the list does not accept one of them.
    pub(super) fn parse(call: &Call<'_>, invalid: Failure) -> Result<Self, Failure> {
        let mut page = Self { limit: LARGEST, skip: 0, scopes: None };
        for (name, value) in form_urlencoded::parse(call.request.query.as_bytes()) {
            match name.as_ref() {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LARGEST).contains(limit));
                    page.limit = limit.ok_or(invalid)?;
                }
                "skip" => page.skip = value.parse().map_err(|_| invalid)?,
                "scopes" if !value.is_empty() => {
                    let scopes = value.split(',').map(|text| text.parse::<Scope>());
                    let texts = scopes.map(|scope| scope.map(|scope| scope.to_string()).map_err(|_| invalid));
                    page.scopes = Some(texts.collect::<Result<_, _>>()?);
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// Returns whether the list has entries with this scope.
    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
    }

    /// Returns the entries of the page.
    pub(super) fn of<T>(&self, entries: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        entries.skip(self.skip).take(self.limit)
    }
}
