//! Tells the program what it is built from: `--version` and `cfr_build_info` say it.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks with a build script through its environment and its standard output"
)]

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=GIT_SHA");
    println!("cargo::rustc-env=CFR_REVISION={}", revision());
    println!("cargo::rustc-env=CFR_RUSTC={}", rustc());
    println!("cargo::rustc-env=CFR_TARGET={}", env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned()));
}

/// `GIT_SHA`, as a container build without a repository gives it, else what git says.
fn revision() -> String {
    let given = env::var("GIT_SHA").ok().filter(|sha| !sha.trim().is_empty());
    given.or_else(committed).unwrap_or_else(|| "unknown".to_owned())
}

/// Only for optimised builds: the others would be made anew after every commit.
fn committed() -> Option<String> {
    if env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let directory = said("git", &["rev-parse", "--git-dir"])?;
    for file in ["HEAD", "index"] {
        println!("cargo::rerun-if-changed={directory}/{file}");
    }
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"])?;
    let dirty = said("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    Some(if dirty { format!("{commit}-dirty") } else { commit })
}

/// The second word of `rustc --version`.
fn rustc() -> String {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = said(&compiler, &["--version"]).unwrap_or_default();
    version.split(' ').nth(1).unwrap_or("unknown").to_owned()
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
