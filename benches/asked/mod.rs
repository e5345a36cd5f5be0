//! Whether figures are wanted: `cargo bench` says so, and `cargo test --benches`, which only wants to know that it builds, does not.

pub fn for_figures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
