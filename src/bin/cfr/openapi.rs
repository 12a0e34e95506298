//! `cfr openapi`: the description of the interface.

use cognigy_fallback_router::ingress;

use crate::say;

pub(crate) fn run() -> anyhow::Result<()> {
    say(&ingress::document().to_pretty_json()?);
    Ok(())
}
