//! What `cfr` prints for programs (`--json`), and what it says to people when something is wrong.

use std::fs;

use serde_json::Value;

use crate::{
    operator::Place,
    support::app::{WEBHOOK_SECRET, trigger},
};

fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_reports_as_json_what_it_says_in_sentences() {
    let mut place = Place::embedded().await;
    let good = json(&place.cfr(&["check-config", "--json"]).await.well());
    assert_eq!(
        (&good["usable"], &good["profiles"][0], &good["role"]),
        (&true.into(), &"default".into(), &"serve".into())
    );
    place.environment.insert("COGNIGY_WEBHOOK_SECRET".into(), "short".into());
    let doubtful = place.cfr(&["check-config", "--json", "--deny-warnings"]).await;
    assert_eq!(doubtful.code, Some(78));
    let doubtful = json(&doubtful.out);
    assert_eq!(doubtful["usable"], false);
    assert!(doubtful["warnings"][0].as_str().unwrap().contains("shorter than 32 bytes"), "{doubtful}");
    place.environment.remove("LLM_GATEWAY_API_KEY");
    let broken = place.cfr(&["check-config", "--json"]).await;
    assert_eq!(broken.code, Some(78));
    assert!(json(&broken.out)["problems"][0].as_str().unwrap().contains("llm.api_key"), "{}", broken.out);
    let said = place.cfr(&["check-config"]).await;
    assert!(said.err.contains("llm.api_key: is not set (LLM_GATEWAY_API_KEY)"), "{}", said.err);
}

/// `script` gives a program a terminal of its own, with standard error among what it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_work_shows_its_progress_on_a_terminal_and_nowhere_else() {
    let place = Place::embedded().await;
    let (running, shutdown) = place.serve().await;
    let url = format!("http://{}/webhook/cognigy/fallback", running.webhook.unwrap());
    let arguments = ["send", "--count", "3", "--url", &url];
    let shown = place.on_a_terminal(&arguments).await;
    assert!(shown.contains("sending") && shown.contains("1/3") && shown.contains("left"), "{shown}");
    assert_eq!(shown.matches("202 {").count(), 3, "{shown}");
    let piped = place.cfr(&arguments).await;
    assert!(!piped.err.contains("sending"), "{}", piped.err);
    assert_eq!(piped.well().matches("202 {").count(), 3);
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

/// In continuous integration the settings are there, and none of the secrets and certificates that they name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_the_deployments_secrets_are_taken_as_given_and_mistakes_are_found() {
    let mut place = Place::embedded().await;
    place.environment.clear();
    let settings = "[queue.rabbitmq]\nurls_file = \"/run/secrets/broker\"\nca_file = \"/run/secrets/ca.pem\"\n\
                    [ingress.tls]\ncertificate_file = \"/run/secrets/tls.pem\"\nkey_file = \"/run/secrets/tls.key\"\n\
                    [profiles.default.webhook]\nsecrets_file = \"/run/secrets/webhook\"\n\
                    [profiles.default.callback]\nurl = \"https://flows.example.com/callback\"\n\
                    [profiles.default.llm]\nbase_url = \"https://gateway.example.com\"\nca_file = \"/run/secrets/ca.pem\"\n";
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), settings).unwrap();
    let arguments = |offline: bool| {
        let mut arguments = vec!["check-config", "--config", file.path().to_str().unwrap()];
        arguments.extend(offline.then_some("--offline"));
        arguments
    };
    assert_eq!(place.cfr(&arguments(false)).await.code, Some(78));
    place.cfr(&arguments(true)).await.well();
    fs::write(file.path(), settings.replace("base_url = \"https://", "base_url = \"gopher://")).unwrap();
    let said = place.cfr(&arguments(true)).await;
    assert_eq!(said.code, Some(78));
    assert!(said.err.contains("neither http nor https"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_explain_and_send_answer_as_json() {
    let place = Place::embedded().await;
    let (running, shutdown) = place.serve().await;
    let findings = json(&place.cfr(&["doctor", "--json"]).await.out);
    let verdicts: Vec<_> =
        findings.as_array().unwrap().iter().map(|finding| finding["verdict"].as_str().unwrap()).collect();
    assert!(verdicts.contains(&"ok") && verdicts.iter().all(|verdict| ["ok", "warn", "FAIL"].contains(verdict)));

    let url = format!("http://{}/webhook/cognigy/fallback", running.webhook.unwrap());
    let sent = place.cfr(&["send", "--json", "--count", "3", "--url", &url]).await.well();
    let answers: Vec<_> = sent.lines().map(json).collect();
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| answer["status"] == 202 && answer["answer"]["status"] == "accepted"), "{sent}");
    let id = answers[0]["answer"]["triggerId"].as_str().unwrap();
    let explained = json(&place.cfr(&["explain", "--json", id]).await.well());
    assert_eq!((&explained["id"], &explained["deadLetters"]), (&id.into(), &serde_json::json!([])));

    let refused = place.cfr(&["send", "--secret", "another secret", "--url", &url]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("is this the profile's secret"), "{}", refused.err);
    assert!(!refused.err.contains(WEBHOOK_SECRET) && !refused.err.contains("another secret"), "{}", refused.err);
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
    let away = place.cfr(&["send", "--url", &url]).await;
    assert!(away.err.contains("--url says where the ingress is"), "{}", away.err);
    let prompt = tempfile::NamedTempFile::new().unwrap();
    fs::write(prompt.path(), trigger().to_string()).unwrap();
    let rendered = json(&place.cfr(&["render", "--json", "--trigger", prompt.path().to_str().unwrap()]).await.well());
    assert!(rendered["system"].is_string() && rendered["user"].is_string());
}
