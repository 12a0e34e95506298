//! Settings: layers, short names, secrets from files, and every problem said at once.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use cognigy_fallback_router::{
    config::{self, Backend, Loaded, Role, Sources},
    llm,
};

const GOOD: &[(&str, &str)] = &[
    ("COGNIGY_WEBHOOK_SECRET", "a-webhook-secret-of-more-than-32-bytes!"),
    ("COGNIGY_CALLBACK_URL", "https://flows.example.com/callback"),
    ("COGNIGY_CALLBACK_SECRET", "a-callback-secret-of-more-than-32-bytes"),
    ("CXONE_CLIENT_ID", "id"),
    ("CXONE_CLIENT_SECRET", "secret"),
    ("LLM_GATEWAY_BASE_URL", "https://gateway.example.com"),
    ("LLM_GATEWAY_API_KEY", "key"),
];

fn environment(changes: &[(&str, Option<&str>)]) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<_, _> =
        GOOD.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for (name, value) in changes {
        match value {
            Some(value) => environment.insert((*name).to_owned(), (*value).to_owned()),
            None => environment.remove(*name),
        };
    }
    environment
}

fn load(file: Option<&Path>, changes: &[(&str, Option<&str>)], role: Role) -> Result<Loaded, Vec<String>> {
    let sources = Sources { file: file.map(Path::to_path_buf), environment: environment(changes) };
    config::load(&sources, role).map_err(|unusable| unusable.0)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn the_variables_of_the_original_service_are_enough_for_every_role() {
    for role in [Role::Ingress, Role::Worker, Role::Serve] {
        let loaded = load(None, &[("LLM_MODEL", Some("gpt-5-mini"))], role).unwrap();
        let profile = &loaded.config.profiles["default"];
        assert_eq!(profile.llm.models, ["gpt-5-mini"]);
        assert_eq!(profile.llm.api_key.as_ref().unwrap().expose(), "key");
        assert_eq!(profile.history.cxone.client_id.as_deref(), Some("id"));
        assert_eq!(profile.webhook.secrets[0].expose(), GOOD[0].1);
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = file("[queue]\nsoft_limit = 5\nbackend = \"embedded\"\n[ingress]\nlisten = \"127.0.0.1:1\"\n");
    let loaded = load(
        Some(file.path()),
        &[
            ("CFR__QUEUE__SOFT_LIMIT", Some("7")),
            ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_HOSTS", Some("[\"a.example.com\", \"*.b.example.com\"]")),
        ],
        Role::Serve,
    )
    .unwrap();
    assert_eq!(loaded.config.queue.soft_limit, 7);
    assert_eq!(loaded.config.queue.backend, Backend::Embedded);
    assert_eq!(loaded.config.ingress.listen.port(), 1);
    assert_eq!(loaded.config.admin.listen.port(), 9464);
    assert_eq!(loaded.config.profiles["default"].callback.egress.allow_hosts, ["a.example.com", "*.b.example.com"]);
}

#[test]
fn a_second_profile_has_the_defaults_of_every_profile_and_none_of_the_first_ones_secrets() {
    let file = file("[profiles.sales]\nthreshold = 0.5\n");
    let problems = load(Some(file.path()), &[], Role::Serve).unwrap_err();
    for key in ["webhook.secrets", "callback.url", "llm.base_url", "llm.api_key", "history.cxone.client_id"] {
        let key = format!("profiles.sales.{key}: ");
        assert!(problems.iter().any(|problem| problem.starts_with(&key)), "{key} in {problems:#?}");
    }
}

#[test]
fn a_secret_of_digits_keeps_its_zeros_and_one_that_looks_like_a_word_stays_text() {
    for secret in ["00123456789012345678901234567890", "1e5", "true", "[not a list"] {
        let loaded = load(None, &[("COGNIGY_WEBHOOK_SECRET", Some(secret))], Role::Ingress).unwrap();
        assert_eq!(loaded.config.profiles["default"].webhook.secrets[0].expose(), secret);
    }
}

#[test]
fn secrets_come_from_files_without_their_last_newline() {
    let secret = file("from-a-file-and-longer-than-32-bytes\n");
    let path = secret.path().to_str().unwrap();
    let changes = [("COGNIGY_WEBHOOK_SECRET", None), ("COGNIGY_WEBHOOK_SECRET_FILE", Some(path))];
    let loaded = load(None, &changes, Role::Ingress).unwrap();
    let secrets = &loaded.config.profiles["default"].webhook.secrets;
    assert_eq!(
        secrets.iter().map(|secret| secret.expose()).collect::<Vec<_>>(),
        ["from-a-file-and-longer-than-32-bytes"]
    );
    let changes = [("LLM_GATEWAY_API_KEY", None), ("LLM_GATEWAY_API_KEY_FILE", Some(path))];
    let loaded = load(None, &changes, Role::Worker).unwrap();
    let key = loaded.config.profiles["default"].llm.api_key.clone().unwrap();
    assert_eq!(key.expose(), "from-a-file-and-longer-than-32-bytes");
    // The broker's URL has a default, which nobody gave.
    let loaded = load(None, &[("AMQP_URL_FILE", Some(path))], Role::Worker).unwrap();
    let urls: Vec<_> = loaded.config.queue.rabbitmq.urls.iter().map(|url| url.expose()).collect();
    assert_eq!(urls, ["from-a-file-and-longer-than-32-bytes"]);
}

#[test]
fn a_secret_and_its_file_together_are_a_contradiction_and_a_missing_file_is_named() {
    for (variable, key) in [
        ("LLM_GATEWAY_API_KEY", "llm.api_key_file"),
        ("COGNIGY_WEBHOOK_SECRET", "webhook.secrets_file"),
        ("AMQP_URL", "queue.rabbitmq.urls_file"),
    ] {
        let file = format!("{variable}_FILE");
        let changes = [(variable, Some("a-value")), (&file, Some("/nonexistent/key"))];
        let problems = load(None, &changes, Role::Serve).unwrap_err();
        assert!(problems[0].contains(key) && problems[0].contains("set too"), "{problems:?}");
    }
    let text = "[queue.rabbitmq]\nurls = [\"amqp://a\"]\n";
    let changes = [("AMQP_URL_FILE", Some("/nonexistent/url"))];
    let problems = load(Some(file(text).path()), &changes, Role::Worker).unwrap_err();
    assert!(problems[0].contains("urls_file: urls is set too"), "{problems:?}");
    let changes = [("LLM_GATEWAY_API_KEY", None), ("LLM_GATEWAY_API_KEY_FILE", Some("/nonexistent/key"))];
    let problems = load(None, &changes, Role::Worker).unwrap_err();
    assert!(problems[0].contains("/nonexistent/key cannot be read"), "{problems:?}");
}

#[test]
fn every_problem_is_named_at_once_with_its_key_and_what_would_be_right() {
    let file = file(
        "[ingress]\nlistne = \"x\"\nmax_body = 1\n[queue]\nsoft_limt = 3\n[profiles.default]\nthreshold = 1.5\n[profiles.default.llm]\nmodels = []\nreasks = 9\n",
    );
    let changes = [("COGNIGY_WEBHOOK_SECRET", Some("  ")), ("CXONE_CLIENT_ID", None), ("COGNIGY_CALLBACK_URL", None)];
    let problems = load(Some(file.path()), &changes, Role::Serve).unwrap_err().join("\n");
    for expected in [
        "ingress.listne: there is no such setting",
        "queue.soft_limt: there is no such setting",
        "ingress.max_body: is 1; from 1024 to",
        "profiles.default.threshold: is 1.5; from 0.0 to 1.0",
        "profiles.default.llm.models: names no model",
        "profiles.default.llm.reasks: is 9; from 0 to 2",
        "profiles.default.webhook.secrets: a secret is empty",
        "profiles.default.history.cxone.client_id: is not set (CXONE_CLIENT_ID)",
        "profiles.default.callback.url: neither a URL nor callback.egress.allow_hosts is set",
    ] {
        assert!(problems.contains(expected), "{expected:?} is missing in:\n{problems}");
    }
}

#[test]
fn a_rate_is_off_unless_it_is_set_and_may_come_from_the_environment() {
    let rate = |changes: &[(&str, Option<&str>)]| {
        load(None, changes, Role::Ingress).map(|loaded| loaded.config.profiles["default"].webhook.rate)
    };
    assert_eq!(rate(&[]).unwrap(), None);
    let set = rate(&[
        ("CFR__PROFILES__DEFAULT__WEBHOOK__RATE__PER_SECOND", Some("20")),
        ("CFR__PROFILES__DEFAULT__WEBHOOK__RATE__BURST", Some("50")),
    ]);
    let set = set.unwrap().unwrap();
    assert_eq!((set.per_second.get(), set.burst.unwrap().get()), (20, 50));
    let problems = rate(&[("CFR__PROFILES__DEFAULT__WEBHOOK__RATE__PER_SECOND", Some("0"))]).unwrap_err().join("\n");
    assert!(problems.contains("webhook.rate.per_second"), "{problems}");
}

#[test]
fn the_rules_of_decisions_come_from_the_settings_and_contradictions_stop_the_start() {
    let text = "[profiles.default]\nmin_confidence = 0.6\nlink_hosts = [\"*.example.com\"]\n\
                intents = [{ name = \"a\", parameters = [\"p\"] }, { name = \"b\", high_risk = true }]\n";
    let loaded = load(Some(file(text).path()), &[], Role::Worker).unwrap();
    let rules = loaded.config.profiles["default"].decision_rules();
    assert_eq!((rules.intents, rules.high_risk), (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()]));
    assert_eq!(rules.parameters, BTreeMap::from([("a".to_owned(), vec!["p".to_owned()])]));
    assert_eq!((rules.min_confidence, rules.link_hosts), (Some(0.6), vec!["*.example.com".to_owned()]));
    let problems = load(Some(file("[profiles.default]\nmin_confidence = 60\n").path()), &[], Role::Worker).unwrap_err();
    assert!(problems[0].contains("min_confidence: is 60"), "{problems:?}");
    let text = "[profiles.default]\nintents = [{ name = \"a\", high_rsk = true }]\n";
    let problems = load(Some(file(text).path()), &[], Role::Worker).unwrap_err();
    assert!(problems[0].contains("high_rsk"), "{problems:?}");
}

