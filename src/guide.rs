//! Explains what concerns several items, one subject per page. The repository has the same pages in `docs/`.
//!
//! | page | subject |
//! |---|---|
//! | [Tokens](tokens) | how a token is requested, cached, refreshed and dropped, and how long a call waits |
//! | [Scopes](scopes) | what a token is good for, and which request gets which token |
//! | [Errors](errors) | what to do when a call fails, and what the client retries |
//! | [Processes](processes) | how to keep tokens after a client is dropped, and share them between processes and machines |
//! | [Testing](testing) | how to test with the emulator, a clock or a mock |
//! | [Security](security) | what the client stores, sends and prints, and what to do after a leak |
//! | [Migrating](migrating) | how to move from version 1 of Openapi.it's Oauth to version 2, or from the vendors' SDKs |
//! | [Services](services) | each operation, what the vendors document, and what they leave open |
//! | [Command line](command_line) | the program `gettone`, for shells and other languages |
//!
//! How the parts fit together:
//!
#![doc = "<div>"]
#![doc = include_str!("../docs/parts.svg")]
#![doc = "</div>"]

/// Returns the definitions of links to items, and to their methods and variants. `as`: what precedes the item in the label.
macro_rules! items {
    ($($kind:ident $module:literal $(as $prefix:literal)? => $item:ident { $($member:ident)* })*) => {
        concat!($(item!(concat!("[`" $(, $prefix)?), $module, $item, $($member)*),)*)
    };
}

/// Returns the definitions of links to one item.
macro_rules! item {
    ($label:expr, $module:literal, $item:ident, $($member:ident)*) => {
        concat!(
            $label, stringify!($item), "`]: ", $module, "::", stringify!($item), "\n",
            $($label, stringify!($item), "::", stringify!($member), "`]: ",
              $module, "::", stringify!($item), "::", stringify!($member), "\n",)*
        )
    };
}

/// Returns the definitions of links to pages.
macro_rules! pages {
    ($($label:literal => $page:ident $anchor:literal)*) => {
        concat!($("[", $label, "]: crate::guide::", stringify!($page), $anchor, "\n",)*)
    };
}

