//! Settings from the environment: `CFR__SECTION__KEY`, and the short names of the original service.

use std::{collections::BTreeMap, net::SocketAddr};

use config::{ConfigError, FileFormat, Map, Source, Value, ValueKind};

/// Short names, the key each stands for, and whether that key is a list.
pub(super) const SHORT_NAMES: &[(&str, &str, bool)] = &[
    ("COGNIGY_WEBHOOK_SECRET", "profiles.default.webhook.secrets", true),
    ("CXONE_CLIENT_ID", "profiles.default.history.cxone.client_id", false),
    ("CXONE_CLIENT_SECRET", "profiles.default.history.cxone.client_secret", false),
    ("CXONE_ACCESS_KEY_ID", "profiles.default.history.cxone_digital.access_key_id", false),
    ("CXONE_ACCESS_KEY_SECRET", "profiles.default.history.cxone_digital.access_key_secret", false),
    ("CXONE_BASE_URL", "profiles.default.history.cxone.base_url", false),
    ("LLM_GATEWAY_BASE_URL", "profiles.default.llm.base_url", false),
    ("LLM_GATEWAY_API_KEY", "profiles.default.llm.api_key", false),
    ("LLM_MODEL", "profiles.default.llm.models", true),
    ("COGNIGY_CALLBACK_URL", "profiles.default.callback.url", false),
    ("COGNIGY_CALLBACK_SECRET", "profiles.default.callback.secrets", true),
    ("AMQP_URL", "queue.rabbitmq.urls", true),
];

/// The tree of settings that the environment makes, as a source of the `config` crate.
#[derive(Clone, Debug)]
pub(super) struct Overrides(pub(super) Map<String, Value>);

impl Source for Overrides {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads the variables. Short names first: the long form of the same key wins.
pub(super) fn overrides(environment: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Map<String, Value> {
    let mut tree = Map::new();
    for (name, path, list) in SHORT_NAMES {
        if let Some(text) = environment.get(*name) {
            let value = Value::from(text.as_str());
            let value = if *list { Value::new(None, ValueKind::Array(vec![value])) } else { value };
            insert(&mut tree, &path.split('.').collect::<Vec<_>>(), value);
        }
        if let Some(file) = environment.get(&format!("{name}_FILE")) {
            insert(&mut tree, &format!("{path}_file").split('.').collect::<Vec<_>>(), Value::from(file.as_str()));
        }
    }
    for (name, text) in environment {
        let Some(path) = name.strip_prefix("CFR__") else { continue };
        let path = path.to_ascii_lowercase();
        match value(text) {
            Ok(value) => insert(&mut tree, &path.split("__").collect::<Vec<_>>(), value),
            Err(()) => problems.push(format!("{name}: begins with [ but is neither a TOML list, e.g. [\"a\", \"b\"], nor an address with its port, e.g. [::]:8000")),
        }
    }
    tree
}

/// Text stays text and becomes a number or a boolean only where the setting is one, so that a secret of digits keeps
/// its zeros. An IPv6 address to listen on begins like a list, but is none.
fn value(text: &str) -> Result<Value, ()> {
    if !text.starts_with('[') || text.parse::<SocketAddr>().is_ok() {
        return Ok(Value::from(text));
    }
    config::Config::builder()
        .add_source(config::File::from_str(&format!("list = {text}"), FileFormat::Toml))
        .build()
        .and_then(|parsed| parsed.get::<Value>("list"))
        .map_err(|_| ())
}

fn insert(tree: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => {
            tree.insert((*key).to_owned(), value);
        }
        [section, rest @ ..] => {
            let section = tree.entry((*section).to_owned()).or_insert_with(|| Value::from(Map::<String, Value>::new()));
            if !matches!(section.kind, ValueKind::Table(_)) {
                section.kind = ValueKind::Table(Map::new());
            }
            if let ValueKind::Table(section) = &mut section.kind {
                insert(section, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_bracket_is_a_list_or_an_address_to_listen_on() {
        for address in ["[::]:8000", "[::1]:0", "[fe80::1]:9464"] {
            assert_eq!(value(address).unwrap(), Value::from(address));
        }
        let list = value(r#"["a", "[::]:8000"]"#).unwrap().into_array().unwrap();
        assert_eq!(list.len(), 2);
        for neither in ["[::]", "[::]:port", "[a", "[::]:8000 "] {
            assert!(value(neither).is_err(), "{neither}");
        }
        let environment = BTreeMap::from([("CFR__INGRESS__LISTEN".to_owned(), "[::1]:8000".to_owned())]);
        let mut problems = Vec::new();
        let tree = overrides(&environment, &mut problems);
        assert!(problems.is_empty());
        let listen = tree["ingress"].clone().into_table().unwrap()["listen"].clone();
        assert_eq!(listen.into_string().unwrap(), "[::1]:8000");
    }
}
