//! A list as a stream, which requests its pages as it goes.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::page::{Page, PageRange};
use crate::error::Error;
use crate::secret::Secret;

/// An entry of a list with pages, which has an identity.
pub(super) trait Identified {
    fn identity(&self) -> impl Hash;
}

/// The identities that a stream has seen, of which some are tokens. Keeps a hash of 128 bits of each, with random keys: in practice, no two
/// identities share one, and nobody can tell a token from it.
#[derive(Default)]
struct Seen {
    keys: [RandomState; 2],
    hashes: HashSet<[u64; 2], BuildHasherDefault<Hashed>>,
}

/// The hash of a value that is one already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, hash: &[u8]) {
        // The last half.
        self.0 = hash.last_chunk().map_or(0, |half| u64::from_ne_bytes(*half));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Seen {
    fn hash(&self, identity: impl Hash) -> [u64; 2] {
        self.keys.each_ref().map(|key| key.hash_one(&identity))
    }

    fn contains(&self, identity: impl Hash) -> bool {
        self.hashes.contains(&self.hash(identity))
    }

    /// Returns whether the identity is new.
    fn insert(&mut self, identity: impl Hash) -> bool {
        self.hashes.insert(self.hash(identity))
    }

    fn len(&self) -> usize {
        self.hashes.len()
    }
}

type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

/// All entries of a list, as a [`Stream`] that requests one page of a hundred after the other.
///
/// Each entry comes once, even if new entries move the others to later pages. Pages overlap, which shows when entries were removed
/// meanwhile; the stream then goes back. So it misses no entry that stays in the list. After an error it ends.
///
/// If too many requests bring nothing new, it yields an error with [`is_decode`](Error::is_decode): the list changes faster than the client
/// reads it, or the service returns the same entries again and again.
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
    seen: Seen,
    unrecognized: Vec<Secret>,
    /// How many entries of a page the next one repeats.
    overlap: u8,
    /// How far the stream goes back if a page does not join the ones before.
    stride: u64,
    /// How many more requests may bring nothing new. Those that do bring something add to it.
    patience: u8,
}

