//! The promise under faults: what is accepted ends in one outcome, posted at least once under one id, or waits in the
//! dead letters. Each row breaks something while triggers flow, and then counts what went in and what came out.
//!
//! `tests/faults/run` says how they are run.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    clippy::print_stdout,
    reason = "a fault test shall say what it saw and panic where it failed"
)]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "shared with the other test programs")]
mod support;

mod asking;
mod cluster;
mod figures;
mod ledger;
mod outside;
mod processes;
mod proxy;
mod raw;
mod rows;
mod sender;
mod settings;
mod table;

use std::time::{Instant, SystemTime};

use rows::{Row, When};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--nocapture").collect();
    // `cargo test --all-targets` passes filters for other tests; only `tests/faults/run` asks for rows.
    if !arguments.iter().any(|argument| argument == "--faults") {
        println!("fault rows run by tests/faults/run");
        return;
    }
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let words: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let named = |row: &Row| words.iter().any(|word| row.name.contains(word.as_str()));
    let exact = |row: &Row| words.iter().any(|word| row.name == word.as_str());
    let exactly = rows::ROWS.iter().any(exact);
    let chosen = |row: &&Row| match (words.is_empty(), row.when) {
        (true, When::Short) => true,
        (true, When::Full) => !given("--short"),
        (true, When::Named) => false,
        (false, _) if exactly => exact(row),
        (false, _) => named(row),
    };
    let rows: Vec<_> = rows::ROWS.iter().filter(chosen).collect();
    if rows.is_empty() {
        println!("no row is named like that");
        std::process::exit(2);
    }
    if given("--list") {
        rows.iter().for_each(|row| println!("{}", row.name));
        return;
    }
    println!("SEED={}", rows::seed());
    let began = (Instant::now(), SystemTime::now());
    let (lines, failed) = run(&rows);
    if given("--table") {
        println!("\n{}\n{}", table::head(began, rows.len()), lines.join("\n"));
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
}

/// Runs rows one after the other: their lines for the table, and the names of those that failed.
fn run(rows: &[&Row]) -> (Vec<String>, Vec<&'static str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    for row in rows {
        let began = Instant::now();
        let result = runtime.block_on(async { tokio::spawn((row.run)()).await });
        let (name, took) = (row.name, began.elapsed().as_secs());
        match result {
            Ok(figures) => {
                println!("ok    {name:<40} {took:>4} s  {figures}");
                lines.push(figures.table_line(name));
            }
            Err(error) => {
                println!("FAIL  {name:<40} {took:>4} s  {error}");
                failed.push(name);
            }
        }
    }
    (lines, failed)
}
