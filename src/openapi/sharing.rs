//! Which cached tokens serve which scopes. The versions of the token service share it, because the data services decide it.

use super::requests::is_vendors as stands_for_asterisk;
use crate::scope::{ScopePattern, ScopeSet};
use crate::store::{Scopes, StoredToken};

/// Returns the set under which a token is cached.
///
/// What a wildcard is expanded to is not known, and neither is whether a token for a path is accepted below it. So a scope stays beside one
/// that covers it: it is requested by its name. Only a wildcard that another one names is dropped.
pub(super) fn normal(scopes: &ScopeSet) -> ScopeSet {
    scopes.without_named_wildcards()
}

/// Returns whether a record is a token that was requested for these scopes and granted them.
pub(super) fn is_for(token: &StoredToken, scopes: &ScopeSet) -> bool {
    let lacks = |known: &Scopes| !scopes.missing_from(&known.granted).is_empty();
    token.scopes.as_ref().is_some_and(|known| known.requested == *scopes && !lacks(known))
}

/// Returns whether tokens for these scopes may serve other sets.
pub(super) fn is_broad(scopes: &ScopeSet) -> bool {
    scopes.len() > 1 || scopes.iter().any(ScopePattern::has_wildcard)
}

/// Returns the places in the index where a broad set stands: a token is granted what was requested, or what that is expanded to.
pub(super) fn lends_at(scopes: &ScopeSet) -> Vec<u64> {
    scopes.iter().map(ScopePattern::place).collect()
}

/// Returns, for each pattern, the places of the sets whose tokens may serve it.
pub(super) fn borrows_at(scopes: &ScopeSet) -> impl Iterator<Item = Vec<u64>> {
    scopes.iter().map(ScopePattern::places_above)
}

/// Returns whether a token serves these scopes: each by its name, or by a wildcard that was requested. Whether a token for a path is
/// accepted below it is not known.
pub(super) fn serves(token: &StoredToken, scopes: &ScopeSet) -> bool {
    // What a wildcard is expanded to is not known, so a token that was requested for it and granted any part of it serves it.
    let serves = |Scopes { requested, granted }: &Scopes, pattern: &ScopePattern| {
        let expanded = || requested.names([pattern]) && granted.iter().any(|grant| pattern.names(grant));
        granted.names([pattern]) || (pattern.has_wildcard() && expanded())
    };
    // To a host that `*` does not stand for, `authorize` sends a token for `*` neither when it is new nor when it is cached.
    let is_elsewhere = |pattern: &ScopePattern| pattern.host() != "*" && !stands_for_asterisk(pattern.host());
    let is_wide = |Scopes { requested, .. }: &Scopes| requested.iter().any(|pattern| pattern.host() == "*");
    let is_kept_back = |known: &Scopes| is_wide(known) && scopes.iter().any(is_elsewhere);
    let known = token.scopes.as_ref().filter(|known| !scopes.is_empty() && !is_kept_back(known));
    known.is_some_and(|known| scopes.iter().all(|pattern| serves(known, pattern)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    use crate::scope::Scope;
    use crate::token::AccessToken;

    /// Whatever the service makes of what was asked for: a lender stands at the places where it is looked for.
    #[test]
    fn whoever_can_lend_a_token_is_found() {
        let (hosts, paths) = (["a.it", "b.a.it", "c.it", "*.it", "*.a.it", "*"], ["x", "x/y", "z", "*"]);
        let methods = ["GET", "POST", "*"];
        let mut catalogue: Vec<Scope> = Vec::new();
        for host in &hosts[..3] {
            for path in &paths[..3] {
                catalogue.extend(
                    methods[..2].iter().map(|method| format!("{method}:{host}/{path}").parse::<Scope>().unwrap()),
                );
            }
        }
        let mut rng = fastrand::Rng::with_seed(11);
        let mut set = || {
            let mut part = |parts: &[&'static str]| parts[rng.usize(..parts.len())];
            let count = part(&["1", "22", "333"]).len();
            ScopeSet::parse((0..count).map(|_| format!("{}:{}/{}", part(&methods), part(&hosts), part(&paths))))
                .unwrap()
        };
        let mut served = 0;
        for round in 0..20_000 {
            let (requested, wanted) = (normal(&set()), normal(&set()));
            // As they were asked for, as they come to, or both.
            let expanded = || requested.expand(&catalogue).map(ScopePattern::from);
            let granted: ScopeSet = match round % 3 {
                0 => requested.clone(),
                1 => expanded().collect(),
                _ => requested.iter().cloned().chain(expanded()).collect(),
            };
            let lent_at = lends_at(&requested);
            let token = StoredToken {
                access_token: AccessToken::new("t"),
                obtained_at: SystemTime::UNIX_EPOCH,
                expires_at: SystemTime::UNIX_EPOCH,
                renewal: None,
                name: None,
                scopes: Some(Scopes { requested: requested.clone(), granted }),
            };
            if serves(&token, &wanted) {
                let mut parts = borrows_at(&wanted);
                assert!(
                    parts.all(|places| places.iter().any(|place| lent_at.contains(place))),
                    "{requested} for {wanted}"
                );
                served += 1;
            }
        }
        assert!(served > 1_000, "{served}");
    }
}
