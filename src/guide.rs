//! Pages about more than one item. They are in the documentation alone, and in the repository below `docs/`.

// The definitions of the links come first, because the first one of a name counts: here they lead to the items of this version, and in
// the repository, where only those of the page itself are seen, to those of the latest.

/// [`AccessToken`]: crate::AccessToken
/// [`Builder`]: crate::Builder
/// [`Builder::http`]: crate::Builder::http
/// [`Builder::http_client`]: crate::Builder::http_client
/// [`Builder::scopes`]: crate::Builder::scopes
/// [`Builder::ttl`]: crate::Builder::ttl
/// [`create_token`]: crate::openapi::Oauth::create_token
/// [`Counters`]: crate::openapi::Counters
/// [`Credentials`]: crate::openapi::Credentials
#[cfg_attr(feature = "emulator", doc = "[emulator]: crate::emulator")]
/// [`Error`]: crate::Error
/// [`expose`]: crate::Secret::expose
/// [`FileStore`]: crate::store::FileStore
/// [`forget`]: crate::openapi::Oauth::forget
/// [`MemoryStore`]: crate::store::MemoryStore
/// [`Oauth`]: crate::openapi::Oauth
/// [`RefreshToken`]: crate::RefreshToken
/// [`revoke_created`]: crate::openapi::Oauth::revoke_created
/// [`same_origin`]: crate::same_origin
/// [`ScopeList`]: crate::ScopeList
/// [`Secret`]: crate::Secret
/// [SECURITY.md]: https://docs.rs/crate/gettone/latest/source/SECURITY.md
/// [`StoredToken::to_json`]: crate::store::StoredToken::to_json
/// [`TokenList`]: crate::openapi::TokenList
/// [`TokenStore`]: crate::store::TokenStore
#[doc = include_str!("../docs/security.md")]
pub mod security {}

/// [a day]: crate::Builder::ttl
/// [`authorize`]: crate::openapi::Oauth::authorize
/// [`Builder::base_url`]: crate::Builder::base_url
/// [`Builder::reuse_existing`]: crate::Builder::reuse_existing
/// [`Builder::scopes`]: crate::Builder::scopes
/// [`Builder::timeout`]: crate::Builder::timeout
/// [`counters`]: crate::openapi::Oauth::counters
/// [`create_token`]: crate::openapi::Oauth::create_token
/// [`credit`]: crate::openapi::Oauth::credit
/// [`delete_token`]: crate::openapi::Oauth::delete_token
/// [`Environment`]: crate::openapi::Environment
/// [`Error`]: crate::Error
/// [`Fatture::forget`]: crate::keliweb::Fatture::forget
/// [`Fatture::token`]: crate::keliweb::Fatture::token
/// [`find_token`]: crate::openapi::Oauth::find_token
/// [`invalidate`]: crate::keliweb::Fatture::invalidate
/// [`Oauth::builder`]: crate::openapi::Oauth::builder
/// [`password_grant`]: crate::keliweb::Fatture::password_grant
/// [`Period::day`]: crate::openapi::Period::day
/// [`Period::month`]: crate::openapi::Period::month
/// [`Period::total`]: crate::openapi::Period::total
/// [`Period::year`]: crate::openapi::Period::year
/// [`Period`]: crate::openapi::Period
/// [`refresh`]: crate::keliweb::Fatture::refresh
/// [`replace_token`]: crate::openapi::Oauth::replace_token
/// [`Retry`]: crate::Retry
/// [`Scope::sandbox`]: crate::Scope::sandbox
/// [`scopes`]: crate::openapi::Oauth::scopes
/// [`ScopeSet::not_covered_by`]: crate::ScopeSet::not_covered_by
/// [`Secret`]: crate::Secret
/// [store]: crate::store
/// [the rest]: crate::Error::not_granted
/// [`token`]: crate::openapi::Oauth::token
/// [`tokens_with_scope`]: crate::openapi::Oauth::tokens_with_scope
/// [`tokens`]: crate::openapi::Oauth::tokens
/// [`Ttl`]: crate::openapi::Ttl
/// [unlimited]: crate::openapi::Limit
/// [`update_token`]: crate::openapi::Oauth::update_token
#[doc = include_str!("../docs/from-the-vendors-sdk.md")]
pub mod from_the_vendors_sdk {}
