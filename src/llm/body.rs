//! What is sent to the gateway.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{ChatMessage, CompletionRequest, Config, ResponseFormat};

/// Bound of `max_tokens` after multiplying, unless more is configured.
const MOST_TOKENS: u32 = 16_384;

/// A part of the request that some models do not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// `max_tokens`: newer models want `max_completion_tokens`.
    MaxTokens,
    /// `temperature`: reasoning models take only their own.
    Temperature,
    /// `response_format`, in the form that was sent.
    ResponseFormat,
}

/// Which optional parts a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) max_completion_tokens: bool,
    pub(super) temperature: bool,
    pub(super) response_format: ResponseFormat,
}

/// What a model was found not to take. It only grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refused {
    max_tokens: bool,
    temperature: bool,
    json_schema: bool,
    json_object: bool,
}

impl Refused {
    /// How to ask on behalf of somebody who wants the answer in this format.
    pub(super) fn shape(self, wanted: ResponseFormat) -> Shape {
        let response_format = match wanted {
            ResponseFormat::JsonSchema if !self.json_schema => ResponseFormat::JsonSchema,
            ResponseFormat::JsonSchema | ResponseFormat::JsonObject if !self.json_object => ResponseFormat::JsonObject,
            _ => ResponseFormat::None,
        };
        Shape { max_completion_tokens: self.max_tokens, temperature: !self.temperature, response_format }
    }

    /// Notes what gave way from one shape to the next.
    pub(super) fn note(&mut self, sent: Shape, next: Shape) {
        let format = (sent.response_format != next.response_format).then_some(sent.response_format);
        self.max_tokens |= next.max_completion_tokens;
        self.temperature |= !next.temperature;
        self.json_schema |= format == Some(ResponseFormat::JsonSchema);
        self.json_object |= format == Some(ResponseFormat::JsonObject);
    }
}

impl Shape {
    /// This shape without what the model refused; `None` when nothing is left to give way.
    pub(super) fn without(self, parameter: Parameter) -> Option<Self> {
        let other = match parameter {
            Parameter::MaxTokens => Self { max_completion_tokens: true, ..self },
            Parameter::Temperature => Self { temperature: false, ..self },
            Parameter::ResponseFormat => {
                let response_format = match self.response_format {
                    ResponseFormat::JsonSchema => ResponseFormat::JsonObject,
                    ResponseFormat::JsonObject | ResponseFormat::None => ResponseFormat::None,
                };
                Self { response_format, ..self }
            }
        };
        (other != self).then_some(other)
    }
}

/// What every request of a profile has in common.
pub(super) struct Bodies {
    temperature: f64,
    max_tokens: u32,
    json_object: Box<RawValue>,
    json_schema: Box<RawValue>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [ChatMessage],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    n: u32,
}

impl Bodies {
    /// `schema` is the decision schema. It is not sent as `strict`: those modes know only a part of JSON Schema.
    pub(super) fn new(config: &Config, schema: &Value) -> serde_json::Result<Self> {
        let json_schema = json!({"type": "json_schema", "json_schema": {"name": "decision", "schema": schema}});
        Ok(Self {
            temperature: config.temperature,
            max_tokens: config.max_tokens,
            json_object: RawValue::from_string(r#"{"type":"json_object"}"#.to_owned())?,
            json_schema: RawValue::from_string(json_schema.to_string())?,
        })
    }

    pub(super) fn serialize(
        &self,
        model: &str,
        request: CompletionRequest<'_>,
        shape: Shape,
    ) -> serde_json::Result<Bytes> {
        let wanted = self.max_tokens.saturating_mul(request.max_tokens_factor.max(1));
        let limit = Some(wanted.min(MOST_TOKENS.max(self.max_tokens)));
        let body = Body {
            model,
            messages: request.messages,
            temperature: shape.temperature.then_some(self.temperature),
            response_format: match shape.response_format {
                ResponseFormat::JsonObject => Some(&self.json_object),
                ResponseFormat::JsonSchema => Some(&self.json_schema),
                ResponseFormat::None => None,
            },
            max_tokens: limit.filter(|_| !shape.max_completion_tokens),
            max_completion_tokens: limit.filter(|_| shape.max_completion_tokens),
            stream: false,
            n: 1,
        };
        serde_json::to_vec(&body).map(Bytes::from)
    }
}
