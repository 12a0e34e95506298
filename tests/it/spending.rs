//! What the model costs, and when no more is spent.

use std::{collections::BTreeMap, time::Duration};

use cognigy_fallback_router::{
    llm::{BudgetConfig, Config, LlmError, Price},
    outcome::Usage,
};
use serde_json::json;

use crate::support::{
    app::{COMPLETIONS, TestApp, World, completion, trigger},
    gateway::{Gateway, config, says},
    stub::Reply,
};

fn budget(tokens: Option<u64>, per_trigger: Option<u64>) -> Config {
    let window = Duration::from_secs(3600);
    Config { budget: Some(BudgetConfig { tokens, window, per_trigger }), ..config() }
}

fn cost(gateway: &Gateway, model: &str) -> f64 {
    let text = gateway.metrics.text();
    let series = format!("cfr_llm_cost_usd_total{{model=\"{model}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or_else(|| panic!("{series}"));
    line.parse().unwrap()
}

fn about(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-12, "{left} is not {right}");
}

#[tokio::test]
async fn the_cost_is_what_the_gateway_says_else_what_the_table_makes_of_the_tokens_else_unknown() {
    let prices = BTreeMap::from([("m1".to_owned(), Price { input: 0.15, output: 0.6 })]);
    let gateway = Gateway::start(Config { prices, ..config() }).await;
    about(cost(&gateway, "m1"), 0.0);
    gateway.next(says("w")).next(says("w").header("x-litellm-response-cost", "0.5"));
    let table = (340.0 * 0.15 + 85.0 * 0.6) / 1e6;
    about(gateway.ask().await.spent.cost_usd.unwrap(), table);
    about(gateway.ask().await.spent.cost_usd.unwrap(), 0.5);
    about(cost(&gateway, "m1"), table + 0.5);

    let gateway = Gateway::start(config()).await;
    gateway.next(says("w"));
    assert_eq!(gateway.ask().await.spent.cost_usd, None, "unknown is not nothing");
}

#[tokio::test]
async fn past_its_tokens_a_profile_asks_no_model_until_the_window_ends() {
    let gateway = Gateway::start(budget(Some(500), None)).await;
    gateway.next(says("a")).next(says("b")).next(says("c"));
    let asked = gateway.ask().await;
    assert_eq!((asked.content(), asked.spent.charged), ("a", 425));
    assert_eq!(gateway.ask().await.content(), "b", "425 of 500 are used");
    assert_eq!(gateway.ask().await.error(), LlmError::BudgetExhausted);
    assert_eq!(gateway.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_without_figures_is_charged_by_its_bytes_and_stays_unknown_elsewhere() {
    let gateway = Gateway::start(budget(Some(2000), None)).await;
    let words = "w".repeat(8000);
    gateway.next(Reply::json(&json!({"choices": [{"message": {"content": words}, "finish_reason": "stop"}]})));
    let asked = gateway.ask().await;
    assert_eq!(asked.content().len(), 8000);
    assert!(asked.spent.charged > 2000, "{}", asked.spent.charged);
    assert_eq!(asked.spent.usage, None::<Usage>);
    assert_eq!(gateway.ask().await.error(), LlmError::BudgetExhausted);
}

#[tokio::test]
async fn a_try_that_timed_out_is_charged_for_its_prompt() {
    let config = Config { attempt_timeout: Duration::from_millis(200), attempts: 1, ..budget(Some(1), None) };
    let gateway = Gateway::start(config).await;
    gateway.next(Reply::hang());
    let asked = gateway.ask().await;
    assert_eq!(asked.error(), LlmError::Unavailable);
    assert!(asked.spent.charged > 0);
    assert_eq!(gateway.ask().await.error(), LlmError::BudgetExhausted);
}

#[tokio::test]
async fn a_trigger_past_its_budget_is_not_asked_again_and_ends_with_a_human() {
    let world = World::start().await;
    world.llm.always(COMPLETIONS, completion("no decision"));
    let settings = [("CFR__PROFILES__DEFAULT__LLM__BUDGET__PER_TRIGGER", "400")];
    let app = TestApp::start_in(world, &settings).await;
    let outcome = app.outcome_of(&trigger()).await;
    assert_eq!(
        (&outcome["status"], &outcome["error"]),
        (&json!("llm_unavailable"), &json!("llm_budget_exhausted")),
        "{outcome}"
    );
    assert_eq!(outcome["fallback_action"], "route_to_human");
    assert_eq!(app.world.llm.requests().len(), 1);
    assert!(outcome["meta"].get("cost_usd").is_none(), "what it costs is nothing to the receiver");
}