#[test]
fn prices_and_budgets_come_from_the_settings() {
    let text = "[profiles.default.llm]\nmodels = [\"gpt-4.1\"]\nprices = { \"gpt-4.1\" = { input = 2, output = 8.0 } }\n\
                budget = { tokens = 5_000_000, per_trigger = 20_000 }\n";
    let llm = load(Some(file(text).path()), &[], Role::Worker).unwrap().config.profiles["default"].llm.clone();
    assert_eq!((llm.prices["gpt-4.1"].input, llm.prices["gpt-4.1"].output), (2.0, 8.0));
    let budget = llm.budget.unwrap();
    assert_eq!((budget.tokens, budget.per_trigger), (Some(5_000_000), Some(20_000)));
    assert_eq!(budget.window, std::time::Duration::from_secs(3600));
    let text = "[profiles.default.llm]\nprices = { m = { input = -1, output = 8 } }\nbudget = { window = \"0s\" }\n";
    let problems = load(Some(file(text).path()), &[], Role::Worker).unwrap_err().join("\n");
    assert!(problems.contains("llm.prices.m: is -1") && problems.contains("llm.budget.window: is 0ns"), "{problems}");
}

#[test]
fn a_second_call_needs_a_time_it_can_come_in_and_somebody_to_ask() {
    let text =
        "[profiles.default.llm]\nadaptive = true\nmodels = [\"a\", \"b\"]\nhedge = { after = \"4s\", to = \"next\" }\n";
    let llm = load(Some(file(text).path()), &[], Role::Worker).unwrap().config.profiles["default"].llm.clone();
    let hedge = llm.hedge.unwrap();
    assert_eq!((hedge.after, hedge.to), (Some(std::time::Duration::from_secs(4)), llm::HedgeTo::Next));
    assert!(llm.adaptive);
    let text = "[profiles.default.llm]\nhedge = { after = \"16s\", to = \"next\" }\n";
    let problems = load(Some(file(text).path()), &[], Role::Worker).unwrap_err().join("\n");
    assert!(problems.contains("llm.hedge.after: is 16s") && problems.contains("\"same\" would be right"), "{problems}");
}

