//! The names that spans and their attributes have. The semantic conventions of OpenTelemetry for messaging and for
//! generative AI are both still in development: what changes there changes here, and nowhere else. No attribute holds
//! anything that a customer or a model wrote, a URL or a conversation's id.

/// A request of Cognigy's, by its route.
pub const RECEIVE: &str = "POST /webhook/cognigy/fallback/{profile}";
/// Asking for an outcome.
pub const LOOK_UP: &str = "GET /v1/triggers/{profile}/{id}";
/// Any other request.
pub const OTHER_REQUEST: &str = "HTTP";

/// Fetching the conversation.
pub const FETCH_HISTORY: &str = "fetch history";
/// Posting an outcome.
pub const POST_CALLBACK: &str = "POST callback";

/// Before the name of a lane: storing a message in it.
pub const SEND: &str = "send";
/// Before the name of a lane: working on a message of it.
pub const PROCESS: &str = "process";
/// Before the name of a model.
pub const CHAT: &str = "chat";

/// `http.route`.
pub const HTTP_ROUTE: &str = "http.route";
/// `http.request.method`.
pub const HTTP_METHOD: &str = "http.request.method";
/// `http.response.status_code`.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// `error.type`: a word of a closed set.
pub const ERROR_TYPE: &str = "error.type";

/// `messaging.system`.
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// `messaging.operation.type`.
pub const MESSAGING_OPERATION: &str = "messaging.operation.type";
/// `messaging.destination.name`: the lane.
pub const MESSAGING_DESTINATION: &str = "messaging.destination.name";
/// `messaging.message.id`: the trigger's id.
pub const MESSAGING_ID: &str = "messaging.message.id";

/// `gen_ai.operation.name`.
pub const GEN_AI_OPERATION: &str = "gen_ai.operation.name";
/// `gen_ai.request.model`: as the settings name it.
pub const GEN_AI_MODEL: &str = "gen_ai.request.model";
/// `gen_ai.usage.input_tokens`.
pub const GEN_AI_INPUT: &str = "gen_ai.usage.input_tokens";
/// `gen_ai.usage.output_tokens`.
pub const GEN_AI_OUTPUT: &str = "gen_ai.usage.output_tokens";

/// The profile.
pub const PROFILE: &str = "cfr.profile";
/// How a trigger ended.
pub const STATUS: &str = "cfr.status";
/// Number of the try.
pub const ATTEMPT: &str = "cfr.attempt";
/// How often an operator replayed it.
pub const REPLAY: &str = "cfr.replay";
