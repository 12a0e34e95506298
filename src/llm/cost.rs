//! What a call costs: what the gateway says, else what a price table makes of its tokens. Where neither is known it is
//! unknown, which is not nothing.

use http::HeaderMap;
use prometheus::Counter;
use serde::Deserialize;

use crate::outcome::Usage;

/// `[profiles.NAME.llm.prices]`: what a model costs, in US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of prompts.
    #[schemars(extend("x-unit" = "US dollars for a million tokens"))]
    pub input: f64,
    /// Tokens of answers.
    #[schemars(extend("x-unit" = "US dollars for a million tokens"))]
    pub output: f64,
}

/// LiteLLM's own calculation, in US dollars.
const COST: &str = "x-litellm-response-cost";

/// No single call costs as much; a header that says so is wrong.
const MOST_USD: f64 = 1_000.0;

/// Counts the cost of a model's calls.
pub(super) struct Costs {
    price: Option<Price>,
    counter: Counter,
}

impl Costs {
    pub(super) fn new(price: Option<Price>, counter: Counter) -> Self {
        Self { price, counter }
    }

    /// The cost of a call with this answer, counted.
    pub(super) fn note(&self, headers: &HeaderMap, usage: Option<Usage>) -> Option<f64> {
        let cost = said(headers).or_else(|| Some(self.price?.of(usage?)))?;
        self.counter.inc_by(cost);
        Some(cost)
    }
}

impl Price {
    fn of(self, usage: Usage) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 tokens")]
        let (input, output) = (usage.prompt_tokens as f64, usage.completion_tokens as f64);
        (input * self.input + output * self.output) / 1e6
    }
}

fn said(headers: &HeaderMap) -> Option<f64> {
    let cost: f64 = headers.get(COST)?.to_str().ok()?.trim().parse().ok()?;
    (0.0..=MOST_USD).contains(&cost).then_some(cost)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_gateways_word_counts_before_the_price_table_and_nonsense_does_not() {
        let usage = Some(Usage { prompt_tokens: 1_000_000, completion_tokens: 500_000 });
        let price = Some(Price { input: 0.15, output: 0.6 });
        let cost = |price, header: Option<&'static str>, usage| {
            let costs = Costs::new(price, Counter::new("c", "c").unwrap());
            let headers = header.map(|text| (http::HeaderName::from_static(COST), HeaderValue::from_static(text)));
            let cost = costs.note(&headers.into_iter().collect(), usage);
            assert!((costs.counter.get() - cost.unwrap_or(0.0)).abs() < f64::EPSILON);
            cost.map(|usd| (usd * 1e6).round())
        };
        assert_eq!(cost(price, None, usage), Some(450_000.0));
        assert_eq!(cost(price, Some("0.002"), usage), Some(2_000.0));
        assert_eq!(cost(None, Some("9.5e-05"), None), Some(95.0));
        for nonsense in ["", "None", "nan", "inf", "-1", "1e9", "$1"] {
            assert_eq!(cost(price, Some(nonsense), usage), Some(450_000.0), "{nonsense}");
            assert_eq!(cost(None, Some(nonsense), usage), None, "{nonsense}");
        }
        assert_eq!(cost(price, None, None), None, "unknown is not nothing");
    }
}
