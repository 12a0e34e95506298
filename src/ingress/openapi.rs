//! The interface's description (OpenAPI 3.1), made from the types that are read and written. `deploy/openapi.json` is what
//! it was at the last look; a test compares them.

use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi as Document, OpenApiBuilder, PathItem,
        PathsBuilder, Ref, RefOr, Required, ResponseBuilder, ServerBuilder,
        header::HeaderBuilder,
        path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::Response,
        schema::{ObjectBuilder, Schema, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use super::{error::Details, polls::PollBody, triggers::AcceptedBody};
use crate::{outcome::Outcome, trigger::TriggerBody};

/// What the document is collected from: the bodies, and whatever they are made of.
#[derive(OpenApi)]
#[openapi(components(schemas(TriggerBody, Outcome, Details, AcceptedBody, PollBody)))]
struct Bodies;

const TRIGGERS: &str = "Messages that a bot did not understand, and how far they are";
const OUTCOMES: &str = "What is posted back";

/// The description of the webhook listener.
#[must_use]
pub fn document() -> Document {
    let mut components = Bodies::openapi().components.unwrap_or_default();
    security_schemes(&mut components);
    let paths = PathsBuilder::new()
        .path("/webhook/cognigy/fallback", PathItem::new(HttpMethod::Post, receive("receiveTrigger", None)))
        .path(
            "/webhook/cognigy/fallback/{profile}",
            PathItem::new(HttpMethod::Post, receive("receiveTriggerOfProfile", Some(profile()))),
        )
        .path("/v1/triggers/{profile}/{id}", PathItem::new(HttpMethod::Get, poll()));
    let outcome = PathItem::new(HttpMethod::Post, callback());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Cognigy fallback router")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Takes over when a Cognigy bot does not understand a customer: a signed trigger comes in, one decided \
                     outcome is posted back.",
                ))
                .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT")).build())),
        )
        .servers(Some([ServerBuilder::new().url("/").description(Some("The webhook listener, port 8000")).build()]))
        .tags(Some([("triggers", TRIGGERS), ("outcomes", OUTCOMES)].map(|(name, about)| {
            TagBuilder::new().name(name).description(Some(about)).build()
        })))
        .paths(paths)
        .webhooks(Some(PathsBuilder::new().path("outcome", outcome).build()))
        .components(Some(components))
        .build()
}

/// A profile has one of these; which, is its operator's choice.
const SCHEMES: [&str; 6] = ["hexBody", "hexTsBody", "standardWebhooks", "apiKey", "bearer", "basic"];

fn security_schemes(components: &mut Components) {
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    let http = |scheme, description: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(description)).build())
    };
    let schemes = [
        header("X-Webhook-Signature", "`[sha256=]<64 hex>`: HMAC-SHA256 of the raw body (scheme `hex-body`)"),
        header("X-Webhook-Signature", "The same of `{X-Webhook-Timestamp}.{raw body}` (scheme `hex-ts-body`)"),
        header("webhook-signature", "Standard Webhooks, with `webhook-id` and `webhook-timestamp` (scheme `standard`)"),
        header("X-API-Key", "The secret itself, for senders that cannot sign; over TLS only (scheme `api-key`)"),
        http(HttpAuthScheme::Bearer, "The secret itself (scheme `api-key`)"),
        http(HttpAuthScheme::Basic, "The secret as password, any user name (scheme `api-key`)"),
    ];
    for (name, scheme) in SCHEMES.into_iter().zip(schemes) {
        components.add_security_scheme(name, scheme);
    }
}

fn receive(id: &str, profile: Option<ParameterBuilder>) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some("Take a message that the bot did not understand"))
        .description(Some("Answers only once the trigger is stored durably. The outcome follows as a callback."))
        .tag("triggers")
        .securities(Some(SCHEMES.map(|scheme| SecurityRequirement::new(scheme, [""; 0]))))
        .request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", Content::new(Some(Ref::from_schema_name(TriggerBody::name()))))
                .required(Some(Required::True))
                .build(),
        ));
    if let Some(profile) = profile {
        operation = operation.parameter(profile);
    }
    operation = operation.parameter(idempotency_key()).parameter(prefer());
    operation = operation.response("200", outcome("`Prefer: wait` was granted, and this is the outcome"));
    operation = operation.response("202", accepted());
    for (status, description, retry) in PROBLEMS {
        operation = operation.response(*status, problem(description, *retry));
    }
    operation.build()
}

