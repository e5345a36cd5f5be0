//! Pages about more than one item. They are in the documentation alone, and in the repository below `docs/`.

// The definitions of the links come first, because the first one of a name counts: here they lead to the items of this version, and in
// the repository, where only those of the page itself are seen, to those of the latest.

/// [`AccessToken`]: crate::AccessToken
/// [`Builder`]: crate::Builder
/// [`Builder::http`]: crate::Builder::http
/// [`Builder::http_client`]: crate::Builder::http_client
/// [`Builder::scopes`]: crate::Builder::scopes
/// [`Builder::ttl`]: crate::Builder::ttl
/// [`create_token`]: crate::openapi::v1::Oauth::create_token
/// [`Counters`]: crate::openapi::v1::Counters
/// [`Credentials`]: crate::openapi::Credentials
#[cfg_attr(feature = "emulator", doc = "[emulator]: crate::emulator")]
/// [`Error`]: crate::Error
/// [`expose`]: crate::Secret::expose
/// [`FileStore`]: crate::store::FileStore
/// [`clear`]: crate::openapi::v1::Oauth::clear
/// [`MemoryStore`]: crate::store::MemoryStore
/// [`Oauth`]: crate::openapi::v1::Oauth
/// [`RefreshToken`]: crate::RefreshToken
/// [`revoke_created`]: crate::openapi::v1::Oauth::revoke_created
/// [`same_origin`]: crate::same_origin
/// [`ScopeList`]: crate::ScopeList
/// [`Secret`]: crate::Secret
/// [SECURITY.md]: https://docs.rs/crate/gettone/latest/source/SECURITY.md
/// [`StoredToken::to_json`]: crate::store::StoredToken::to_json
/// [`TokenList`]: crate::openapi::v1::TokenList
/// [`TokenStore`]: crate::store::TokenStore
#[doc = include_str!("../docs/security.md")]
pub mod security {}

/// [a day]: crate::Builder::ttl
/// [`authorize`]: crate::openapi::v1::Oauth::authorize
/// [`Builder::base_url`]: crate::Builder::base_url
/// [`Builder::reuse_existing`]: crate::Builder::reuse_existing
/// [`Builder::scopes`]: crate::Builder::scopes
/// [`Builder::timeout`]: crate::Builder::timeout
/// [`counters`]: crate::openapi::v1::Oauth::counters
/// [`create_token`]: crate::openapi::v1::Oauth::create_token
/// [`credit`]: crate::openapi::v1::Oauth::credit
/// [`delete_token`]: crate::openapi::v1::Oauth::delete_token
/// [`Environment`]: crate::openapi::Environment
/// [`Error`]: crate::Error
/// [`Fatture::clear`]: crate::keliweb::Fatture::clear
/// [`Fatture::token`]: crate::keliweb::Fatture::token
/// [`find_token`]: crate::openapi::v1::Oauth::find_token
/// [`invalidate`]: crate::keliweb::Fatture::invalidate
/// [`Oauth::builder`]: crate::openapi::v1::Oauth::builder
/// [`password_grant`]: crate::keliweb::Fatture::password_grant
/// [`Period::day`]: crate::openapi::Period::day
/// [`Period::month`]: crate::openapi::Period::month
/// [`Period::total`]: crate::openapi::Period::total
/// [`Period::year`]: crate::openapi::Period::year
/// [`Period`]: crate::openapi::Period
/// [`refresh`]: crate::keliweb::Fatture::refresh
/// [`replace_token`]: crate::openapi::v1::Oauth::replace_token
/// [`Retry`]: crate::Retry
/// [`Scope::sandbox`]: crate::Scope::sandbox
/// [`scopes`]: crate::openapi::v1::Oauth::list_scopes
/// [`ScopeSet::missing_from`]: crate::ScopeSet::missing_from
/// [`Secret`]: crate::Secret
/// [store]: crate::store
/// [the rest]: crate::Error::not_granted
/// [`token`]: crate::openapi::v1::Oauth::token
/// [`list_tokens_with_scope`]: crate::openapi::v1::Oauth::list_tokens_with_scope
/// [`tokens`]: crate::openapi::v1::Oauth::list_tokens
/// [`Ttl`]: crate::openapi::Ttl
/// [unlimited]: crate::openapi::v1::CounterLimit
/// [`update_token`]: crate::openapi::v1::Oauth::update_token
#[doc = include_str!("../docs/from-the-vendors-sdk.md")]
pub mod from_the_vendors_sdk {}
