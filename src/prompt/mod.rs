//! Prompts: Tera templates, compiled and rendered with a sample at start, so that a broken one stops the start.

pub mod cases;
mod files;
mod filters;

use std::path::Path;

use serde_json::Value;
use tera::{Context, ErrorKind, Tera};

use self::files::Files;
use crate::{
    conversation::Conversation,
    decision::{DecisionRules, DecisionSchema},
    trigger::TriggerBody,
};

const SYSTEM: &str = "system.tera";
const USER: &str = "user.tera";
const SCHEMA: &str = "decision.schema.json";
const SAMPLE: &str = "sample.trigger.json";

/// What the model is asked: the operator's words apart from the customer's.
#[derive(Clone)]
pub struct Prompt {
    /// The system message: operator text only.
    pub system: String,
    /// The user message: the customer's words, as data in a marked block.
    pub user: String,
}

/// What a template may use. All text in it is already redacted.
///
/// `system.tera` sees `intents`, `schema` (the text of the schema file) and `block_id`, and nothing that a customer
/// wrote. `user.tera` sees those and `history`, `detected_intent`, `confidence`, `candidates`, `metadata`,
/// `last_message`, `language` and `channel`.
pub struct PromptInput<'a> {
    /// The trigger, redacted.
    pub trigger: &'a TriggerBody,
    /// The conversation, redacted.
    pub conversation: &'a Conversation,
    /// Intents that the model may choose from; empty: free choice.
    pub intents: &'a [Intent],
    /// The random id that marks the data block of this request.
    pub block_id: &'a str,
}

/// An intent of a profile's allow-list.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Its name, as the outcome shall spell it.
    pub name: String,
    /// What it is for; tells the model when to choose it.
    #[serde(default)]
    pub description: String,
    /// Names of the parameters that may be extracted for it; others are dropped. Not set: any.
    #[serde(default)]
    pub parameters: Option<Vec<String>>,
    /// True when a human has to take over whatever the model says.
    #[serde(default)]
    pub high_risk: bool,
}

/// One template set: `system.tera`, `user.tera`, `decision.schema.json`, `sample.trigger.json`.
pub struct TemplateSet {
    name: String,
    id: String,
    tera: Tera,
    schema: Value,
    /// As their authors wrote them; the schema goes into the prompt so.
    files: Files,
}

/// A template set cannot serve. The text names the file, and for syntax errors the line.
#[derive(Debug, thiserror::Error)]
#[error("template set \"{set}\": {problem}")]
pub struct TemplateError {
    /// Name of the set.
    pub set: String,
    /// What is wrong with it.
    pub problem: String,
}

impl TemplateSet {
    /// Loads a set from `directory/<name>/`, or the one that is compiled in (`default`) when there is no directory,
    /// and renders it with its sample and with the barest trigger there can be: without history, guess or metadata.
    ///
    /// # Errors
    /// [`TemplateError`] for a missing file, a syntax error, an undefined variable, an invalid schema or sample.
    pub fn load(directory: Option<&Path>, name: &str) -> Result<Self, TemplateError> {
        let fault = |problem| TemplateError { set: name.to_owned(), problem };
        let files = files::read(directory, name).map_err(fault)?;
        Self::compile(name, files).map_err(fault)
    }

    /// This set with other texts of its two templates, tried out like any other.
    ///
    /// # Errors
    /// As [`TemplateSet::load`].
    pub fn edited(&self, system: &str, user: &str) -> Result<Self, TemplateError> {
        let files = Files { system: system.to_owned(), user: user.to_owned(), ..self.files.clone() };
        Self::compile(&self.name, files).map_err(|problem| TemplateError { set: self.name.clone(), problem })
    }

