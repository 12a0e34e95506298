//! The promise under faults: what is accepted ends in one outcome, posted at least once under one id, or waits in the
//! dead letters. Each row breaks something while triggers flow, and then counts what went in and what came out.
//!
//! `tests/faults/run [NAME…]` runs the rows whose names contain one of the words, or all; `--short` runs the selection
//! for CI. The seed is printed; `SEED=…` repeats a schedule.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    clippy::print_stdout,
    reason = "a fault test shall say what it saw and panic where it failed"
)]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "shared with the other test programs")]
mod support;

mod ledger;
mod outside;
mod processes;
mod rows;
mod sender;

use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--nocapture").collect();
    // `cargo test --all-targets` passes filters for other tests; only `tests/faults/run` asks for rows.
    if !arguments.iter().any(|argument| argument == "--faults") {
        println!("fault rows run by tests/faults/run");
        return;
    }
    let short = arguments.iter().any(|argument| argument == "--short");
    let words: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut failed = Vec::new();
    for row in rows::ROWS {
        let named = words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()));
        if !named || (short && !row.short) {
            continue;
        }
        let began = Instant::now();
        let result = runtime.block_on(async { tokio::spawn((row.run)()).await });
        let took = began.elapsed().as_secs();
        match result {
            Ok(figures) => println!("ok    {:<34} {took:>4} s  {figures}", row.name),
            Err(error) => {
                println!("FAIL  {:<34} {took:>4} s  {error}", row.name);
                failed.push(row.name);
            }
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
}