/// All links of all pages. Each page also defines the links that it uses, for readers of the repository. The definitions here come before
/// the page, and the first one of a label counts. So in the documentation the links lead to this version, and rustdoc checks them.
#[rustfmt::skip]
macro_rules! links {
    (always) => {
        items! {
            struct "crate" => AccessToken { expose }
            struct "crate" => Builder { base_url build connect_timeout http http_client limits on_store_failure renewal reuse_existing scopes store timeout token_name ttl }
            struct "crate" => Error { code is_ambiguous is_backing_off is_connect is_decode is_invalid_grant is_invalid_input is_not_found is_rate_limited is_store is_timeout is_transient is_unauthorized message not_granted operation retry_after service status }
            struct "crate" => RefreshToken {}
            struct "crate" => Retry { attempt_timeout max_retry_after }
            struct "crate" => Scope { for_request sandbox }
            struct "crate" => ScopeList {}
            struct "crate" => ScopePattern {}
            struct "crate" => ScopeSet {}
            struct "crate" => Secret { expose }
            struct "crate" => TokenHandle {}
            fn "crate" => same_origin {}
            trait "crate::clock" => Clock {}
            struct "crate::clock" => ManualClock {}
            struct "crate::keliweb" as "keliweb::" => Credentials { without_password }
            struct "crate::keliweb" => Fatture { authorize clear invalidate password_grant refresh token }
            enum "crate::openapi" => Environment { Sandbox }
            struct "crate::openapi" => Period { day day_containing month total year }
            struct "crate::openapi" => Ttl {}
            enum "crate::openapi::v1" => CounterLimit {}
            struct "crate::openapi::v1" => Counters {}
            struct "crate::openapi::v1" => Credit {}
            struct "crate::openapi::v1" as "v1::" => Oauth { authorize builder counters create_token credit delete_token find_token list_scopes list_tokens list_tokens_with_scope replace_token revoke_created token update_token }
            struct "crate::openapi::v1" as "v1::" => Token {}
            struct "crate::openapi::v1" => TokenList {}
            struct "crate::openapi::v2" => ApiStats {}
            struct "crate::openapi::v2" => Callback {}
            struct "crate::openapi::v2" => Entries { next }
            struct "crate::openapi::v2" => ErrorLog {}
            enum "crate::openapi::v2" => Limit {}
            struct "crate::openapi::v2" => NewToken {}
            struct "crate::openapi::v2" => Oauth { authorize clear create_token delete_token expand find_token get_callback get_scope get_subscription list_scopes list_tokens refresh_token revoke_created stats stats_api stats_apis stats_ips stream_callbacks stream_errors stream_subscriptions stream_tokens stream_wallet_transactions token token_for update_token wait_idle wallet }
            struct "crate::openapi::v2" => Page {}
            struct "crate::openapi::v2" => PageRange {}
            struct "crate::openapi::v2" => RefreshClient { token }
            struct "crate::openapi::v2" => RefreshCredentials {}
            enum "crate::openapi::v2" => Renewal { Extend Replace }
            struct "crate::openapi::v2" => ScopeDetail { free_limits }
            struct "crate::openapi::v2" => Stats {}
            struct "crate::openapi::v2" => Subscription {}
            struct "crate::openapi::v2" => Token { scopes }
            struct "crate::openapi::v2" => TokenLimits { ip }
            struct "crate::openapi::v2" => Transaction {}
            struct "crate::openapi::v2" => UserScope { is_enabled }
            struct "crate::openapi::v2" => Wallet {}
            struct "crate::store" => AnyStore {}
            struct "crate::store" => FileStore {}
            struct "crate::store" => MemoryStore {}
            struct "crate::store" => StoredToken { to_json }
            trait "crate::store" => TokenStore { lock }
        }
    };
    (emulator) => {
        items! {
            mod "crate" => emulator {}
            struct "crate::emulator" => Emulator { clock fail_next_on keliweb_url production_url production_v2_url sandbox_url sandbox_v2_url set_latency }
            struct "crate::emulator" => EmulatorBuilder { control }
            enum "crate::emulator" => Fault { Html LostRequest LostResponse Status StatusWithRetryAfter TruncatedResponse }
        }
    };
    (seal) => {
        items! {
            enum "crate::store" => Sealing { WithCredentials WithKeys }
            struct "crate::store" => FileStore { with_sealing }
        }
    };
    (redis) => {
        items! {
            struct "crate::store" => RedisStore {}
            struct "crate::store" => RedisStoreBuilder { replicas }
        }
    };
    (middleware) => {
        items! {
            struct "crate" => Middleware {}
            struct "crate::keliweb" as "keliweb::" => Credentials { without_password }
            struct "crate::keliweb" => Fatture { middleware }
            struct "crate::openapi::v2" => Oauth { middleware }
        }
    };
    // In the documentation a picture is part of the page, and what the text refers to is one transparent dot.
    (pictures) => {
        "[token-life]: data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    };
    (pages) => {
        pages! {
            "Tokens" => tokens ""
            "states" => tokens "#the-states-of-a-token"
            "lifetimes" => tokens "#the-states-of-a-token"
            "how long" => tokens "#how-long-a-call-waits"
            "pauses after a failure" => tokens "#after-a-failure"
            "a rejected token" => tokens "#a-rejected-token"
            "every request" => tokens "#every-request"
            "before the end" => tokens "#before-the-program-ends"
            "lost responses" => tokens "#lost-responses"
            "renewal" => tokens "#renewal-in-version-2"
            "limits" => tokens "#limits-for-a-token-that-leaks"
            "company proxy" => tokens "#behind-a-company-proxy"
            "without the key" => tokens "#a-client-without-the-api-key"
            "Scopes" => scopes ""
            "gets no token" => scopes "#what-authorize-requests"
            "cached scopes" => scopes "#which-cached-token-serves-a-call"
            "wildcards" => scopes "#what-a-wildcard-becomes"
            "not granted" => scopes "#what-was-not-granted"
            "Errors" => errors ""
            "retries" => errors "#retries"
            "ambiguous calls" => errors "#ambiguous-calls"
            "time limits" => errors "#time-limits"
            "retry-after" => errors "#retry-after"
            "a data service fails" => errors "#when-a-data-service-fails"
            "processes" => processes ""
            "how one token serves all" => processes "#how-one-token-serves-all"
            "store failures" => processes "#when-a-store-fails"
            "own store" => processes "#a-store-of-your-own"
            "manual clock" => testing "#mocks-and-clocks"
            "stored where" => security "#what-is-stored-where"
            "who can" => security "#what-each-secret-is-worth"
            "Sealed records" => security "#sealed-records"
            "on the wire" => security "#on-the-wire"
            "the file" => security "#the-file"
            "printed" => security "#what-is-printed-and-traced"
            "version 1 to version 2" => migrating "#from-version-1-to-version-2"
            "codes" => migrating "#codes-with-two-meanings"
            "Services" => services ""
            "version 2" => services "#openapiit-version-2"
            "version 1" => services "#openapiit-version-1"
            "open questions" => services "#what-version-2-leaves-open"
            "reported" => services "#what-users-report"
            "revocation" => services "#what-keliweb-documents"
            "login page" => services "#how-the-server-software-behaves"
            "report it" => services "#if-a-service-behaves-otherwise"
            "command line" => command_line ""
        }
    };
}

macro_rules! page {
    ($page:ident $(, $attribute:meta)*) => {
        page!($page = stringify!($page) $(, $attribute)*);
    };
    ($page:ident = $file:expr $(, $attribute:meta)*) => {
        #[doc = links!(always)]
        #[cfg_attr(feature = "emulator", doc = links!(emulator))]
        #[cfg_attr(feature = "middleware", doc = links!(middleware))]
        #[cfg_attr(feature = "redis", doc = links!(redis))]
        #[cfg_attr(feature = "seal", doc = links!(seal))]
        #[doc = links!(pages)]
        #[doc = links!(pictures)]
        #[doc = include_str!(concat!("../docs/", $file, ".md"))]
        $(#[$attribute])*
        pub mod $page {}
    };
}

page!(tokens, doc = "<div>", doc = include_str!("../docs/token-life.svg"), doc = "</div>");
page!(scopes);
page!(errors);
page!(processes);
// Its programs need the emulator.
#[cfg(any(feature = "emulator", not(doctest)))]
page!(testing);
page!(security);
page!(migrating);
page!(services);
page!(command_line = "command-line");

/// Checks that each page defines its links at its end, as [`links`] says, and that every anchor is a heading.
///
/// ```
/// use std::collections::BTreeSet;
/// use std::fs::read_to_string;
///
/// let read = |file: &str| read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
/// let mut links: Vec<(String, String)> = Vec::new();
/// for line in read("src/guide.rs").lines().map(str::trim).filter(|line| !line.starts_with('/')) {
///     match line.split('"').collect::<Vec<_>>()[..] {
///         // "label" => page "#anchor"
///         ["", label, page, anchor, ""] => links.push((label.to_owned(), format!("{}.md{anchor}", page.replace("=>", "").trim().replace('_', "-")))),
///         // kind "module" => Item { member member }, or kind "module" as "prefix" => Item { member member }
///         [kind, module, rest] | [kind, module, _, _, rest] if module.starts_with("crate") => {
///             let prefix = line.split_once(r#"" as ""#).map_or("", |(_, rest)| rest.split('"').next().unwrap());
///             let mut words = rest.split_whitespace().filter(|word| !["=>", "{", "}", "{}"].contains(word));
///             let (kind, item) = (kind.trim(), words.next().unwrap());
///             let folder = format!("https://docs.rs/gettone/latest/{}", module.replace("crate", "gettone").replace("::", "/"));
///             let url = if kind == "mod" { format!("{folder}/{item}/index.html") } else { format!("{folder}/{kind}.{item}.html") };
///             links.push((format!("`{prefix}{item}`"), url.clone()));
///             for member in words {
///                 let of = if member.starts_with(char::is_uppercase) { "variant" } else { "method" };
///                 links.push((format!("`{prefix}{item}::{member}`"), format!("{url}#{of}.{member}")));
///             }
///         }
///         _ => {}
///     }
/// }
/// assert!(links.len() > 100, "{links:?}");
///
/// // In the documentation a blank line would end a picture.
/// for picture in ["token-life", "parts"] {
///     let picture = read_to_string(format!("{}/docs/{picture}.svg", env!("CARGO_MANIFEST_DIR"))).unwrap();
///     assert!(picture.lines().all(|line| !line.trim().is_empty()));
/// }
///
/// let slug = |heading: &str| -> String {
///     let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
///     kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
/// };
/// for page in ["tokens", "scopes", "errors", "processes", "testing", "security", "migrating", "services", "command-line"] {
///     let text = read(&format!("docs/{page}.md"));
///     let is_definition = |line: &&str| line.starts_with('[') && line.contains("]: ");
///     let (defined, prose): (Vec<&str>, Vec<&str>) = text.lines().partition(is_definition);
///     let prose = prose.join("\n");
///     let used = links.iter().filter(|(label, _)| prose.contains(&format!("[{label}]")));
///     let wanted: BTreeSet<String> = used.map(|(label, target)| format!("[{label}]: {target}")).collect();
///     let defined: BTreeSet<String> = defined.into_iter().filter(|line| !line.ends_with(".svg")).map(str::to_owned).collect();
///     let (lacking, spare) = (&wanted - &defined, &defined - &wanted);
///     assert!(lacking.is_empty() && spare.is_empty(), "docs/{page}.md lacks {lacking:#?}, and has too much: {spare:#?}");
///
///     let own = prose.split("](#").skip(1).map(|rest| (page, rest.split(')').next().unwrap()));
///     let others = wanted.iter().filter_map(|line| line.split_once("]: ")?.1.split_once(".md#"));
///     for (page, anchor) in own.chain(others) {
///         let headings = read(&format!("docs/{page}.md"));
///         assert!(headings.lines().any(|line| line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == anchor), "{page}: {anchor}");
///     }
/// }
/// ```
#[cfg(doctest)]
struct Links;
