//! Spans of one trace, from the request through the queue and the model to the callback. Off by default; then a span is an
//! empty option, and nothing is described, allocated or sent for it.
//!
//! Who begins a trace, or takes one over from a message, has a [`Tracer`]. Whoever works inside ([`Span::scope`]) needs
//! none: [`child`] finds the span that is current in its task.

use std::borrow::Cow;

use opentelemetry::{
    Context,
    trace::{
        Link, Span as _, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        Tracer as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

tokio::task_local! {
    static CURRENT: Option<Parent>;
}

pub use opentelemetry::{KeyValue, trace::SpanKind};

/// What a child span is made from.
#[derive(Clone)]
struct Parent {
    tracer: SdkTracer,
    context: SpanContext,
    system: &'static str,
}

/// What a span is called, and what is known of it when it begins.
pub type Described = (Cow<'static, str>, Vec<KeyValue>);

/// Begins traces, or takes them over; off, it does nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<(SdkTracer, &'static str)>);

/// Where a span belongs that begins in this process.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// It continues the trace of this `traceparent`.
    Continued(Option<&'a str>),
    /// It begins a trace of its own that only points to this one: a repeat, or a stranger's.
    Linked(Option<&'a str>),
}

impl Tracer {
    /// Traces by this tracer; `system` is the queue's name in `messaging.system`.
    #[must_use]
    pub fn new(tracer: SdkTracer, system: &'static str) -> Self {
        Self(Some((tracer, system)))
    }

    /// Begins a span of this process.
    #[must_use]
    pub fn begin(&self, kind: SpanKind, origin: Origin<'_>, describe: impl FnOnce() -> Described) -> Span {
        let Some((tracer, system)) = &self.0 else { return Span(None) };
        let (name, attributes) = describe();
        let mut builder = tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        let mut parent = Context::new();
        match origin {
            Origin::Continued(text) => {
                if let Some(context) = text.and_then(parse) {
                    parent = parent.with_remote_span_context(context);
                }
            }
            Origin::Linked(text) => {
                if let Some(context) = text.and_then(parse) {
                    builder = builder.with_links(vec![Link::new(context, Vec::new(), 0)]);
                }
            }
        }
        Span(Some(Begun { span: tracer.build_with_context(builder, &parent), tracer: tracer.clone(), system }))
    }
}

/// A span of the trace that is current in this task; none, where there is none.
#[must_use]
pub fn child(kind: SpanKind, describe: impl FnOnce() -> Described) -> Span {
    let Ok(Some(parent)) = CURRENT.try_with(Clone::clone) else { return Span(None) };
    let (name, attributes) = describe();
    let builder = parent.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
    let context = Context::new().with_remote_span_context(parent.context);
    let span = parent.tracer.build_with_context(builder, &context);
    Span(Some(Begun { span, tracer: parent.tracer, system: parent.system }))
}

/// Takes the current span along into work that is spawned.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let parent = CURRENT.try_with(Clone::clone).unwrap_or_default();
    CURRENT.scope(parent, work)
}

/// Something that takes time; it ends when it is dropped.
#[derive(Default)]
pub struct Span(Option<Begun>);

struct Begun {
    span: SdkSpan,
    tracer: SdkTracer,
    system: &'static str,
}

impl Span {
    /// Does `work` with this span as the current one.
    // Not an `async fn`: its future would hold the work twice, before and after the call.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let parent = self.0.as_ref().map(|begun| Parent {
            tracer: begun.tracer.clone(),
            context: begun.span.span_context().clone(),
            system: begun.system,
        });
        CURRENT.scope(parent, work)
    }

    /// The header that carries this span to where the trace goes on (W3C Trace Context, version 00).
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span.span_context();
        let flags = context.trace_flags().to_u8() & TraceFlags::SAMPLED.to_u8();
        Some(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
    }

    /// The queue's name in `messaging.system`.
    #[must_use]
    pub fn system(&self) -> &'static str {
        self.0.as_ref().map_or("", |begun| begun.system)
    }

    /// Says more of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(begun) = &mut self.0 {
            begun.span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, of this; a word of a closed set.
    pub fn fail(&mut self, error_type: &'static str) {
        if let Some(begun) = &mut self.0 {
            begun.span.set_attribute(KeyValue::new(super::names::ERROR_TYPE, error_type));
            begun.span.set_status(Status::error(error_type));
        }
    }
}

/// Reads a `traceparent` of version 00; anything else is none.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    if version != "00" || parts.next().is_some() || !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_writes_it_and_nothing_else_is() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(good).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        assert!(!parse(&good.replace("-01", "-00")).unwrap().is_sampled());
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn nothing_is_described_while_tracing_is_off() {
        let described = || -> Described { unreachable!("described") };
        let span = Tracer::default().begin(SpanKind::Server, Origin::Continued(None), described);
        assert_eq!(span.traceparent(), None);
        span.scope(async { drop(child(SpanKind::Client, described)) }).await;
        drop(child(SpanKind::Client, described));
    }
}
