//! What describes the settings: the committed schema and page are those of the types, and every example fits.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cognigy_fallback_router::config::{self, DEFAULTS, PROFILE_DEFAULTS, Sources, manual};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

#[test]
fn the_committed_schema_and_page_are_those_of_the_types() {
    let schema = serde_json::to_string_pretty(&manual::schema().unwrap()).unwrap() + "\n";
    let page = manual::reference().unwrap();
    for (path, made, verb) in
        [("deploy/config.schema.json", schema, "schema"), ("deploy/docs/configuration.md", page, "reference")]
    {
        assert!(committed(path) == made, "{path} has drifted: cargo run --bin cfr -- config {verb} > {path}");
    }
}

fn toml(text: &str) -> Value {
    let parsed = ::config::Config::builder().add_source(::config::File::from_str(text, ::config::FileFormat::Toml));
    parsed.build().unwrap().try_deserialize().unwrap()
}

/// Every problem of a settings file, as an editor would show it.
fn problems(settings: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(&manual::schema().unwrap()).unwrap();
    validator.iter_errors(settings).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The settings files of this repository: whole files, and the blocks of its pages.
fn examples() -> BTreeMap<PathBuf, Vec<String>> {
    let mut examples = BTreeMap::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "corpus" {
                folders.push(path);
            } else if extension == "toml"
                && !["Cargo", "clippy", "rustfmt", "deny", "rig", "table"].contains(&name.trim_end_matches(".toml"))
            {
                let text = fs::read_to_string(&path).unwrap();
                examples.insert(path, vec![text]);
            } else if extension == "md" {
                let text = fs::read_to_string(&path).unwrap();
                let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
                examples.insert(path, blocks.collect());
            }
        }
    }
    examples
}

#[test]
fn every_example_of_settings_fits_the_schema() {
    let mut seen = 0;
    for (path, blocks) in examples() {
        for block in blocks {
            // The defaults of a profile are the inside of one.
            let profile = path.ends_with("src/config/profile.toml");
            let settings = if profile { json!({ "profiles": { "default": toml(&block) } }) } else { toml(&block) };
            assert_eq!(problems(&settings), Vec::<String>::new(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} examples were found");
    let defaults = json!({ "profiles": { "default": toml(PROFILE_DEFAULTS) } });
    assert_eq!(problems(&defaults), Vec::<String>::new());
    assert_eq!(problems(&toml(DEFAULTS)), Vec::<String>::new());
}

#[test]
fn mistakes_do_not_fit_the_schema() {
    for (text, place) in [
        ("[ingress]\nlistne = \"x\"", "/ingress"),
        ("[queue]\nbackend = \"kafka\"", "/queue/backend"),
        ("[ingress]\nbody_timeout = \"soon\"", "/ingress/body_timeout"),
        ("[worker.slots]\nwork = 0", "/worker/slots/work"),
        ("[profiles.sales]\nintents = [{ description = \"without a name\" }]", "/profiles/sales/intents/0"),
        ("[profiles.\"a b\"]", "/profiles"),
        ("[ingress.tls]\ncertificate_file = \"only one of two\"", "/ingress/tls"),
    ] {
        let problems = problems(&toml(text));
        assert!(problems.iter().any(|problem| problem.starts_with(place)), "{text}: {problems:?}");
    }
    let good = "[profiles.sales.webhook]\nsecrets_file = \"/run/secrets/sales\"\n[queue.rabbitmq]\nurls_file = \"u\"\n\
                [profiles.sales.llm]\napi_key_file = \"k\"\nprices = { m = { input = 1, output = 2.5 } }";
    assert_eq!(problems(&toml(good)), Vec::<String>::new());
}

/// A setting that the schema has and the settings do not, or the other way round, would mislead.
#[test]
fn the_schema_has_the_settings_that_are_read() {
    let schema = manual::schema().unwrap();
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    for pointer in ["/properties/ingress", "/properties/queue/properties/rabbitmq", "/properties/worker"] {
        for (key, value) in schema.pointer(pointer).unwrap()["properties"].as_object().unwrap() {
            let Some(default) = value.get("default") else { continue };
            let section = pointer.replace("/properties/", ".").trim_start_matches('.').to_owned();
            fs::write(file.path(), format!("[{section}]\n{key} = {default}\n")).unwrap();
            let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
            config::load_unchecked(&sources).unwrap_or_else(|problem| panic!("{section}.{key}: {problem}"));
        }
    }
}

#[test]
fn secrets_are_marked_and_none_has_a_value() {
    let page = manual::reference().unwrap();
    for line in page.lines().filter(|line| line.contains("**secret**") && !line.contains("amqp://guest")) {
        let default = line.split('|').nth(3).unwrap().trim();
        assert!(["", "`[]`", "`{}`"].contains(&default), "{line}");
    }
    for name in ["COGNIGY_WEBHOOK_SECRET", "LLM_GATEWAY_API_KEY", "CXONE_CLIENT_SECRET_FILE", "AMQP_URL"] {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
