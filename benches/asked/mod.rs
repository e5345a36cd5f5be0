//! Returns whether to measure: yes under `cargo bench`, no under `cargo test --benches`, which only checks that the benchmarks
//! build.

pub fn for_figures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
