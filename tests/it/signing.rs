//! `cfr sign`: what it prints is a command that works as it stands.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::{TestApp, WEBHOOK_SECRET, client, trigger};

const STANDARD_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn cfr_sign(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cfr")).arg("sign").args(arguments).env_clear().output().unwrap()
}

/// The arguments that a POSIX shell would hand to `curl`.
fn words_of(command: &str) -> Vec<String> {
    let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{command}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{command}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// Sends what a command of `curl` says, and nothing beside it.
async fn pasted(command: &str) -> (u16, Value) {
    let words = words_of(command);
    let (mut url, mut method, mut body, mut headers) = (None, "GET", None, Vec::new());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-sS" => {}
            "-X" => method = rest.next().unwrap(),
            "-H" => headers.push(rest.next().unwrap().split_once(": ").unwrap()),
            "--data-binary" => body = rest.next().cloned(),
            other => assert!(url.replace(other).is_none(), "two addresses in {command}"),
        }
    }
    let mut request = client().request(method.parse().unwrap(), url.unwrap()).body(body.unwrap());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn the_printed_command_of_every_scheme_is_accepted_as_it_stands() {
    for (scheme, secret) in [
        ("hex-body", WEBHOOK_SECRET),
        ("hex-ts-body", WEBHOOK_SECRET),
        ("standard", STANDARD_SECRET),
        ("api-key", WEBHOOK_SECRET),
    ] {
        let settings = [("CFR__PROFILES__DEFAULT__WEBHOOK__SCHEME", scheme), ("COGNIGY_WEBHOOK_SECRET", secret)];
        let app = TestApp::start_with(&settings).await;
        let folder = TempDir::new().unwrap();
        let place = |name: &str, content: &str| {
            std::fs::write(folder.path().join(name), content).unwrap();
            folder.path().join(name).to_str().unwrap().to_owned()
        };
        let mut body = trigger();
        // What a shell could take for its own.
        body["lastMessage"] = json!("it's `true` that $HOME and \"\\n\" stay as they are;\nso does 'this'");
        let webhook = format!("http://{}/webhook/cognigy/fallback", app.running.webhook.unwrap());
        let (secret_file, body_file) = (place("secret", &format!("{secret}\n")), place("body", &body.to_string()));
        let said = cfr_sign(&["--scheme", scheme, "--secret-file", &secret_file, "--url", &webhook, &body_file]);
        assert!(said.status.success(), "{scheme}: {}", String::from_utf8_lossy(&said.stderr));
        let (status, answer) = pasted(&String::from_utf8(said.stdout).unwrap()).await;
        assert_eq!(status, 202, "{scheme}: {answer}");
        let id = answer["triggerId"].as_str().unwrap().parse().unwrap();
        assert_eq!(app.world.callback_of(id).await.json()["status"], "success", "{scheme}");
        app.stop().await;
    }
}

#[test]
fn what_cannot_be_signed_with_is_said_without_the_secret() {
    for (reason, arguments, expected) in [
        ("no secret", vec![], "--secret-file or COGNIGY_WEBHOOK_SECRET"),
        ("a blank one", vec!["--secret", "   "], "the secret "),
        ("no base64", vec!["--scheme", "standard", "--secret", "whsec_!hidden!"], "the secret "),
        ("no such scheme", vec!["--scheme", "md5", "--secret", "x"], "hex-body, hex-ts-body, standard, api-key"),
        ("no such file", vec!["--secret-file", "/nonexistent"], "/nonexistent cannot be read"),
    ] {
        let mut arguments = arguments;
        arguments.push("/dev/null");
        let said = cfr_sign(&arguments);
        let text = String::from_utf8(said.stderr).unwrap();
        assert!(!said.status.success() && said.stdout.is_empty(), "{reason}");
        assert!(text.contains(expected), "{reason}: {text}");
        assert!(!text.contains("hidden"), "{reason}: {text}");
    }
}
