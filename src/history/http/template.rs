//! A URL with the trigger's ids in it.

use anyhow::{Context, bail, ensure};

use crate::{egress::Egress, history::HistoryError, trigger::TriggerBody};

/// The parsed template.
pub(super) struct UrlTemplate(Vec<Part>);

enum Part {
    Text(String),
    Id(Id),
}

#[derive(Clone, Copy)]
struct Id {
    name: &'static str,
    of: fn(&TriggerBody) -> Option<&str>,
}

const IDS: [Id; 5] = [
    Id { name: "conversationId", of: |body| Some(&body.conversation_id) },
    Id { name: "userId", of: |body| Some(&body.user_id) },
    Id { name: "sessionId", of: |body| body.session_id.as_deref() },
    Id { name: "contactId", of: |body| body.contact.contact_id.as_deref() },
    Id { name: "caseId", of: |body| body.contact.case_id.as_deref() },
];

impl UrlTemplate {
    /// Parses a template and checks what can be checked without a trigger.
    pub(super) fn parse(template: &str, egress: &Egress) -> anyhow::Result<Self> {
        let parsed = Self(parts(template)?);
        let ids = parsed.0.iter().filter(|part| matches!(part, Part::Id(_))).count();
        ensure!(ids > 0, "names no id of the trigger, so every conversation would be the same; {}", known());
        // Ids that are told apart by their length show whether one of them reaches into the authority.
        let origin =
            |filling: &str| anyhow::Ok(egress.check_configured_url(&parsed.filled(|_| filling.to_owned()))?.origin());
        let outside = "may have ids of the trigger in its path and query only";
        let same = origin("x").context(outside)? == origin("1x").context(outside)?;
        let behind = template.find('{')
            > template.find("://").and_then(|at| Some(at + 3 + template[at + 3..].find(['/', '?'])?));
        ensure!(same && behind, outside);
        Ok(parsed)
    }

    /// The URL for a trigger.
    pub(super) fn expand(&self, body: &TriggerBody) -> Result<String, HistoryError> {
        let ids = self.0.iter().filter_map(|part| match part {
            Part::Id(id) => Some(id),
            Part::Text(_) => None,
        });
        for id in ids {
            let value = (id.of)(body).ok_or(HistoryError::Incomplete(id.name))?;
            // Alone in a path segment, these would walk up the path, however they were encoded.
            if value.is_empty() || matches!(value, "." | "..") {
                return Err(HistoryError::Incomplete(id.name));
            }
        }
        Ok(self.filled(|id| percent_encoded((id.of)(body).unwrap_or_default())))
    }

    fn filled(&self, value: impl Fn(&Id) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Id(id) => value(id),
        };
        self.0.iter().map(part).collect()
    }
}

fn parts(template: &str) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else { bail!("has a {{ without a }}") };
        let id = IDS.into_iter().find(|id| id.name == name);
        let id = id.with_context(|| format!("has {{{name}}}, which is no id of the trigger; {}", known()))?;
        parts.extend([Part::Text(text.to_owned()), Part::Id(id)]);
        rest = behind;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

fn known() -> String {
    let names = IDS.map(|id| format!("{{{}}}", id.name));
    format!("there are {}", names.join(", "))
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`, so that an id stays one segment or one value.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{egress::EgressConfig, trigger::Contact};

    fn parse(template: &str) -> anyhow::Result<UrlTemplate> {
        UrlTemplate::parse(template, &Egress::new(&EgressConfig::default(), None).unwrap())
    }

    fn body(conversation_id: &str) -> TriggerBody {
        let contact = Contact { contact_id: None, case_id: Some("7".to_owned()) };
        TriggerBody { conversation_id: conversation_id.to_owned(), contact, ..TriggerBody::default() }
    }

    #[test]
    fn ids_stay_what_they_are_one_segment_or_one_value() {
        let template = parse("https://h.example/c/{conversationId}/m?case={caseId}&x=1").unwrap();
        for (id, expected) in [
            ("a-b_c.d~e", "a-b_c.d~e"),
            ("a b", "a%20b"),
            ("../x", "..%2Fx"),
            ("a/b?c#d&e=f", "a%2Fb%3Fc%23d%26e%3Df"),
            ("%2e%2e", "%252e%252e"),
            ("ä", "%C3%A4"),
            ("{caseId}", "%7BcaseId%7D"),
        ] {
            let url = template.expand(&body(id)).unwrap();
            assert_eq!(url, format!("https://h.example/c/{expected}/m?case=7&x=1"));
            assert_eq!(url::Url::parse(&url).unwrap().path(), format!("/c/{expected}/m"));
        }
        for id in ["", ".", ".."] {
            assert_eq!(template.expand(&body(id)), Err(HistoryError::Incomplete("conversationId")));
        }
    }

    #[test]
    fn an_id_that_the_trigger_does_not_bring_is_named() {
        let template = parse("https://h.example/{sessionId}").unwrap();
        assert_eq!(template.expand(&body("c")), Err(HistoryError::Incomplete("sessionId")));
    }

    #[test]
    fn a_template_that_would_ask_the_wrong_is_refused_with_what_would_be_right() {
        for (template, expected) in [
            ("https://h.example/all", "names no id"),
            ("https://h.example/{tenant}/{conversationId}", "{tenant}"),
            ("https://h.example/{conversationId", "without a }"),
            ("https://{conversationId}.example/x", "path and query only"),
            ("https://h.example:{conversationId}/x", "path and query only"),
            ("https://{conversationId}@h.example/x", "path and query only"),
            ("{conversationId}://h.example/x", "path and query only"),
            ("https://h.example{conversationId}/x", "path and query only"),
            ("https://h.example#{conversationId}", "path and query only"),
            ("http://h.example/{conversationId}", "path and query only"),
        ] {
            let problem = format!("{:#}", parse(template).err().unwrap());
            assert!(problem.contains(expected), "{problem}");
        }
        assert!(parse("https://h.example?c={conversationId}").is_ok());
    }
}
