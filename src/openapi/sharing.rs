//! Decides which cached token serves which scopes. All versions of the token service share these rules: the data services set them.

use super::requests::is_vendors as stands_for_asterisk;
use crate::scope::{ScopePattern, ScopeSet};
use crate::store::{ManagedToken, Scopes};

/// Returns the set under which the client caches a token.
///
/// The vendor documents neither what the service expands a wildcard to, nor whether a data service accepts a token for a path below that
/// path. So the client keeps a scope beside a pattern that covers it, and requests it by name. It drops only a wildcard that another
/// wildcard names.
pub(super) fn normal(scopes: &ScopeSet) -> ScopeSet {
    scopes.without_named_wildcards()
}

/// Returns whether a stored token was requested for these scopes, and granted them.
pub(super) fn is_for(token: &ManagedToken, scopes: &ScopeSet) -> bool {
    let lacks = |known: &Scopes| !scopes.missing_from(&known.granted).is_empty();
    token.scopes.as_ref().is_some_and(|known| known.requested == *scopes && !lacks(known))
}

/// Returns whether tokens for these scopes may serve other sets.
pub(super) fn is_broad(scopes: &ScopeSet) -> bool {
    scopes.len() > 1 || scopes.iter().any(ScopePattern::has_wildcard)
}

/// Returns the index positions of a broad set. Its token is granted the requested patterns, or what the service expands them to.
pub(super) fn lends_at(scopes: &ScopeSet) -> Vec<u64> {
    scopes.iter().map(ScopePattern::place).collect()
}

/// Returns, for each pattern, the index positions of the sets whose tokens may serve it.
pub(super) fn borrows_at(scopes: &ScopeSet) -> impl Iterator<Item = Vec<u64>> {
    scopes.iter().map(ScopePattern::places_above)
}

/// Returns whether a token serves these scopes: each of them by its name, or by a wildcard that was requested. A path serves nothing below
/// it, because it is not known whether a data service accepts that.
pub(super) fn serves(token: &ManagedToken, scopes: &ScopeSet) -> bool {
    // It is not known what a wildcard expands to. So a token that was requested for a wildcard, and granted any part of it, serves it.
    let serves = |Scopes { requested, granted }: &Scopes, pattern: &ScopePattern| {
        let expanded = || requested.names([pattern]) && granted.iter().any(|grant| pattern.names(grant));
        granted.names([pattern]) || (pattern.has_wildcard() && expanded())
    };
    // `authorize` never sends a token for `*` to a host outside the three domains, whether the token is new or cached.
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

    /// However the service expands the requested scopes: the index finds every set whose token serves another set.
    #[test]
    fn the_index_finds_every_set_that_can_lend_its_token() {
        let (hosts, paths) = (["a.it", "b.a.it", "c.it", "*.it", "*.a.it", "*"], ["x", "x/y", "z", "*"]);
        let methods = ["GET", "POST", "*"];
        let mut catalog: Vec<Scope> = Vec::new();
        for host in &hosts[..3] {
            for path in &paths[..3] {
                catalog.extend(
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
            // As requested, as expanded, or both.
            let expanded = || requested.expand(&catalog).map(ScopePattern::from);
            let granted: ScopeSet = match round % 3 {
                0 => requested.clone(),
                1 => expanded().collect(),
                _ => requested.iter().cloned().chain(expanded()).collect(),
            };
            let lent_at = lends_at(&requested);
            let token = ManagedToken {
                access_token: AccessToken::new("t"),
                obtained_at: SystemTime::UNIX_EPOCH,
                expires_at: SystemTime::UNIX_EPOCH,
                renewal: None,
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
