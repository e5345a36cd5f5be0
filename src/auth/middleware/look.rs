//! Searches the beginning of a response's body for a phrase, and leaves the body whole.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body as _, Frame, SizeHint};
use reqwest::{Body, Response, ResponseBuilderExt};

use crate::runtime;

/// The time limit of the whole search. A short body arrives together with its head. Without the middleware, the caller would have had
/// the head at once.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// The longest part of a body that is read. A response that says why it rejects a token is short.
const MAX_READ: usize = 64 * 1024;

/// Returns whether the body of a response contains a phrase, in any letter case, and the unchanged response. `None` if the body is too
/// long, or does not arrive in time.
pub(super) async fn contains_phrase(response: Response, phrase: &str) -> (Option<bool>, Response) {
    if response.content_length().is_some_and(|length| length > MAX_READ as u64) {
        return (None, response);
    }
    // The conversion to `http` and back drops the URL.
    let url = ::http::Response::builder().url(response.url().clone()).body(());
    let (mut parts, body) = ::http::Response::<Body>::from(response).into_parts();
    parts.extensions.extend(url.map(|url| url.into_parts().0.extensions).unwrap_or_default());
    let mut partly_read = PartlyRead { read: Vec::new(), next: None, rest: Some(body) };
    let has_ended = runtime::until(runtime::after(TIME_LIMIT), partly_read.read_on()).await.unwrap_or(false);
    let found = partly_read.read.windows(phrase.len()).any(|part| part.eq_ignore_ascii_case(phrase.as_bytes()));
    let known = (found || has_ended).then_some(found);
    (known, ::http::Response::from_parts(parts, Body::wrap(partly_read)).into())
}

/// A partly read body. It yields what was read, then the frame that ended the reading, then the rest.
struct PartlyRead {
    read: Vec<u8>,
    /// The trailers, or the error that ended the body.
    next: Option<Result<Frame<<Body as http_body::Body>::Data>, reqwest::Error>>,
    rest: Option<Body>,
}

impl PartlyRead {
    /// Reads up to the limit, and returns whether that is the whole body. Dropping the future loses nothing.
    async fn read_on(&mut self) -> bool {
        while let Some(rest) = &mut self.rest {
            if self.read.len() > MAX_READ {
                return false;
            }
            match poll_fn(|context| Pin::new(&mut *rest).poll_frame(context))
                .await
                .map(|frame| frame.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => self.read.extend_from_slice(&data),
                Some(Ok(Err(trailers))) => {
                    self.next = Some(Ok(trailers));
                    return true;
                }
                Some(Err(error)) => {
                    self.next = Some(Err(error));
                    return true;
                }
                None => self.rest = None,
            }
        }
        true
    }
}

