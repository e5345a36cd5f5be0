//! The scopes that exist in an environment.

use std::collections::HashMap;

use super::LOOPBACK;
use super::settings::Settings;
use crate::scope::Scope;

/// The id of the first scope in production. The sandbox continues [`SANDBOX`] later.
const FIRST: u128 = 0x656d_1e2f_8b3c_2a00_0000_0000;
const SANDBOX: u128 = 1 << 32;

/// The scopes of an environment, each once, in the order in which they were added.
pub(super) struct Catalog {
    scopes: Vec<Scope>,
    places: HashMap<Scope, usize>,
    first_id: u128,
}

impl Catalog {
    pub(super) fn new(settings: &Settings, is_sandbox: bool) -> Self {
        let here = |scope: &Scope| {
            let is_everywhere = !is_sandbox || LOOPBACK.contains(&scope.host());
            if is_everywhere { scope.clone() } else { scope.sandbox().unwrap_or_else(|_| scope.clone()) }
        };
        let first_id = if is_sandbox { FIRST + SANDBOX } else { FIRST };
        let mut catalog = Self { scopes: Vec::new(), places: HashMap::new(), first_id };
        for scope in settings.catalog.iter().map(here) {
            if !catalog.contains(&scope) {
                catalog.places.insert(scope.clone(), catalog.scopes.len());
                catalog.scopes.push(scope);
            }
        }
        catalog
    }

    pub(super) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    pub(super) fn contains(&self, scope: &Scope) -> bool {
        self.places.contains_key(scope)
    }

    /// Returns each scope with its id: 24 hexadecimal digits.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, &Scope)> {
        self.scopes.iter().zip(self.first_id..).map(|(scope, id)| (format!("{id:024x}"), scope))
    }

    /// Returns the scope that has this id.
    pub(super) fn find(&self, id: &str) -> Option<(String, &Scope)> {
        let number = u128::from_str_radix(id, 16).ok()?;
        let place = usize::try_from(number.checked_sub(self.first_id)?).ok()?;
        let scope = self.scopes.get(place)?;
        // A number can be written in several ways.
        (id == format!("{number:024x}")).then(|| (id.to_owned(), scope))
    }
}
