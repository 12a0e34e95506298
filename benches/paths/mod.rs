//! The hot paths with their inputs, the same for `benches/speed.rs` (how long) and `benches/counted.rs` (how many
//! instructions). Nothing in here depends on a clock, on chance or on the machine.

mod inputs;
mod queue;

use std::hint::black_box;

use cognigy_fallback_router::{
    conversation::Conversation,
    message::Lane,
    prompt::{PromptInput, TemplateSet},
    queue::rabbitmq::Headers,
    redaction::{self, RedactionRules, Redactor},
    signature::{Scheme, Verifier},
    trigger::TriggerBody,
    worker::Record,
};

pub use self::queue::EmbeddedQueue;

/// Something that happens at least once for each trigger.
pub struct HotPath {
    /// Its name in reports and in `counts.toml`.
    pub name: &'static str,
    /// Does it once.
    pub once: Box<dyn FnMut()>,
}

fn path(name: &'static str, once: impl FnMut() + 'static) -> HotPath {
    HotPath { name, once: Box::new(once) }
}

/// Those that do nothing but calculate, in the order in which a trigger meets them.
pub fn pure() -> Vec<HotPath> {
    vec![
        verify("verify_hex_body", Scheme::HexBody),
        verify("verify_standard", Scheme::Standard),
        parse_trigger(),
        encode_headers(),
        decode_headers(),
        redact(),
        render_prompt(),
        parse_decision(),
        encode_record(),
        decode_record(),
    ]
}

/// The way through the embedded queue. Its threads look around now and then, whatever else is done: it is opened last.
pub fn queue(queue: EmbeddedQueue) -> HotPath {
    path("embedded_publish_take_ack", move || queue.publish_take_ack())
}

fn verify(name: &'static str, scheme: Scheme) -> HotPath {
    let body = inputs::trigger().into_bytes();
    let (secret, headers) = inputs::signed(scheme, &body);
    let verifier = Verifier::new(scheme, &[secret]).unwrap();
    path(name, move || {
        black_box(verifier.verify(black_box(&headers), black_box(&body), inputs::NOW)).unwrap();
    })
}

fn parse_trigger() -> HotPath {
    let body = inputs::trigger();
    path("parse_trigger", move || {
        black_box(TriggerBody::parse(black_box(body.as_bytes()))).unwrap();
    })
}

fn encode_headers() -> HotPath {
    let envelope = inputs::envelope();
    path("encode_headers", move || {
        black_box(Headers::of(black_box(&envelope), Lane::Work));
    })
}

fn decode_headers() -> HotPath {
    let headers = Headers::of(&inputs::envelope(), Lane::Work);
    path("decode_headers", move || {
        black_box(black_box(&headers).envelope(Lane::Work)).unwrap();
    })
}

/// Twenty turns and a message, two of them with something to mask.
fn redact() -> HotPath {
    let rules = RedactionRules::new(&redaction::Config::default()).unwrap();
    let (trigger, conversation) = (inputs::parsed(), inputs::conversation(20));
    path("redact", move || {
        let mut redactor = Redactor::new(&rules);
        for turn in &conversation.turns {
            black_box(redactor.redact(black_box(&turn.text)));
        }
        black_box(redactor.redact(black_box(&trigger.last_message)));
        assert!(redactor.redacted());
    })
}

fn render_prompt() -> HotPath {
    let templates = TemplateSet::load(None, "default").unwrap();
    let (trigger, conversation): (_, Conversation) = (inputs::parsed(), inputs::conversation(20));
    let intents = inputs::intents();
    path("render_prompt", move || {
        let input =
            PromptInput { trigger: &trigger, conversation: &conversation, intents: &intents, block_id: "0123456789" };
        assert!(black_box(templates.render(black_box(&input))).is_ok());
    })
}

fn parse_decision() -> HotPath {
    let schema = inputs::decision_schema();
    path("parse_decision", move || {
        assert!(black_box(schema.parse(black_box(inputs::ANSWER))).is_ok());
    })
}

fn encode_record() -> HotPath {
    let body = inputs::record();
    let record: Record<'_> = serde_json::from_slice(body.leak()).unwrap();
    path("encode_record", move || {
        black_box(serde_json::to_vec(black_box(&record))).unwrap();
    })
}

fn decode_record() -> HotPath {
    let body = inputs::record();
    path("decode_record", move || {
        let record: Record<'_> = serde_json::from_slice(black_box(&body)).unwrap();
        black_box(record);
    })
}
