//! A dropped secret is gone from memory: an allocator looks at the memory that it gets back.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use gettone::openapi::v2::{RefreshCredentials, Token};
use gettone::{AccessToken, Secret};
use zeroize::Zeroizing;

/// Long enough to occur nowhere else in memory, and as long as a sealing key. The text is built at run time, so that it is not a constant of
/// the program.
const LENGTH: usize = 32;

static FREED_WITH_MARK: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicUsize = AtomicUsize::new(0);

struct Looking;

unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that all of it may be read.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if layout.size() >= LENGTH {
            // Safety: the allocation is still ours, and all of it is initialized.
            let bytes = unsafe { std::slice::from_raw_parts(pointer, layout.size().min(4096)) };
            FREED.fetch_add(1, Ordering::Relaxed);
            if bytes.windows(LENGTH).any(|window| window.iter().enumerate().all(|(index, byte)| *byte == mark(index))) {
                FREED_WITH_MARK.fetch_add(1, Ordering::Relaxed);
            }
        }
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

fn mark(index: usize) -> u8 {
    b'a' + u8::try_from((index * index + 7 * index) % 23).unwrap_or(0)
}

fn text() -> String {
    let mut text = String::with_capacity(LENGTH);
    text.extend((0..LENGTH).map(|index| char::from(mark(index))));
    text
}

#[test]
fn a_secret_is_wiped_when_the_last_clone_is_dropped() {
    // The test can fail: the allocator sees a text that is not wiped.
    drop(text());
    assert_eq!(FREED_WITH_MARK.swap(0, Ordering::Relaxed), 1);

    let secret = Secret::new(text());
    let clone = secret.clone();
    drop(secret);
    assert_eq!(clone.expose().len(), LENGTH);
    drop(clone);
    drop(AccessToken::new(text()));
    assert_eq!(FREED_WITH_MARK.load(Ordering::Relaxed), 0);
    assert!(FREED.load(Ordering::Relaxed) > 0);

    // A token of version 2 has two secrets. The text that it is read from is the program's own.
    for (name, other) in [("token", "refreshToken"), ("refreshToken", "token")] {
        let json = format!(r#"{{"{name}":"{}","{other}":"t","expireAt":"2025-12-19T10:00:00Z"}}"#, text());
        let json = Zeroizing::new(json);
        FREED_WITH_MARK.store(0, Ordering::Relaxed);
        let token: Token = serde_json::from_str(&json).unwrap();
        let credentials = RefreshCredentials::from_token("worker", &token).unwrap();
        drop((token.clone(), token, credentials.clone(), credentials));
        assert_eq!(FREED_WITH_MARK.load(Ordering::Relaxed), 0, "{name}");
    }

    #[cfg(feature = "seal")]
    {
        use gettone::store::SealingKeys;

        let bytes = Zeroizing::new(text());
        FREED_WITH_MARK.store(0, Ordering::Relaxed);
        let keys = SealingKeys::from_bytes(bytes.as_bytes()).unwrap();
        let keys = keys.also_open_with(SealingKeys::new(bytes.as_bytes().try_into().unwrap()));
        drop((keys.clone(), keys));
        assert_eq!(FREED_WITH_MARK.load(Ordering::Relaxed), 0);
    }
}
