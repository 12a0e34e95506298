//! Which callback URLs and addresses may be dialled.

use ipnet::IpNet;
use serde::Deserialize;

/// What a profile allows its callbacks to reach.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Hosts that a trigger's `callbackUrl` may name: exact, or `*.example.com` for every name below; each with an
    /// optional `:port` (443 otherwise). Empty: triggers may not name a callback.
    pub allow_hosts: Vec<String>,
    /// Private networks that callbacks may reach all the same (in-cluster targets). Metadata addresses never.
    pub allow_private_cidrs: Vec<IpNet>,
    /// Permit `http://`.
    pub allow_http: bool,
}
