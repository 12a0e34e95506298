//! Which callback URLs and addresses may be dialled: the guard against server-side request forgery.
//!
//! A URL is checked twice. Its text, when it is accepted and again before every try: [`Egress::check_trigger_url`],
//! [`Egress::check_configured_url`]. Its addresses, when it is dialled: [`Egress::resolver`] looks a name up once, wants
//! every answer permitted, and hands exactly those answers to the connector, so that a name that changes between check and
//! connect (DNS rebinding) gains nothing. The connector never asks a resolver for a literal address, so the check of the
//! text judges those.

mod addresses;
mod allow_list;
mod form;
mod resolver;

use std::{error::Error, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use reqwest::dns::Resolve;
use serde::Deserialize;
use url::{Host, Url};

use allow_list::AllowList;

/// What a profile allows its callbacks, or a source of conversations, to reach.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct EgressConfig {
    /// Hosts that an address named by others (a trigger's `callbackUrl`, CXone's discovery) may have: exact, or
    /// `*.example.com` for every name below; each with an optional `:port` (`:*` for any; the scheme's own otherwise). Empty:
    /// none. Addresses in the settings need no entry.
    pub allow_hosts: Vec<String>,
    /// Private networks that may be reached all the same (in-cluster targets). Metadata addresses never.
    #[schemars(with = "Vec<String>")]
    pub allow_private_cidrs: Vec<IpNet>,
    /// Permit `http://`.
    pub allow_http: bool,
}

/// Why a URL may not be called. It never repeats the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// More than 2048 bytes.
    #[error("is longer than 2048 bytes")]
    TooLong,
    /// The URL standard would silently drop or change these, so that two readers could see two URLs.
    #[error("contains a control or invisible character, white space or a backslash")]
    Character,
    /// Not `scheme://host…`.
    #[error("is not an absolute URL")]
    NotAUrl,
    /// Neither `https` nor, where allowed, `http`.
    #[error("has a scheme that is not allowed")]
    Scheme,
    /// `user:password@`, even if empty.
    #[error("contains user information")]
    UserInfo,
    /// `#…`, even if empty.
    #[error("contains a fragment")]
    Fragment,
    /// Port 0.
    #[error("has port 0")]
    Port,
    /// Its host and port are not on the profile's allow-list, or there is none.
    #[error("has a host or port that is not allowed")]
    Host,
    /// An address, or one of the answers for its name, may not be dialled; or the name has none.
    #[error("leads to an address that is not allowed")]
    Address,
    /// The name was not resolved in time.
    #[error("has a host whose address was not found in time")]
    LookupTimeout,
    /// An entry of `allow_hosts` is not of the form `host`, `host:port`, `host:*` or `*.host…`; counted from 1.
    #[error("allow_hosts: entry {0} is not a host")]
    AllowList(usize),
}

impl EgressError {
    /// The refusal of [`Egress::resolver`] inside an HTTP client's error: such a request was never sent, and repeating it
    /// is of no use unless the name changes.
    #[must_use]
    pub fn in_chain(error: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref().copied())
    }
}

/// The rules of one profile. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    rules: Arc<Rules>,
    configured: Option<Url>,
}

struct Rules {
    allow_list: AllowList,
    private: Vec<IpNet>,
    allow_http: bool,
}

impl Egress {
    /// Prepares the rules and checks the configured callback URL by them; it need not be on the allow-list.
    ///
    /// # Errors
    /// When an entry of the allow-list is malformed, or the configured URL may not be called.
    pub fn new(config: &EgressConfig, configured_url: Option<&str>) -> Result<Self, EgressError> {
        let rules = Rules {
            allow_list: AllowList::new(&config.allow_hosts)?,
            private: config.allow_private_cidrs.clone(),
            allow_http: config.allow_http,
        };
        let mut egress = Self { rules: Arc::new(rules), configured: None };
        egress.configured = configured_url.map(|url| egress.check_configured_url(url)).transpose()?;
        Ok(egress)
    }

    /// The configured callback URL, checked.
    #[must_use]
    pub fn configured_url(&self) -> Option<&Url> {
        self.configured.as_ref()
    }

    /// Checks a URL that a trigger names: form, allow-list, and the address if it is a literal one.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_trigger_url(&self, raw: &str) -> Result<Url, EgressError> {
        let url = form::parse(raw, self.rules.allow_http)?;
        if !self.rules.allow_list.allows(&url) {
            return Err(EgressError::Host);
        }
        self.check_literal_address(url)
    }

    /// Checks a URL that an upstream named while it was discovered, by the rules of [`Egress::check_trigger_url`]: whoever
    /// can forge that answer shall not choose who gets our credentials.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_discovered_url(&self, raw: &str) -> Result<Url, EgressError> {
        self.check_trigger_url(raw)
    }

    /// Checks a URL that the operator wrote: as [`Egress::check_trigger_url`], without the allow-list.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_configured_url(&self, raw: &str) -> Result<Url, EgressError> {
        self.check_literal_address(form::parse(raw, self.rules.allow_http)?)
    }

    /// True when this address may be dialled: public, or in one of the allowed private networks.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.rules.permits(address)
    }

    /// The resolver for the HTTP client of callbacks, over the names that the operating system knows. A refused name makes
    /// the request fail with an error in which [`EgressError::in_chain`] finds the reason.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        self.resolver_over(Arc::new(resolver::System))
    }

    /// The same over another source of names.
    #[must_use]
    pub fn resolver_over(&self, names: Arc<dyn Resolve>) -> Arc<dyn Resolve> {
        Arc::new(resolver::Guarded::new(Arc::clone(&self.rules), names))
    }

    fn check_literal_address(&self, url: Url) -> Result<Url, EgressError> {
        let permitted = match url.host() {
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => self.permits(address.into()),
            Some(Host::Ipv6(address)) => self.permits(address.into()),
            None => return Err(EgressError::NotAUrl),
        };
        if permitted { Ok(url) } else { Err(EgressError::Address) }
    }
}

impl Rules {
    fn permits(&self, address: IpAddr) -> bool {
        addresses::permits(&self.private, address)
    }
}

// The configured URL can carry a token in its query.
impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}
