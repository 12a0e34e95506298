//! The outside world on loopback ports: what `cfr demo` and the tests run against.
//!
//! CXone gives conversations (and beside it an archive with a JSON API of its own), an OpenAI-compatible gateway decides
//! by keywords, a receiver of callbacks checks their signatures, and Cognigy's endpoints have sessions in which results
//! are injected. Each answers as the real one does, and misbehaves on request. Their credentials are public: they guard
//! nothing.

mod archive;
mod cognigy;
mod cognigy_endpoint;
mod cxone;
mod cxone_digital;
mod llm;
mod rate_limit;
mod scripts;

use std::{future::IntoFuture, io, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::secret::Secret;

pub use cognigy::{CallbackAnswer, Cognigy, ReceivedCallback};
pub use cognigy_endpoint::{CognigyEndpoint, EndpointAnswer, Line, RouterAccess, SimulatedChannel, Speaker};
pub use cxone::Cxone;
pub use cxone_digital::CaseAuthor;
pub use llm::Llm;
pub use scripts::Script;

/// The OAuth client id that the simulated CXone knows.
pub const CXONE_CLIENT_ID: &str = "demo-client";
/// Its secret.
pub const CXONE_CLIENT_SECRET: &str = "demo-client-secret";
/// The access key that the simulated CXone knows.
pub const CXONE_ACCESS_KEY_ID: &str = "demo-access-key";
/// Its secret.
pub const CXONE_ACCESS_KEY_SECRET: &str = "demo-access-key-secret";
/// The key that the simulated archive of conversations accepts, in `X-API-Key`.
pub const ARCHIVE_KEY: &str = "demo-archive-key";
/// The key that the simulated gateway accepts.
pub const LLM_API_KEY: &str = "demo-gateway-key";
/// The secret with which callbacks are signed, unless another is given.
pub const CALLBACK_SECRET: &str = "whsec_ZGVtby1jYWxsYmFjay1zZWNyZXQtb2YtMzItYnl0ZXM=";

/// A free port of this machine alone.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How long connections in use may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// All of them. They stop when dropped, or in order by [`Simulators::stop`].
pub struct Simulators {
    /// The source of conversations.
    pub cxone: Cxone,
    /// The model gateway.
    pub llm: Llm,
    /// The receiver of callbacks.
    pub cognigy: Cognigy,
    /// Cognigy's endpoints, with sessions and a flow.
    pub endpoint: CognigyEndpoint,
}

impl Simulators {
    /// Starts each on a free port of 127.0.0.1; callbacks are to be signed with [`CALLBACK_SECRET`].
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on([ANY_PORT; 3], &[Secret::new(CALLBACK_SECRET)]).await
    }

    /// Starts CXone, the gateway and the receiver of callbacks at these addresses, the endpoints on a free port; callbacks are to be signed with one of `secrets`.
    ///
    /// # Errors
    /// When an address cannot be had, or a secret cannot be a key.
    pub async fn start_on(addresses: [SocketAddr; 3], secrets: &[Secret]) -> anyhow::Result<Self> {
        let [cxone, llm, cognigy] = addresses;
        let cxone = Cxone::start(cxone).await?;
        Ok(Self {
            endpoint: CognigyEndpoint::start(ANY_PORT, secrets, cxone.digital()).await?,
            cxone,
            llm: Llm::start(llm).await?,
            cognigy: Cognigy::start(cognigy, secrets).await?,
        })
    }

    /// Stops them: what is being answered is finished, what hangs is ended.
    pub async fn stop(self) {
        tokio::join!(self.cxone.stop(), self.llm.stop(), self.cognigy.stop(), self.endpoint.stop());
    }
}

/// A listener and its end.
struct Server {
    url: String,
    stop: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves `router` at `address` until `stop`; a handler that hangs on purpose shall end then.
    async fn start(address: SocketAddr, router: Router, stop: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = router.route("/healthz", get(async || "ok\n"));
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future());
        Ok(Self { url, stop, serving })
    }

    async fn stop(mut self) {
        self.stop.cancel();
        // Late connections end with the process; there is nothing in them to lose.
        let _ = timeout(STOP_LIMIT, &mut self.serving).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}
