//! Any text is a scope, a pattern, or an error: `cargo +nightly fuzz run parse`.
#![no_main]

use gettone::reqwest::{Method, Url};
use gettone::{Scope, ScopeList, ScopePattern, ScopeSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(pattern) = text.parse::<ScopePattern>() {
        assert_eq!(pattern.to_string().parse::<ScopePattern>().ok().as_ref(), Some(&pattern));
        assert!(pattern.includes(&pattern) && ScopePattern::everything().includes(&pattern));
        assert_eq!(text.parse::<Scope>().is_ok(), !pattern.has_wildcard());
    }
    if let Ok(set) = text.parse::<ScopeSet>() {
        assert_eq!(set.to_string().parse::<ScopeSet>().ok(), Some(set));
    }
    if let Ok(url) = Url::parse(text) {
        if let Ok(scope) = Scope::for_request(&Method::GET, &url) {
            assert!(!scope.path().contains('/'));
        }
    }
    // A list keeps everything that it is given.
    if let Ok(serde_json::Value::Array(entries)) = serde_json::from_str(text) {
        let count = entries.len();
        let list: ScopeList = serde_json::from_value(entries.into()).unwrap();
        assert_eq!(list.len() + list.unrecognized().len(), count);
    }
});
