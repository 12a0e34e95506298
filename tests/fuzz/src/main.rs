//! One program for all targets, as linking is what takes long: `FUZZ_TARGET` names the one that runs.
//!
//! Each target says what must hold for every input, beyond not panicking, hanging or eating memory.
#![no_main]

mod customer;
mod model;
mod outside;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    match name.as_str() {
        "trigger" => outside::trigger,
        "signature" => outside::signature,
        "callback_url" => outside::callback_url,
        "headers" => outside::headers,
        "settings" => outside::settings,
        "answer" => model::answer,
        "reply" => model::reply,
        "customer_text" => customer::text,
        _ => panic!("FUZZ_TARGET names no target: {name:?}"),
    }
});

fuzz_target!(|data: &[u8]| TARGET(data));
