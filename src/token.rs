//! Access tokens and refresh tokens, and the rules for those that can be sent.

use serde::Deserialize;

use crate::secret::Secret;

/// Defines a kind of token. Both kinds have the same form, and are separate types so that they cannot be mixed up.
macro_rules! token_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
        #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline, transform = crate::json::first_paragraph))]
        #[serde(transparent)]
        pub struct $type(Secret);

        impl $type {
            /// Wraps a token that you have stored yourself.
            #[must_use]
            pub fn new(token: impl Into<Secret>) -> Self {
                Self(token.into())
            }

            /// Returns the text of the token.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose()
            }
        }

        impl From<&str> for $type {
            fn from(token: &str) -> Self {
                Self::new(token)
            }
        }

        impl From<String> for $type {
            fn from(token: String) -> Self {
                Self::new(token)
            }
        }

        impl From<Secret> for $type {
            fn from(token: Secret) -> Self {
                Self(token)
            }
        }

        impl From<$type> for Secret {
            fn from(token: $type) -> Self {
                token.0
            }
        }
    };
}

token_type! {
    /// An access token, which goes into a request as `Authorization: Bearer` (RFC 6750, section 2.1). Opaque.
    ///
    /// Like a [`Secret`], it is never printed.
    ///
    /// ```
    /// use gettone::AccessToken;
    ///
    /// let token = AccessToken::new("0123456789abcdef");
    /// assert_eq!(format!("{token:?}"), "AccessToken(Secret(redacted))");
    /// assert_eq!(token.expose(), "0123456789abcdef");
    /// ```
    AccessToken
}

token_type! {
    /// A refresh token, which a service exchanges for a new access token (RFC 6749, section 1.5). Opaque.
    ///
    /// Like a [`Secret`], it is never printed. It works once: the exchange returns the next one.
    ///
    /// ```no_run
    /// # async fn run(fatture: gettone::keliweb::Fatture, stored: String) -> Result<(), gettone::Error> {
    /// use gettone::RefreshToken;
    ///
    /// let pair = fatture.refresh(&RefreshToken::new(stored)).await?;
    /// # let _ = pair;
    /// # Ok(())
    /// # }
    /// ```
    RefreshToken
}

/// The longest token that the client accepts, in bytes. Servers reject a longer line of a request (nginx and Apache accept 8 KiB by
/// default), so a longer token could never be used. It could not even be deleted.
const MAX_LENGTH: usize = 8 * 1024;

const EMPTY: &str = "the token is empty";
const TOO_LONG: &str = "the token is longer than 8 KiB";
const NO_HEADER: &str = "the token has a character that is not allowed in a header";
const NO_PATH: &str = "the token cannot be part of a URL path";

/// Everything that [`check_sendable`] returns. No text contains a value.
pub(crate) const RULES: [&str; 4] = [EMPTY, TOO_LONG, NO_HEADER, NO_PATH];

/// Checks that an access token from a service or a store can be sent, both as `Authorization: Bearer` and as one segment of a path,
/// as Openapi.it requires. Returns the rule that it breaks.
///
/// RFC 6750, section 2.1, allows fewer characters, but all visible ASCII is harmless in a header (RFC 9110, section 5.5).
pub(crate) fn check_sendable(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err(EMPTY),
        _ if token.len() > MAX_LENGTH => Err(TOO_LONG),
        _ if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(NO_HEADER),
        _ if misread_in_path(token).is_some() => Err(NO_PATH),
        _ => Ok(()),
    }
}

/// Returns whether a refresh token from a service or a store can be sent. One of Keliweb Fatture goes into a form, which takes any
/// character. One of version 2 of Openapi.it goes into a header; the code that sends it checks its characters.
pub(crate) fn is_usable_refresh_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_LENGTH
}

/// Returns why a server would not read a text as one segment of a path, even percent-encoded (URL standard, section 4.4).
pub(crate) fn misread_in_path(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("empty"),
        "." | ".." => Some("`.` and `..` cannot be part of a URL path"),
        _ if text.contains('\\') => Some("a backslash cannot be part of a URL path"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_can_be_sent_breaks_no_rule() {
        let longest = "a".repeat(MAX_LENGTH);
        for token in
            ["t", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "a-._~+/=", "...", "!\"#$%&'()*,:;<>?@[]^`{|}", &longest]
        {
            assert_eq!(check_sendable(token), Ok(()), "{token}");
        }
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for (token, rule) in [
            ("", EMPTY),
            (too_long.as_str(), TOO_LONG),
            ("a b", NO_HEADER),
            (" ", NO_HEADER),
            ("a\n", NO_HEADER),
            ("a\r\nx: y", NO_HEADER),
            ("\u{7f}", NO_HEADER),
            ("\0", NO_HEADER),
            ("\u{e8}", NO_HEADER),
            (".", NO_PATH),
            ("..", NO_PATH),
            ("a\\b", NO_PATH),
        ] {
            assert_eq!(check_sendable(token), Err(rule), "{token:?}");
            assert!(RULES.contains(&rule));
        }
    }
}
