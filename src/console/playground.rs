//! *Playground*: what a template makes of a trigger, and a model of that. It never sends a callback.

mod view;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Extension,
    extract::{Query, State},
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{
    Console,
    access::Visitor,
    guard::Fields,
    letters,
    page::{self, Part},
    trial::{self, Attempt},
};
use crate::{
    dead_letters::Operator,
    pipeline,
    prompt::cases::{self, Case},
    trigger::TriggerId,
};

use self::view::Shown;

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    profile: String,
}

/// The playground with the sample trigger of a profile.
pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Query(which): Query<Which>,
) -> Response {
    match fresh(&console, &which.profile, None) {
        Some(attempt) => whole(&console, &visitor, &attempt, &Shown::Nothing).into_response(),
        None => no_profile(),
    }
}

/// A profile's templates with a trigger, or else with their sample. Without a name the first profile.
fn fresh(console: &Console, profile: &str, trigger: Option<String>) -> Option<Attempt> {
    let bots = &console.parts.bots;
    let (name, bot) = if profile.is_empty() { bots.first_key_value()? } else { bots.get_key_value(profile)? };
    let templates = &bot.replayer.templates;
    let (system, user) = templates.sources();
    let trigger = trigger.unwrap_or_else(|| templates.sample().to_owned());
    Some(Attempt { profile: name.clone(), system: system.to_owned(), user: user.to_owned(), trigger })
}

fn no_profile() -> Response {
    page::problem(StatusCode::NOT_FOUND, "No such profile", "The settings of this console have no such profile.")
}

/// Opens a trigger here that failed: one in memory, or a dead letter. Its words are shown, so the audit log says so.
pub(super) async fn open(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let given = if fields.get("outcome").is_empty() { fields.get("letter") } else { fields.get("outcome") };
    let Ok(id) = given.parse::<TriggerId>() else { return no_trigger() };
    let found = if fields.get("outcome").is_empty() {
        of_letter(&console, id).await
    } else {
        of_story(&console, id).ok_or_else(no_trigger)
    };
    let (profile, trigger) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    Operator(visitor.name.clone()).did("playground_opened", "one", &[id]);
    let pretty = serde_json::to_string_pretty(&trigger).unwrap_or_default();
    match fresh(&console, &profile, Some(pretty)) {
        Some(attempt) => whole(&console, &visitor, &attempt, &Shown::Nothing).into_response(),
        None => no_profile(),
    }
}

fn no_trigger() -> Response {
    page::problem(
        StatusCode::NOT_FOUND,
        "No such trigger",
        "Its words are neither in memory nor among the dead letters.",
    )
}

fn of_story(console: &Console, id: TriggerId) -> Option<(String, serde_json::Value)> {
    let story = console.recent().get(&id.to_string())?.story;
    Some((story.profile, story.told?.trigger))
}

async fn of_letter(console: &Console, id: TriggerId) -> Result<(String, serde_json::Value), Response> {
    let letters = letters::find(console, id).await?;
    let letter =
        letters.into_iter().find(|letter| letter.message.envelope.stored_at.is_none()).ok_or_else(no_trigger)?;
    let mut trigger = serde_json::from_slice(&letter.message.body).map_err(|_| no_trigger())?;
    let profile = letter.message.envelope.profile;
    pipeline::redact(&mut trigger, console.parts.redaction(&profile));
    Ok((profile, trigger))
}

fn attempt(fields: &Fields) -> Attempt {
    let text = |name| fields.get(name).to_owned();
    Attempt { profile: text("profile"), system: text("system"), user: text("user"), trigger: text("trigger") }
}

/// Renders the prompt; asks nobody.
pub(super) async fn render(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    headers: HeaderMap,
) -> Html<String> {
    let attempt = attempt(&fields);
    let shown = match trial::render(&console, &attempt).await {
        Ok(rendered) => Shown::Prompt(rendered.prompt),
        Err(problems) => Shown::Problems(problems),
    };
    answer(&console, &visitor, &attempt, &shown, &headers)
}

/// Renders the prompt, asks the models, validates. Noted in the audit log: it costs money.
pub(super) async fn run(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    headers: HeaderMap,
) -> Html<String> {
    let attempt = attempt(&fields);
    let shown = match trial::render(&console, &attempt).await {
        Err(problems) => Shown::Problems(problems),
        Ok(rendered) => match trial::run(&console, &attempt.profile, &rendered).await {
            Err(problems) => Shown::Problems(problems),
            Ok(ran) => {
                let id = ran.decided.outcome.trigger_id;
                Operator(visitor.name.clone()).did("playground_run", &attempt.profile, &[id]);
                Shown::Run(Box::new(ran))
            }
        },
    };
    answer(&console, &visitor, &attempt, &shown, &headers)
}

/// The whole page, or for a script that asks so only what is new of it.
fn answer(console: &Console, visitor: &Visitor, attempt: &Attempt, shown: &Shown, headers: &HeaderMap) -> Html<String> {
    match headers.contains_key("x-part") {
        true => Html(view::result(console, visitor, attempt, shown).into_string()),
        false => whole(console, visitor, attempt, shown),
    }
}

fn whole(console: &Console, visitor: &Visitor, attempt: &Attempt, shown: &Shown) -> Html<String> {
    page::page(console, visitor, Part::Playground, "Playground", &view::content(console, visitor, attempt, shown))
}

/// Keeps a run as a test case: in the template set's folder, or as a file for whoever asks.
pub(super) async fn save(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let (profile, name) = (fields.get("profile").to_owned(), fields.get("name").to_owned());
    let (Some(bot), Ok(trigger)) = (console.parts.bots.get(&profile), serde_json::from_str(fields.get("trigger")))
    else {
        return no_profile();
    };
    if !cases::is_name(&name) {
        return page::problem(
            StatusCode::BAD_REQUEST,
            "Not a name",
            "A name has 1 to 64 small letters, digits and dashes.",
        );
    }
    let answer = fields.get("answer").replace("\r\n", "\n");
    let expected = pipeline::became(&bot.replayer.schema, &answer);
    let case = Case { profile: profile.clone(), trigger, answer, expected };
    Operator(visitor.name.clone()).did("test_case_saved", &profile, &[]);
    let folder = folder(&console, bot.replayer.templates.name()).filter(|_| fields.get("how") == "keep");
    match folder {
        None => download(&name, case.text()),
        Some(folder) => match case.save(&folder, &name) {
            Ok(()) => page::plain("Kept", &view::kept(&folder.join(format!("{name}.json")))).into_response(),
            Err(problem) => page::problem(StatusCode::CONFLICT, "Not kept", &problem),
        },
    }
}

/// Where the test cases of a set are kept.
fn folder(console: &Console, set: &str) -> Option<PathBuf> {
    Some(console.parts.templates.as_ref()?.join(set).join(cases::FOLDER))
}

fn download(name: &str, text: String) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(file) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.json\"")) {
        headers.insert(header::CONTENT_DISPOSITION, file);
    }
    response
}