#[test]
fn every_upstream_and_the_broker_can_have_an_authority_of_its_own() {
    let text = "[queue.rabbitmq]\nca_file = \"q\"\nclient_certificate_file = \"c\"\nclient_key_file = \"k\"\n\
                [ingress.tls]\ncertificate_file = \"s\"\nkey_file = \"t\"\n\
                [profiles.default.llm]\nca_file = \"l\"\n[profiles.default.callback]\nca_file = \"b\"\n\
                [profiles.default.history.cxone]\nca_file = \"h\"\n";
    let config = load(Some(file(text).path()), &[], Role::Serve).unwrap().config;
    let (rabbitmq, profile) = (&config.queue.rabbitmq, &config.profiles["default"]);
    let files = [&rabbitmq.ca_file, &rabbitmq.client_certificate_file, &rabbitmq.client_key_file, &profile.llm.ca_file];
    let files = files.into_iter().chain([&profile.callback.ca_file, &profile.history.cxone.ca_file]);
    let names: Vec<_> = files.map(|file| file.as_deref().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["q", "c", "k", "l", "b", "h"]);
    assert_eq!(config.ingress.tls.unwrap().key_file, Path::new("t"));
}

#[test]
fn a_memory_shorter_than_the_replay_window_or_with_room_for_none_is_warned_about() {
    for (variable, value, key) in [
        ("CFR__INGRESS__KNOWN_FOR", "599s", "ingress.known_for: "),
        ("CFR__INGRESS__KNOWN_MOST", "0", "ingress.known_most: "),
    ] {
        let warnings = load(None, &[(variable, Some(value))], Role::Ingress).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].starts_with(key), "{warnings:?}");
    }
}

