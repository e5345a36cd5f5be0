//! The account's tokens, their short ids, and which of them this machine keeps.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use gettone::openapi::{v1, v2};
use gettone::store::StoredToken;
use gettone::{AccessToken, ScopeList, ScopePattern, ScopeSet};

use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::commands::account::{Listed, all, oauth_v1, oauth_v2};
use crate::failure::Failure;
use crate::kept::{self, Kept};

/// A token of the account, of either version.
pub struct Token {
    pub id: String,
    pub token: AccessToken,
    /// What the token is good for. `None` if the service does not say.
    pub scopes: Option<ScopeSet>,
    pub expires_at: SystemTime,
    /// Whether the token file of this machine has it.
    pub is_kept: bool,
    /// What only version 2 says.
    pub of_v2: Option<v2::Token>,
}

/// Returns the short id of a token.
pub fn short_id(token: &AccessToken) -> String {
    digest(&SHA256, token.expose().as_bytes()).as_ref().iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the scopes that a list of the service has, also those that are patterns.
fn granted(scopes: &ScopeList) -> ScopeSet {
    let patterns = scopes.unrecognized().iter().filter_map(|text| text.parse::<ScopePattern>().ok());
    scopes.iter().cloned().map(ScopePattern::from).chain(patterns).collect()
}

impl From<v1::Token> for Token {
    fn from(token: v1::Token) -> Self {
        let (scopes, expires_at) = (Some(granted(token.scopes())), token.expires_at());
        let token = token.token().clone();
        Self { id: short_id(&token), token, scopes, expires_at, is_kept: false, of_v2: None }
    }
}

impl From<v2::Token> for Token {
    fn from(of_v2: v2::Token) -> Self {
        let (token, scopes, expires_at) = (of_v2.token().clone(), of_v2.scopes().map(granted), of_v2.expires_at());
        Self { id: short_id(&token), token, scopes, expires_at, is_kept: false, of_v2: Some(of_v2) }
    }
}

impl Token {
    pub fn name(&self) -> Option<&str> {
        self.of_v2.as_ref().and_then(v2::Token::name)
    }
}

/// The account's tokens, of either version.
pub enum Account {
    V1(v1::Oauth),
    V2(v2::Oauth),
}

impl Account {
    pub async fn open(version: ApiVersion, context: &Context) -> Result<Self, Failure> {
        match version {
            ApiVersion::V1 => oauth_v1(context).await.map(Self::V1),
            ApiVersion::V2 => oauth_v2(context).await.map(Self::V2),
        }
    }

    pub async fn tokens(&self, context: &Context) -> Result<Listed<Token>, Failure> {
        let mut listed: Listed<Token> = match self {
            Self::V1(oauth) => {
                let tokens = oauth.list_tokens().await?;
                let unreadable = tokens.unrecognized().len();
                Listed::new(tokens.into_iter().map(Token::from).collect(), unreadable, context)
            }
            Self::V2(oauth) => {
                let Listed { entries, unreadable } = all(oauth.stream_tokens(), None, context).await?;
                Listed { entries: entries.into_iter().map(Token::from).collect(), unreadable }
            }
        };
        let kept = kept(context).await;
        for token in &mut listed.entries {
            token.is_kept = kept.iter().any(|kept| is_same(kept, &token.token));
        }
        Ok(listed)
    }

    pub async fn delete(&self, token: &AccessToken) -> Result<(), gettone::Error> {
        match self {
            Self::V1(oauth) => oauth.delete_token(token).await,
            Self::V2(oauth) => oauth.delete_token(token).await,
        }
    }
}

/// Returns what the token file has. If the file cannot be read, only warns: the user can still list and delete tokens.
pub async fn kept(context: &Context) -> Vec<Kept> {
    kept::tokens(&context.settings.store).await.unwrap_or_else(|failure| {
        context.output.warn(&format!("which tokens are kept here is not known: {failure}"));
        Vec::new()
    })
}

/// Returns whether a record is that of a token.
pub fn is_record_of(stored: &StoredToken, token: &AccessToken) -> bool {
    Kept::read(String::new(), stored.to_json().expose()).is_some_and(|kept| is_same(&kept, token))
}

pub fn is_same(kept: &Kept, token: &AccessToken) -> bool {
    kept.token.as_ref().is_some_and(|kept| kept.expose() == token.expose())
}

/// How many digits a short id has, and how many of them say which one is meant at least.
const DIGITS: RangeInclusive<usize> = 4..=10;

/// Checks the form of a short id. An error never shows the text, which may be a token by mistake.
pub fn check(text: &str, number: usize) -> Result<(), Failure> {
    if DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "argument {number} is not a short id, which has 4 to 10 hexadecimal digits; `gettone openapi tokens` shows it. If it is a token: \
         other users can read the arguments of a program, so name it by its short id, or delete it with `-` and the token on stdin"
    )))
}

/// Returns the place in the list of the token whose short id begins so.
pub fn find(tokens: &[Token], text: &str) -> Result<usize, Failure> {
    let text = text.to_ascii_lowercase();
    let mut found = tokens.iter().enumerate().filter(|(_, token)| token.id.starts_with(&text));
    match (found.next(), found.next()) {
        (Some((place, _)), None) => Ok(place),
        (None, _) => Err(Failure::other(format!(
            "no token of the account has the short id {text}; `gettone openapi tokens` lists them. The sandbox, production and the two \
             versions have different tokens"
        ))),
        _ => {
            let ids = tokens.iter().filter(|token| token.id.starts_with(&text)).map(|token| token.id.as_str());
            let ids = ids.collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("{text} is the beginning of several short ids: {ids}; give more digits")))
        }
    }
}
