//! Tests through the real application and its ports. Pure tables stand beside the code they test.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a failed test shall panic where it failed, and its name is its documentation"
)]

mod support;

mod admin;
mod answers;
mod bench;
mod callbacks;
mod clocks;
mod cognigy_recipes;
mod command;
mod connections;
mod console;
mod conversations;
mod customer_text;
mod deploy;
mod doctor;
mod exchanges;
mod extension;
mod gateway_breaker;
mod gateway_models;
mod gateway_replies;
mod hedging;
mod held;
mod history;
mod house;
mod ingress;
mod injection;
mod journey;
mod lanes;
mod manual;
mod mutants;
mod openapi;
mod operator;
mod panics;
mod prompts;
mod queue;
mod queues_command;
mod reload;
mod rules;
mod series;
mod sessions;
mod settings;
mod settling;
mod signature_vectors;
mod signatures;
mod signing;
mod simulators;
mod slots;
mod spending;
mod supervised;
mod tls;
mod tokens;
mod traces;
mod triggers;
mod urls;
mod validations;
mod worker;