impl http_body::Body for PartlyRead {
    type Data = <Body as http_body::Body>::Data;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read).into()))));
        }
        if let Some(next) = self.next.take() {
            // Nothing follows an error.
            self.rest = self.rest.take().filter(|_| next.is_ok());
            return Poll::Ready(Some(next));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.next.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let read = self.read.len() as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(rest.lower().saturating_add(read));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::task::ready;

    use bytes::Bytes;
    use http::HeaderMap;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use tokio::time::{Instant, Timeout, timeout};

    use super::*;

    /// The next piece of a body.
    #[derive(Debug, Clone)]
    enum Piece {
        Data(Vec<u8>),
        Trailers,
        Error,
    }

    /// A body that arrives as a script says: each piece after so many milliseconds.
    struct Scripted {
        script: VecDeque<(u64, Piece)>,
        pause: Option<Pin<Box<Timeout<std::future::Pending<()>>>>>,
        is_sized: bool,
    }

    impl http_body::Body for Scripted {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            let Some((pause, _)) = self.script.front() else { return Poll::Ready(None) };
            let pause = Duration::from_millis(*pause);
            let pause = self.pause.get_or_insert_with(|| Box::pin(timeout(pause, std::future::pending())));
            let _ = ready!(pause.as_mut().poll(context));
            self.pause = None;
            Poll::Ready(self.script.pop_front().map(|(_, piece)| match piece {
                Piece::Data(data) => Ok(Frame::data(data.into())),
                Piece::Trailers => Ok(Frame::trailers(trailers())),
                Piece::Error => Err(io::Error::other("broken")),
            }))
        }

        fn size_hint(&self) -> SizeHint {
            let left =
                self.script.iter().map(|(_, piece)| if let Piece::Data(data) = piece { data.len() as u64 } else { 0 });
            if self.is_sized { SizeHint::with_exact(left.sum()) } else { SizeHint::new() }
        }
    }

    fn trailers() -> HeaderMap {
        HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))])
    }

    /// Reads a body to its end. Returns the data, the trailers, and whether it ended with an error.
    async fn drain(mut body: impl http_body::Body<Data = Bytes> + Unpin) -> (Vec<u8>, Option<HeaderMap>, bool) {
        let mut all = (Vec::new(), None, false);
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => all.0.extend_from_slice(&data),
                Ok(Err(frame)) => all.1 = frame.into_trailers().ok(),
                Err(_) => {
                    all.2 = true;
                    break;
                }
            }
        }
        all
    }

    /// Returns what `contains_phrase` must return for a body.
    fn expected(script: &[(u64, Piece)], is_sized: bool) -> Option<bool> {
        let length: usize =
            script.iter().map(|(_, piece)| if let Piece::Data(data) = piece { data.len() } else { 0 }).sum();
        if is_sized && length > 65_536 {
            return None;
        }
        let (mut seen, mut now) = (String::new(), 0);
        let mut has_ended = true;
        for (pause, piece) in script {
            now += pause;
            if now > 2_000 || seen.len() > 65_536 {
                has_ended = false;
                break;
            }
            match piece {
                Piece::Data(data) => seen += std::str::from_utf8(data).unwrap(),
                Piece::Trailers | Piece::Error => break,
            }
        }
        has_ended &= seen.len() <= 65_536;
        let found = seen.to_lowercase().contains("wrong token");
        (found || has_ended).then_some(found)
    }

    /// No sum of these is two seconds.
    const PAUSES: [u64; 9] = [0, 0, 0, 0, 1, 300, 900, 1_300, 5_000_000];

    fn script() -> impl Strategy<Value = Vec<(u64, Piece)>> {
        let long = ["x".repeat(1_000), "x".repeat(40_000), "x".repeat(65_536), "x".repeat(65_525)];
        let text =
            select(&["wrong token", "Wrong", " TOKEN", "wro", "ng token", "x", "{}"][..]).prop_map(str::to_owned);
        let data = prop_oneof![6 => text, 1 => select(long.to_vec())].prop_map(|text| Piece::Data(text.into()));
        let end = prop_oneof![3 => Just(None), 1 => Just(Some(Piece::Trailers)), 1 => Just(Some(Piece::Error))];
        let paused = (select(&PAUSES[..]), data);
        (vec(paused, 0..6), select(&PAUSES[..]), end)
            .prop_map(|(script, pause, end)| script.into_iter().chain(end.map(|end| (pause, end))).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) })]

        #[test]
        fn whatever_comes_of_a_body_when_it_stays_whole(script in script(), is_sized in any::<bool>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let body = || Scripted { script: script.clone().into(), pause: None, is_sized };
                let url: reqwest::Url = "https://a.it/b?c".parse().unwrap();
                let response = ::http::Response::builder().status(401).version(http::Version::HTTP_10).header("x-a", "b");
                let response: Response =
                    response.url(url.clone()).extension(7_u8).body(Body::wrap(body())).unwrap().into();
                let (began, length) = (Instant::now(), response.content_length());
                let (found, response) = contains_phrase(response, "Wrong Token").await;
                assert!(began.elapsed() <= TIME_LIMIT);
                assert_eq!(found, expected(&script, is_sized));
                assert_eq!((response.status().as_u16(), response.version()), (401, http::Version::HTTP_10));
                assert_eq!((response.url(), response.headers()["x-a"].as_bytes()), (&url, &b"b"[..]));
                assert_eq!(response.extensions().get(), Some(&7_u8));
                // A length that the head did not name may be known by now.
                assert!(length.is_none() || response.content_length() == length);
                let (_, rest) = ::http::Response::<Body>::from(response).into_parts();
                assert!(drain(rest).await == drain(body()).await, "it is not as it came");
            });
        }
    }
}
