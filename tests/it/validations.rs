//! How answers of the model are counted: each ending of a validation has an answer that ends so.

use std::collections::BTreeMap;

use cognigy_fallback_router::metrics::labels::{Label as _, Validation};
use serde_json::json;

use crate::support::{
    app::{COMPLETIONS, TestApp, completion, decision, trigger},
    gateway,
};

/// How often a validation of the template set `default` ended so.
fn counted(metrics: &str, ending: Validation) -> u64 {
    let series = format!("cfr_validations_total{{outcome=\"{}\",template=\"default\"}} ", ending.as_str());
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("{series}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ending_of_a_validation_is_counted_where_an_answer_ends_so() {
    let app = TestApp::start().await;
    let good = || completion(&decision().to_string());
    let mut unknown = decision();
    unknown["classified_intent"] = json!("UNKNOWN");
    let cut = gateway::completion(&json!({"content": "{\"clas"}), &json!("length"));
    let refusal = json!({"content": null, "refusal": "I cannot help with that."});
    let refusal = gateway::completion(&refusal, &json!("stop"));
    let filtered = gateway::error(400, &json!({"code": "content_filter", "message": "filtered"}));
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (answers, endings) in [
        (vec![good()], &[Validation::Valid][..]),
        (vec![completion("no JSON"), good()], &[Validation::InvalidJson, Validation::Reasked]),
        (vec![completion("{}"), good()], &[Validation::SchemaViolation, Validation::Reasked]),
        (vec![completion(&unknown.to_string())], &[Validation::UnknownTarget]),
        (vec![cut, good()], &[Validation::Truncated, Validation::Reasked]),
        (vec![completion(""), good()], &[Validation::Empty, Validation::Reasked]),
        (vec![refusal], &[Validation::Refused]),
        (vec![filtered], &[Validation::Refused]),
    ] {
        for answer in answers {
            app.world.llm.next(COMPLETIONS, answer);
        }
        app.outcome_of(&trigger()).await;
        for ending in endings {
            *expected.entry(ending.as_str()).or_default() += 1;
        }
        let (_, metrics) = app.admin("/metrics").await;
        let seen: BTreeMap<_, _> =
            Validation::ALL.iter().map(|ending| (ending.as_str(), counted(&metrics, *ending))).collect();
        let seen: BTreeMap<_, _> = seen.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, expected);
    }
    assert_eq!(expected.len(), Validation::ALL.len(), "an ending that no answer has");
    assert!(app.stop().await);
}