/// How far a trigger is.
fn poll() -> Operation {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"));
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The trigger, as its 202 named it"))
        .schema(Some(id));
    let status = ResponseBuilder::new()
        .description("How far it is; the outcome, once it is done")
        .content("application/json", Content::new(Some(Ref::from_schema_name(PollBody::name()))));
    let mut operation = OperationBuilder::new()
        .operation_id(Some("pollTrigger"))
        .summary(Some("Tell how far a trigger is"))
        .description(Some("Signed as a trigger is, with path and query in the place of the body."))
        .tag("triggers")
        .securities(Some(SCHEMES.map(|scheme| SecurityRequirement::new(scheme, [""; 0]))))
        .parameter(profile())
        .parameter(id)
        .parameter(prefer())
        .response("200", status);
    let refusals = PROBLEMS.iter().filter(|(status, ..)| ["403", "404", "405", "429", "500"].contains(status));
    for (status, description, retry) in refusals {
        operation = operation.response(*status, problem(description, *retry));
    }
    operation.build()
}

fn outcome(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .header("Preference-Applied", text("`wait=N`").build())
        .content("application/json", Content::new(Some(Ref::from_schema_name(Outcome::name()))))
        .build()
}

fn prefer() -> ParameterBuilder {
    ParameterBuilder::new()
        .name("Prefer")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("`wait=N`: hold the request up to N seconds, at most 20, for the outcome (RFC 7240)"))
        .schema(Some(String::schema()))
}

/// Every refusal: its status, when it comes, and whether it says when to come back.
const PROBLEMS: &[(&str, &str, bool)] = &[
    (
        "400",
        "A rule of the body is broken, the score is over the threshold, or the callback's host is not allowed",
        false,
    ),
    ("403", "Not signed by a holder of the profile's secret, or too long ago", false),
    ("404", "No such profile", false),
    ("405", "Not a POST", false),
    ("408", "The body did not arrive in time", false),
    ("413", "The body is too large", false),
    ("415", "Not JSON, or encoded", false),
    ("429", "The profile is over its rate; nothing was stored", true),
    ("500", "Unforeseen; the log has it under the id in the detail", false),
    ("503", "The queue is full, away or did not confirm: not promised, and may still happen; send it again", true),
];

fn profile() -> ParameterBuilder {
    ParameterBuilder::new()
        .name("profile")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The bot"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]+$"))))
}

fn idempotency_key() -> ParameterBuilder {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,256}$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Requests with the same key are one trigger, also with another body"))
        .schema(Some(schema))
}

fn text(description: &str) -> HeaderBuilder {
    HeaderBuilder::new().description(Some(description)).schema(Some(String::schema()))
}

fn accepted() -> Response {
    ResponseBuilder::new()
        .description("Stored; its outcome will be posted")
        .header("Location", text("Where to ask for the outcome: /v1/triggers/{profile}/{id}").build())
        .content("application/json", Content::new(Some(Ref::from_schema_name(AcceptedBody::name()))))
        .build()
}

fn problem(description: &str, retry: bool) -> Response {
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", Content::new(Some(Ref::from_schema_name(Details::name()))));
    if retry {
        let seconds: RefOr<Schema> = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).into();
        let header =
            HeaderBuilder::new().description(Some("Seconds until a new try is worth it")).schema(Some(seconds));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

/// What is posted to the receiver of outcomes.
fn callback() -> Operation {
    let header = |name: &str, description: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(String::schema()))
    };
    OperationBuilder::new()
        .operation_id(Some("receiveOutcome"))
        .summary(Some("The outcome of a trigger, posted to the profile's callback until it is acknowledged"))
        .tag("outcomes")
        // Both are sent; one is enough.
        .securities(Some(["standardWebhooks", "hexBody"].map(|scheme| SecurityRequirement::new(scheme, [""; 0]))))
        .parameter(header("webhook-id", "The trigger's id, the same in every try: keep the first, drop repeats"))
        .parameter(header("webhook-timestamp", "When this try was made, in Unix seconds"))
        .parameter(header("webhook-signature", "Standard Webhooks: `v1,<base64>`, several during a rotation"))
        .parameter(header("X-Webhook-Signature", "Hex HMAC-SHA256 of the body"))
        .parameter(header("fallback-attempt", "Number of this try, from 1"))
        .request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", Content::new(Some(Ref::from_schema_name(Outcome::name()))))
                .required(Some(Required::True))
                .build(),
        ))
        .response("2XX", ResponseBuilder::new().description("Acknowledged"))
        .response("default", ResponseBuilder::new().description("408, 425, 429 and 5xx: tried again; others: given up"))
        .build()
}