#[test]
fn further_headers_of_callbacks_without_a_url_to_send_them_to_are_warned_about() {
    let headers = ("CFR__PROFILES__DEFAULT__CALLBACK__HEADERS__X-KEY", Some("MARKER"));
    let hosts = ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_HOSTS", Some("[\"*.example.com\"]"));
    assert_eq!(load(None, &[headers, hosts], Role::Serve).unwrap().warnings, Vec::<String>::new());
    let warnings = load(None, &[headers, hosts, ("COGNIGY_CALLBACK_URL", None)], Role::Serve).unwrap().warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.starts_with("profiles.default.callback.headers: have no effect"), "{warning}");
}

#[test]
fn a_value_of_the_wrong_type_names_its_key() {
    for (text, expected) in [
        ("[ingress]\nbody_timeout = \"soon\"\n", "ingress.body_timeout"),
        ("[queue]\nbackend = \"kafka\"\n", "queue.backend"),
        ("[worker.slots]\nwork = 0\n", "worker.slots.work"),
        ("[admin]\nlisten = \"everywhere\"\n", "admin.listen"),
    ] {
        let file = file(text);
        let problems = load(Some(file.path()), &[], Role::Serve).unwrap_err().join("\n");
        assert!(problems.contains(expected), "{expected} in {problems}");
    }
}

