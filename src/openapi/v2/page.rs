//! One page of a list, and which entries it holds.

use std::fmt;
use std::ops::Index;

use crate::error::Error;
use crate::scope::Entries as Count;
use crate::secret::Secret;

/// The part of a list that a call returns: how many entries it skips, and how many it returns at most.
///
/// The default is the first hundred.
///
/// ```
/// use gettone::openapi::v2::PageRange;
///
/// let second = PageRange::new(50, 50)?;
/// assert_eq!((second.skip(), second.limit()), (50, 50));
/// assert!(PageRange::new(0, 101).unwrap_err().is_invalid_input());
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRange {
    skip: u64,
    limit: u8,
}

/// The most entries that the service returns in a page.
const LIMIT: u8 = 100;

impl Default for PageRange {
    fn default() -> Self {
        Self { skip: 0, limit: LIMIT }
    }
}

impl PageRange {
    /// Creates a range.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the limit is not in 1 to 100, which is the vendor's maximum.
    pub fn new(skip: u64, limit: u8) -> Result<Self, Error> {
        match limit {
            1..=LIMIT => Ok(Self { skip, limit }),
            _ => Err(Error::invalid_input(format!("page of {limit} entries: expected 1 to {LIMIT}"))),
        }
    }

    /// Returns how many entries the call skips.
    #[must_use]
    pub fn skip(self) -> u64 {
        self.skip
    }

    /// Returns how many entries the call returns at most.
    #[must_use]
    pub fn limit(self) -> u8 {
        self.limit
    }

    /// Returns the range after this one, if this one was full.
    pub(super) fn next(self, len: usize) -> Option<Self> {
        let skip = self.skip.checked_add(self.limit.into()).filter(|_| len >= self.limit.into())?;
        Some(Self { skip, ..self })
    }

    /// Returns the range after this one, which had `len` entries, with the last `overlap` of them.
    pub(super) fn overlapping_next(self, len: usize, overlap: u8) -> Self {
        let len = u64::try_from(len).unwrap_or(u64::MAX).saturating_sub(overlap.into());
        Self { skip: self.skip.saturating_add(len), ..self }
    }

    /// Returns the range that begins so many entries before this one.
    pub(super) fn back(self, entries: u64) -> Self {
        Self { skip: self.skip.saturating_sub(entries), ..self }
    }
}

/// A page of a list, in the service's order, which the vendor does not document.
///
/// Entries that the client cannot read are in [`unrecognized`](Self::unrecognized). [`Debug`](fmt::Debug) prints only the number of
/// these.
///
/// ```no_run
/// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), gettone::Error> {
/// use gettone::openapi::v2::PageRange;
///
/// let page = oauth.list_wallet_transactions(PageRange::default()).await?;
/// for transaction in &page {
///     println!("{}", transaction.amount());
/// }
/// if let Some(range) = page.next_range() {
///     let second = oauth.list_wallet_transactions(range).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub(super) entries: Vec<T>,
    pub(super) unrecognized: Vec<Secret>,
    /// Whether the first entry is one of the unrecognized.
    pub(super) starts_unrecognized: bool,
    pub(super) next: Option<PageRange>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), unrecognized: Vec::new(), starts_unrecognized: false, next: None }
    }
}

impl<T> Page<T> {
    /// Records which range the page is.
    pub(super) fn of(mut self, range: PageRange) -> Self {
        self.next = range.next(self.entries.len() + self.unrecognized.len());
        self
    }

    pub(super) fn map<U>(self, change: impl Fn(T) -> U) -> Page<U> {
        let Self { entries, unrecognized, starts_unrecognized, next } = self;
        Page { entries: entries.into_iter().map(change).collect(), unrecognized, starts_unrecognized, next }
    }

    /// Returns an iterator over the entries.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entries as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.entries
    }

    /// Returns the range of the next page. `None` if this is the last one: it has fewer entries than its limit.
    ///
    /// A full page may be the last one too; the next one is then empty. New entries move the others to later pages: a stream such as
    /// [`stream_tokens`](super::Oauth::stream_tokens) allows for that.
    #[must_use]
    pub fn next_range(&self) -> Option<PageRange> {
        self.next
    }

    /// Returns the entries that the client cannot read, as JSON. Each may contain a secret.
    #[must_use]
    pub fn unrecognized(&self) -> &[Secret] {
        &self.unrecognized
    }
}

impl<T: fmt::Debug> fmt::Debug for Page<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("entries", &self.entries)
            .field("unrecognized", &Count(self.unrecognized.len()))
            .field("next", &self.next)
            .finish()
    }
}

impl<T> Index<usize> for Page<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.entries[index]
    }
}

impl<T> IntoIterator for Page<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Page<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