    fn compile(name: &str, files: Files) -> Result<Self, String> {
        let mut tera = Tera::new();
        tera.autoescape_on(Vec::<&str>::new());
        tera.register_filter("json", filters::json);
        for (file, text) in [(SYSTEM, &files.system), (USER, &files.user)] {
            tera.add_raw_template(file, text).map_err(|error| located(file, &error))?;
        }
        let schema: Value = serde_json::from_str(&files.schema).map_err(|error| format!("{SCHEMA}: {error}"))?;
        DecisionSchema::compile(&schema, DecisionRules::default()).map_err(|error| format!("{SCHEMA}: {error}"))?;
        let set = Self { name: name.to_owned(), id: files.id(name), tera, schema, files };
        set.try_out()?;
        Ok(set)
    }

    /// Renders everything once, so that nothing is left to fail at the first customer.
    fn try_out(&self) -> Result<(), String> {
        let sample = TriggerBody::parse(self.files.sample.as_bytes()).map_err(|problems| {
            let broken = problems.iter().map(|problem| format!("{} {}", problem.pointer, problem.message));
            format!("{SAMPLE}: {}", broken.collect::<Vec<_>>().join("; "))
        })?;
        let conversation = Conversation { turns: sample.history.clone(), ..Conversation::default() };
        let intent = Intent {
            name: "intent".to_owned(),
            description: "description".to_owned(),
            parameters: Some(vec!["parameter".to_owned()]),
            ..Intent::default()
        };
        let full =
            PromptInput { trigger: &sample, conversation: &conversation, intents: &[intent], block_id: "sample" };
        self.render_both(&full).map_err(|(file, error)| located(file, &error))?;

        let (trigger, conversation) = (TriggerBody::default(), Conversation::default());
        let bare = PromptInput { trigger: &trigger, conversation: &conversation, intents: &[], block_id: "sample" };
        self.render_both(&bare)
            .map_err(|(file, error)| format!("{} (with no optional field in the trigger)", located(file, &error)))?;
        Ok(())
    }

    /// The identity for the outcome's `meta.template`: name and the first 12 hex digits of the files' SHA-256.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source texts of the system and the user template.
    #[must_use]
    pub fn sources(&self) -> (&str, &str) {
        (&self.files.system, &self.files.user)
    }

    /// The JSON of its sample trigger.
    #[must_use]
    pub fn sample(&self) -> &str {
        &self.files.sample
    }

    /// The decision schema of this set.
    #[must_use]
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Renders the two messages.
    ///
    /// # Errors
    /// When a template uses something this input does not have. The text names the place only: what Tera says of it
    /// could repeat a customer's words.
    pub fn render(&self, input: &PromptInput<'_>) -> Result<Prompt, TemplateError> {
        self.render_both(input).map_err(|(file, error)| TemplateError {
            set: self.name.clone(),
            problem: format!("{}: does not render for this trigger", place(file, &error)),
        })
    }

    fn render_both(&self, input: &PromptInput<'_>) -> Result<Prompt, (&'static str, tera::Error)> {
        let mut context = Context::new();
        context.insert("intents", input.intents);
        context.insert("schema", self.files.schema.trim());
        context.insert("block_id", input.block_id);
        let system = self.tera.render(SYSTEM, &context).map_err(|error| (SYSTEM, error))?;

        context.insert("history", &input.conversation.turns);
        context.insert("detected_intent", &input.trigger.detected_intent);
        context.insert("confidence", &input.trigger.confidence_score);
        context.insert("candidates", &input.trigger.candidates);
        context.insert("metadata", &input.trigger.metadata);
        context.insert("last_message", &input.trigger.last_message);
        context.insert("language", &input.trigger.language);
        context.insert("channel", &input.trigger.channel);
        let user = self.tera.render(USER, &context).map_err(|error| (USER, error))?;
        Ok(Prompt { system, user })
    }
}

/// `file:line: what`, for templates and samples that hold nobody's data.
fn located(file: &str, error: &tera::Error) -> String {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            format!("{}: {}", place(file, error), report.message())
        }
        other => format!("{}: {other}", place(file, error)),
    }
}

fn place(file: &str, error: &tera::Error) -> String {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            format!("{file}:{}", report.span().start_line)
        }
        _ => file.to_owned(),
    }
}

// It holds customer text.
impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prompt").finish_non_exhaustive()
    }
}
