//! What this program was built from, as `build.rs` of the package found out.

/// The version of the package (SemVer).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, with `-dirty` where the tree differed from it; `unknown` where nobody could say, and in debug builds,
/// which would otherwise be built anew for every commit.
pub const REVISION: &str = env!("CFR_REVISION");

/// The version of the compiler.
pub const RUSTC: &str = env!("CFR_RUSTC");

/// The platform that it was built for.
pub const TARGET: &str = env!("CFR_TARGET");

/// What `--version` says beside the name.
pub const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("CFR_REVISION"),
    ", rustc ",
    env!("CFR_RUSTC"),
    ", ",
    env!("CFR_TARGET"),
    ")"
);
