//! Times two things in turn, so that a slow machine slows both, and prints their ratio.
#![allow(dead_code, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The number of timed pairs.
const ROUNDS: usize = 41;
/// The shortest time that one side of a pair runs.
const BATCH: Duration = Duration::from_millis(2);

pub fn title(text: &str) {
    println!("\n{text}\n{:<52} {:>12} {:>12} {:>8}", "", "reference", "this", "ratio");
}

/// Prints a row: the medians of both, in time for one call, and the median of the ratios of the pairs.
pub fn row<A, B>(name: &str, reference: impl FnMut() -> A, subject: impl FnMut() -> B) -> f64 {
    rounds(ROUNDS, name, reference, subject)
}

/// Prints a row of fewer pairs, for calls that take long.
pub fn growth<A, B>(name: &str, reference: impl FnMut() -> A, subject: impl FnMut() -> B) -> f64 {
    rounds(ROUNDS.div_ceil(4), name, reference, subject)
}

/// Prints a row of this many pairs, for calls that vary by more than the difference in question.
pub fn rounds<A, B>(
    rounds: usize,
    name: &str,
    mut reference: impl FnMut() -> A,
    mut subject: impl FnMut() -> B,
) -> f64 {
    let (reference_calls, subject_calls) = (calls(&mut reference), calls(&mut subject));
    let mut times = Vec::new();
    for _ in 0..rounds {
        let a = time(&mut reference, reference_calls);
        let b = time(&mut subject, subject_calls);
        times.push((a, b, b / a));
    }
    let ratio = median(times.iter().map(|(_, _, ratio)| *ratio));
    let (a, b) = (median(times.iter().map(|(a, ..)| *a)), median(times.iter().map(|(_, b, _)| *b)));
    println!("{name:<52} {:>12} {:>12} {ratio:>7.2}x", shown(a), shown(b));
    ratio
}

/// Returns how many calls fill a batch.
fn calls<T>(act: &mut impl FnMut() -> T) -> u32 {
    let mut calls = 1;
    while time(act, calls) * f64::from(calls) < BATCH.as_nanos() as f64 && calls < 1 << 24 {
        calls *= 2;
    }
    calls
}

/// Returns the nanoseconds of one call.
fn time<T>(act: &mut impl FnMut() -> T, calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(act());
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn shown(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}