/// The largest overlap: half a page.
const OVERLAP: u8 = 50;
const STRIDE: u64 = 99;
/// As many pages as new entries fill if the account makes a minute's calls, 10,000, between two requests.
const PATIENCE: u8 = 100;

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
            seen: Seen::default(),
            unrecognized: Vec::new(),
            overlap: 1,
            stride: STRIDE,
            patience: PATIENCE,
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
    fn take(&mut self, range: PageRange, page: Page<T>) -> Result<(), Error> {
        let (len, is_full) = (page.entries.len() + page.unrecognized.len(), page.next.is_some());
        let before = self.seen.len();
        // The stream has seen every entry up to some point. So if it has seen the first entry of this page, it has missed none before it.
        let joins = range.skip() == 0 || self.has_seen_first(&page);
        let next = if joins {
            self.add(page);
            self.stride = STRIDE;
            is_full.then(|| range.overlapping_next(len, self.overlap))
        } else {
            // Entries were removed, and others moved to pages before. A part of this page would hide them.
            let back = range.back(self.stride);
            self.stride = self.stride.saturating_mul(4);
            self.overlap = self.overlap.saturating_mul(4).min(OVERLAP);
            Some(back)
        };
        let is_new = self.seen.len() > before;
        // A service that returns more than it was asked for may not have pages at all.
        let is_all = joins && !is_new && len > range.limit().into();
        self.patience = match (is_new, joins, len) {
            (true, ..) => PATIENCE.min(self.patience + 1),
            (false, true, _) => self.patience.saturating_sub(1),
            (false, false, 1..) => self.patience.saturating_sub(2),
            // Nothing where the last entry was: hardly more than once in a row.
            (false, false, 0) => self.patience.saturating_sub(10),
        };
        self.next = next.filter(|_| !is_all && self.patience > 0);
        match next {
            // The end, for a service that has no entries beyond it.
            Some(_) if self.patience == 0 && len > 0 => Err(Error::decode(
                "a list that does not end: it changes faster than the client reads it, or the service ignores `skip`",
            )),
            _ => Ok(()),
        }
    }

    /// Returns whether the stream has seen the first entry of a page. One that the client cannot read is its own identity.
    fn has_seen_first(&self, page: &Page<T>) -> bool {
        match page.starts_unrecognized {
            true => page.unrecognized.first().is_some_and(|text| self.seen.contains(text.expose())),
            false => page.entries.first().is_some_and(|entry| self.seen.contains(entry.identity())),
        }
    }

    fn add(&mut self, page: Page<T>) {
        for entry in page.entries {
            if self.seen.insert(entry.identity()) {
                self.ready.push_back(entry);
            }
        }
        self.unrecognized.extend(page.unrecognized.into_iter().filter(|text| self.seen.insert(text.expose())));
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
            if let Err(error) = result.and_then(|page| this.take(range, page)) {
                return Poll::Ready(Some(Err(error)));
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    impl Identified for u64 {
        fn identity(&self) -> impl Hash {
            self
        }
    }

    /// A list at a service, which other programs change between two requests.
    #[derive(Default)]
    struct List {
        entries: Vec<u64>,
        /// The number of the next entry.
        next: u64,
        requests: usize,
    }

    impl List {
        fn of(len: u64) -> Arc<Mutex<Self>> {
            Arc::new(Mutex::new(Self { entries: (0..len).collect(), next: len, requests: 0 }))
        }

        fn insert(&mut self, at: usize, count: usize) {
            for _ in 0..count {
                self.entries.insert(at, self.next);
                self.next += 1;
            }
        }

        fn remove(&mut self, at: usize, count: usize) -> Vec<u64> {
            let end = (at + count).min(self.entries.len());
            self.entries.drain(at.min(end)..end).collect()
        }

        fn page(&mut self, range: PageRange) -> Page<u64> {
            self.requests += 1;
            let skip = usize::try_from(range.skip()).unwrap().min(self.entries.len());
            let entries = self.entries[skip..].iter().take(range.limit().into()).copied().collect();
            Page { entries, ..Page::default() }.of(range)
        }
    }

    /// Streams a list, which `change` changes before each request after the first.
    fn stream(list: &Arc<Mutex<List>>, change: impl Fn(&mut List) + Send + 'static) -> Entries<u64> {
        let list = Arc::clone(list);
        Entries::new(move |range| {
            let mut list = list.lock().unwrap();
            if list.requests > 0 {
                change(&mut list);
            }
            let page = list.page(range);
            async move { Ok(page) }
        })
    }

    async fn all(mut stream: Entries<u64>) -> Result<Vec<u64>, Error> {
        let mut all = Vec::new();
        while let Some(entry) = stream.next().await {
            all.push(entry?);
        }
        assert!(stream.is_terminated());
        Ok(all)
    }

    /// Asserts that each entry came at most once, and those that were there all the time came.
    fn assert_complete(all: &[u64], kept: impl IntoIterator<Item = u64>, what: &str) {
        let mut times: HashMap<u64, usize> = HashMap::new();
        for entry in all {
            *times.entry(*entry).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "{what}: an entry came twice");
        let lost: Vec<u64> = kept.into_iter().filter(|entry| !times.contains_key(entry)).collect();
        assert!(lost.is_empty(), "{what}: lost {lost:?}");
    }

    #[tokio::test]
    async fn a_list_that_stays_comes_in_its_order_with_one_more_request_at_most() {
        for len in [0, 1, 2, 98, 99, 100, 101, 198, 199, 200, 250, 1_000, 12_345] {
            let list = List::of(len);
            assert_eq!(all(stream(&list, |_| {})).await.unwrap(), (0..len).collect::<Vec<_>>());
            let requests = list.lock().unwrap().requests;
            assert!(requests <= usize::try_from(len / 99 + 1).unwrap(), "{len}: {requests}");
        }
    }

    #[tokio::test]
    async fn every_entry_that_stays_comes_exactly_once_whatever_changes() {
        for seed in 0..4_000 {
            let random = fastrand::Rng::with_seed(seed);
            let mut setup = fastrand::Rng::with_seed(seed ^ 0x5eed);
            let list = List::of(setup.u64(0..700));
            // At most so many changes, so that the list comes to rest.
            let (most, likely, size) = (setup.usize(0..60), setup.u8(1..=4), [3, 30, 150, 400][setup.usize(0..4)]);
            let removed: Arc<Mutex<HashSet<u64>>> = Arc::default();
            let gone = Arc::clone(&removed);
            let (random, changes) = (Mutex::new(random), Mutex::new(0));
            let entries = stream(&list, move |list| {
                let (mut random, mut changes) = (random.lock().unwrap(), changes.lock().unwrap());
                while *changes < most && random.u8(0..4) < likely {
                    *changes += 1;
                    let (len, count) = (list.entries.len(), random.usize(1..=size));
                    let at = [0, random.usize(0..=len), len.saturating_sub(count)][random.usize(0..3)];
                    if random.bool() {
                        list.insert(at, count);
                    } else {
                        gone.lock().unwrap().extend(list.remove(at, count));
                    }
                }
            });
            let first: Vec<u64> = list.lock().unwrap().entries.clone();
            let all = all(entries).await.unwrap_or_else(|error| panic!("{seed}: {error}"));
            let removed = removed.lock().unwrap();
            let kept = first.into_iter().filter(|entry| !removed.contains(entry));
            assert_complete(&all, kept, &format!("seed {seed}"));
            let requests = list.lock().unwrap().requests;
            assert!(requests < 400, "{seed}: {requests} requests");
        }
    }

    #[tokio::test]
    async fn the_list_may_become_shorter_than_what_was_read() {
        for (len, removed) in [(150, 60), (150, 100), (250, 160), (1_000, 500), (5_000, 4_500), (1_000, 999)] {
            let list = List::of(len);
            let (once, at) = (Mutex::new(false), usize::try_from(len).unwrap() / 99);
            let entries = stream(&list, move |list| {
                if list.requests == at && !std::mem::replace(&mut *once.lock().unwrap(), true) {
                    list.remove(0, removed);
                }
            });
            let all = all(entries).await.unwrap();
            let removed = u64::try_from(removed).unwrap();
            assert_complete(&all, removed..len, &format!("{len} - {removed}"));
        }
    }

    #[tokio::test]
    async fn entries_that_vanish_before_every_request_do_not_take_others_with_them() {
        for count in [1, 5, 40, 98] {
            let list = List::of(2_000);
            // From the front, as somebody deletes what they read.
            let all = all(stream(&list, move |list| drop(list.remove(0, count)))).await.unwrap();
            let list = list.lock().unwrap();
            assert_complete(&all, list.entries.iter().copied(), &format!("{count}"));
            assert!(list.requests <= 400, "{count}: {} requests", list.requests);
        }
    }

    #[tokio::test]
    async fn a_list_that_grows_as_fast_as_it_is_read_ends_with_an_error() {
        for count in [99, 150] {
            let list = List::of(1_000);
            let error = all(stream(&list, move |list| list.insert(0, count))).await.unwrap_err();
            assert!(error.is_decode(), "{error}");
            assert!(list.lock().unwrap().requests <= 200);
        }
        // Somewhat slower, it is read to its end.
        let list = List::of(1_000);
        let all = all(stream(&list, move |list| list.insert(0, 50))).await.unwrap();
        assert_complete(&all, 0..1_000, "50");
    }

    #[tokio::test]
    async fn a_burst_of_new_entries_is_skipped() {
        let list = List::of(1_000);
        let burst = |list: &mut List| {
            if list.requests == 3 {
                list.insert(0, 9_000)
            }
        };
        assert_complete(&all(stream(&list, burst)).await.unwrap(), 0..1_000, "burst");
    }

    #[tokio::test]
    async fn a_service_that_ignores_the_range_is_asked_a_few_times() {
        // All in one page.
        let requests = Arc::new(Mutex::new(0));
        let count = Arc::clone(&requests);
        let entries = Entries::new(move |range| {
            *count.lock().unwrap() += 1;
            async move { Ok(Page { entries: (0..250).collect(), ..Page::default() }.of(range)) }
        });
        assert_eq!(all(entries).await.unwrap(), (0..250).collect::<Vec<_>>());
        assert_eq!(*requests.lock().unwrap(), 2);

        // The first page again and again: what comes after it cannot be read.
        let count = Arc::clone(&requests);
        let entries = Entries::new(move |range| {
            *count.lock().unwrap() += 1;
            async move { Ok(Page { entries: (0..100).collect(), ..Page::default() }.of(range)) }
        });
        assert!(all(entries).await.unwrap_err().is_decode());
        assert!(*requests.lock().unwrap() <= 120);

        // Nothing but the first page.
        let entries = Entries::new(move |range| {
            let entries = if range.skip() == 0 { (0..100).collect() } else { Vec::new() };
            async move { Ok(Page { entries, ..Page::default() }.of(range)) }
        });
        assert_eq!(all(entries).await.unwrap(), (0..100).collect::<Vec<_>>());
    }
}