#[test]
fn weak_and_shared_secrets_are_warned_about() {
    let changes = [("COGNIGY_WEBHOOK_SECRET", Some("short")), ("COGNIGY_CALLBACK_SECRET", None)];
    let warnings = load(None, &changes, Role::Serve).unwrap().warnings.join("\n");
    assert!(warnings.contains("profiles.default.webhook.secrets: a secret is shorter than 32 bytes"), "{warnings}");
    assert!(warnings.contains("profiles.default.callback.secrets: none is set"), "{warnings}");
    // 24 bytes in the 32 letters of their base64.
    let standard = ("CFR__PROFILES__DEFAULT__WEBHOOK__SCHEME", Some("standard"));
    let changes = [standard, ("COGNIGY_WEBHOOK_SECRET", Some("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))];
    let warnings = load(None, &changes, Role::Ingress).unwrap().warnings.join("\n");
    assert!(warnings.contains("profiles.default.webhook.secrets: a secret is shorter than 32 bytes"), "{warnings}");
}

#[test]
fn a_program_with_unusable_settings_ends_with_78_and_says_why_without_the_secret() {
    let profile = "CFR__PROFILES__DEFAULT";
    for (variable, value, settings, named) in [
        ("LLM_GATEWAY_API_KEY", "MARKER-OF-A-SECRET", "", "secrets: "),
        (
            &format!("{profile}__WEBHOOK__SECRETS"),
            "MARKER",
            "",
            "profiles.default.webhook.secrets: is a string; a list",
        ),
        ("CFR__QUEUE__RABBITMQ__URLS", "amqp://user:MARKERpw@broker", "", "queue.rabbitmq.urls: is a string; a list"),
        (&format!("{profile}__LLM__HEADERS"), "MARKER", "", "profiles.default.llm.headers: is a string; a table"),
        (&format!("{profile}__CALLBACK__MODE"), "MARKER", "", "profiles.default.callback.mode: is none of the words"),
        (&format!("{profile}__POLL"), "MARKER", "", "profiles.default.poll: is a string; a boolean"),
        (&format!("{profile}__LLM__API_KEY"), "[\"MARKER\"]", "", "profiles.default.llm.api_key: is a list; a string"),
        ("CFR__INGRESS__BODY_TIMEOUT", "MARKER", "", "ingress.body_timeout: cannot be used; a duration"),
        ("CFR__ADMIN__LISTEN", "MARKER", "", "admin.listen: is not an address with its port"),
        (
            &format!("{profile}__CALLBACK__EGRESS__ALLOW_PRIVATE_CIDRS"),
            "[\"MARKER\"]",
            "",
            "profiles.default.callback.egress.allow_private_cidrs[0]: is not a network",
        ),
        (
            "_",
            "",
            "[profiles.default.llm]\napi_key = \"MARKER-sk-live\n",
            "own.toml: TOML parse error at line 2, column 26: ",
        ),
        ("_", "", "[profiles.default.llm]\napi_key = MARKER\n", "own.toml: TOML parse error at line 2, column 11: "),
        (
            "_",
            "",
            "[profiles.default.llm]\nmax_tokens = 47110000000000000000\n",
            "own.toml: it is not TOML, or a number",
        ),
    ] {
        for program in [env!("CARGO_BIN_EXE_ingress"), env!("CARGO_BIN_EXE_worker")] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("own.toml"), settings).unwrap();
            let output = Command::new(program)
                .env_clear()
                .current_dir(folder.path())
                .env("COGNIGY_WEBHOOK_SECRET", "   ")
                .env("CFR_CONFIG", "own.toml")
                .env(variable, value)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{text}");
            assert!(text.contains(named), "{named} in {text}");
            assert!(!text.contains("MARKER") && !text.contains("4711"), "{text}");
        }
    }
}

#[test]
fn a_dotenv_file_is_read_and_the_environment_wins_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = GOOD.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    fs::write(folder.path().join(".env"), lines).unwrap();
    let check = |mode: &str| {
        Command::new(env!("CARGO_BIN_EXE_cfr"))
            .args(["check-config", "--role", "serve"])
            .env_clear()
            .env("CFR__PROFILES__DEFAULT__CALLBACK__MODE", mode)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    assert_eq!(check("webhook").status.code(), Some(0));
    assert_eq!(check("pigeon").status.code(), Some(78));
}

const DIGITAL: (&str, Option<&str>) = ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", Some("cxone_digital"));

#[test]
fn a_digital_history_takes_the_client_of_the_summaries_and_an_access_key_of_its_own() {
    let key = file("the-key-secret\n");
    let changes = [
        DIGITAL,
        ("CXONE_ACCESS_KEY_ID", Some("key")),
        ("CXONE_ACCESS_KEY_SECRET_FILE", Some(key.path().to_str().unwrap())),
    ];
    let loaded = load(None, &changes, Role::Worker).unwrap();
    let profile = &loaded.config.profiles["default"];
    let digital = &profile.history.cxone_digital;
    assert_eq!((digital.client_id.as_deref(), digital.access_key_id.as_deref()), (Some("id"), Some("key")));
    assert_eq!(digital.access_key_secret.as_ref().unwrap().expose(), "the-key-secret");
    assert!(profile.secrets().iter().any(|secret| secret.expose() == "the-key-secret"));
    assert!(digital.egress.allow_hosts.contains(&"*.niceincontact.com".to_owned()));
    assert!(!profile.history.cache.is_off());
}

#[test]
fn what_the_chosen_history_lacks_is_named_by_its_key_and_what_another_one_lacks_is_not() {
    let problems = |changes: &[(&str, Option<&str>)]| load(None, changes, Role::Worker).unwrap_err().join("\n");
    let said = problems(&[DIGITAL, ("CXONE_CLIENT_ID", None)]);
    for key in ["access_key_id: is not set (CXONE_ACCESS_KEY_ID)", "client_id: is not set (CXONE_CLIENT_ID)"] {
        assert!(said.contains(&format!("profiles.default.history.cxone_digital.{key}")), "{said}");
    }
    let http = ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", Some("http"));
    let said = problems(&[http, ("CFR__PROFILES__DEFAULT__HISTORY__HTTP__AUTH", Some("basic"))]);
    for key in ["url: is not set", "username: is not set; auth = \"basic\" needs it", "password: is not set"] {
        assert!(said.contains(&format!("profiles.default.history.http.{key}")), "{said}");
    }
    let url = ("CFR__PROFILES__DEFAULT__HISTORY__HTTP__URL", Some("https://h.example/{conversationId}"));
    let none = [http, url, ("CXONE_CLIENT_ID", None), ("CXONE_CLIENT_SECRET", None)];
    let warnings = load(None, &none, Role::Worker).unwrap().warnings.join("\n");
    assert!(warnings.contains("history.http.auth: is \"none\""), "{warnings}");
    let said = problems(&[("CFR__PROFILES__DEFAULT__HISTORY__CACHE__TTL", Some("5m"))]);
    assert!(said.contains("history.cache.ttl: is 300s"), "{said}");
}
