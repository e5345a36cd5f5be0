//! A list as a stream, which requests its pages as it goes.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::page::{Page, PageRange};
use crate::error::Error;
use crate::secret::Secret;

/// An entry of a list with pages, which has an identity.
pub(super) trait Identified {
    fn identity(&self) -> Secret;
}

type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

/// All entries of a list, as a [`Stream`] that requests one page of a hundred after the other.
///
/// Each entry comes once, even if new entries move the others to later pages. Pages overlap by one entry, which shows when entries were
/// removed meanwhile; the stream then reads the page before again. After an error it ends.
///
/// ```no_run
/// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), gettone::Error> {
/// let mut transactions = oauth.stream_wallet_transactions();
/// while let Some(transaction) = transactions.next().await {
///     println!("{}", transaction?.amount());
/// }
/// # Ok(())
/// # }
/// ```
pub struct Entries<T> {
    fetch: Box<dyn Fn(PageRange) -> Fetching<T> + Send>,
    fetching: Option<(PageRange, Fetching<T>)>,
    /// The range to request when `ready` is empty.
    next: Option<PageRange>,
    ready: VecDeque<T>,
    seen: HashSet<Secret>,
    unrecognized: Vec<Secret>,
    /// How often the stream may still go back a page.
    returns: u8,
}

/// How often a stream goes back a page. Entries that vanish all the time would otherwise keep it going for ever.
const RETURNS: u8 = 32;

impl<T> Entries<T> {
    pub(super) fn new<F>(fetch: impl Fn(PageRange) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Page<T>, Error>> + Send + 'static,
    {
        Self {
            fetch: Box::new(move |range| Box::pin(fetch(range))),
            fetching: None,
            next: Some(PageRange::default()),
            ready: VecDeque::new(),
            seen: HashSet::new(),
            unrecognized: Vec::new(),
            returns: RETURNS,
        }
    }

    /// Returns the entries so far that the client cannot read, as JSON. Each may contain a secret.
    #[must_use]
    pub fn unrecognized(&self) -> &[Secret] {
        &self.unrecognized
    }
}

#[allow(private_bounds)] // Only entries of this crate have an identity.
impl<T: Identified + Unpin> Entries<T> {
    /// Returns the next entry, and requests a page if necessary. `None` at the end.
    ///
    /// The same as `next` of the extension traits for streams.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Takes a page in, and decides which one is next.
    fn take(&mut self, range: PageRange, page: Page<T>) {
        let len = page.entries.len() + page.unrecognized.len();
        let is_full = page.next.is_some();
        // The overlapping entry was seen, unless entries in front of it are gone.
        let has_moved = range.skip() > 0
            && page.entries.first().is_some_and(|first| !self.seen.contains(&first.identity()))
            && self.returns > 0;
        for entry in page.entries {
            if self.seen.insert(entry.identity()) {
                self.ready.push_back(entry);
            }
        }
        self.unrecognized.extend(page.unrecognized.into_iter().filter(|text| self.seen.insert(text.clone())));
        self.next = if has_moved {
            self.returns -= 1;
            range.overlapping_previous()
        } else if is_full {
            range.overlapping_next(len)
        } else {
            None
        };
    }
}

impl<T: Identified + Unpin> Stream for Entries<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(entry) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            let (range, fetching) = match &mut this.fetching {
                Some(fetching) => fetching,
                None => {
                    let Some(range) = this.next.take() else { return Poll::Ready(None) };
                    this.fetching.insert((range, (this.fetch)(range)))
                }
            };
            let (range, result) = (*range, ready!(fetching.as_mut().poll(context)));
            this.fetching = None;
            match result {
                Ok(page) => this.take(range, page),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl<T: Identified + Unpin> FusedStream for Entries<T> {
    fn is_terminated(&self) -> bool {
        self.ready.is_empty() && self.fetching.is_none() && self.next.is_none()
    }
}

impl<T> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}
