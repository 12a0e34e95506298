//! Does each hot path so many times, for `run` to count its instructions under valgrind, which reads its counter whenever
//! [`mark`] is entered. Prints the paths in their order, and how often each was done.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, reason = "a program for one script")]

#[path = "../paths/mod.rs"]
mod paths;

use std::{hint::black_box, sync::Arc};

use paths::{EmbeddedQueue, HotPath};

/// Enough for what happens only sometimes (a buffer grows) to be a small part.
const TIMES: u32 = 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    paths::pure().into_iter().for_each(count);
    count(paths::queue(EmbeddedQueue::open(&Arc::new(runtime))));
}

fn count(HotPath { name, mut once }: HotPath) {
    // What is made at the first use is not counted.
    (0..3).for_each(|_| once());
    mark();
    (0..TIMES).for_each(|_| once());
    mark();
    println!("{name} {TIMES}");
}

#[inline(never)]
fn mark() {
    black_box(0);
}
