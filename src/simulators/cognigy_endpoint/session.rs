//! What the simulated Cognigy remembers of one conversation.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::simulators::cxone_digital::{CaseAuthor, Digital};

/// Lines of one conversation that are kept; the newest.
const MOST_LINES: usize = 1000;

/// By which way the customer speaks with the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimulatedChannel {
    /// Webchat: results can be injected.
    Webchat,
    /// Voice Gateway: results can be injected, and the history comes with the trigger.
    Voice,
    /// A CXone text bot: nothing can be pushed; the flow holds its turn, or asks in the next one.
    CxoneText,
}

impl SimulatedChannel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Webchat, Self::Voice, Self::CxoneText];

    /// `input.endpointType`, and `input.channel`.
    #[must_use]
    pub fn endpoint_type(self) -> &'static str {
        match self {
            Self::Webchat => "webchat3",
            Self::Voice => "voiceGateway2",
            Self::CxoneText => "niceCXOne",
        }
    }

    /// The token of the endpoint, as Cognigy makes them.
    #[must_use]
    pub fn url_token(self) -> &'static str {
        match self {
            Self::Webchat => "4e5e0f5ad1c7d6b0a1f2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60c17",
            Self::Voice => "77aa0f5ad1c7d6b0a1f2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60d28",
            Self::CxoneText => "b0c10f5ad1c7d6b0a1f2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60e39",
        }
    }

    pub(super) fn of_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.url_token() == token)
    }

    /// True where a flow has to ask for results.
    pub(super) fn is_polled(self) -> bool {
        self == Self::CxoneText
    }
}

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The customer.
    Customer,
    /// The bot.
    Bot,
}

/// One line as the customer sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Who said it.
    pub speaker: Speaker,
    /// The words.
    pub text: String,
}

// It is a customer's conversation.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("speaker", &self.speaker).finish_non_exhaustive()
    }
}

/// A session.
pub(super) struct Session {
    pub(super) channel: SimulatedChannel,
    pub(super) user_id: String,
    /// The case of CXone that the same conversation is, and where it is kept.
    case: Option<(String, Digital)>,
    pub(super) lines: VecDeque<Line>,
    /// Runs of the flow.
    pub(super) turns: u64,
    /// Triggers whose results were received.
    pub(super) seen: VecDeque<String>,
    /// The trigger whose result is still to be asked for.
    pub(super) pending: Option<String>,
    pub(super) handed_over: bool,
    /// When something last happened in it.
    pub(super) touched: Instant,
    /// False when it was made by an injection after its end: nobody reads along.
    pub(super) connected: bool,
}

impl Session {
    pub(super) fn new(channel: SimulatedChannel, user_id: &str, case: Option<(String, Digital)>) -> Self {
        Self {
            channel,
            user_id: user_id.to_owned(),
            case,
            lines: VecDeque::new(),
            turns: 0,
            seen: VecDeque::new(),
            pending: None,
            handed_over: false,
            touched: Instant::now(),
            connected: true,
        }
    }

    pub(super) fn customer_says(&mut self, text: &str) {
        self.say(Speaker::Customer, text);
    }

    pub(super) fn bot_says(&mut self, text: &str) {
        self.say(Speaker::Bot, text);
    }

    fn say(&mut self, speaker: Speaker, text: &str) {
        if self.lines.len() == MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { speaker, text: text.to_owned() });
        if let Some((case, digital)) = &self.case {
            let author = if speaker == Speaker::Customer { CaseAuthor::Customer } else { CaseAuthor::Bot };
            digital.say(case, author, text);
        }
    }

    /// The trigger of a message that was not understood, as the node of the Extension makes it.
    pub(super) fn trigger(&self, session_id: &str, text: &str) -> Value {
        let mut trigger = json!({
            "conversationId": session_id, "sessionId": session_id, "userId": self.user_id, "lastMessage": text,
            "confidenceScore": null, "detectedIntent": null, "urlToken": self.channel.url_token(),
            "channel": self.channel.endpoint_type(), "endpointType": self.channel.endpoint_type(),
            "inputId": format!("{session_id}-{}", self.turns), "language": "en-US",
        });
        match &self.case {
            Some((case, _)) => trigger["contact"] = json!({"caseId": case}),
            // All but the message itself, which is the newest line.
            None => trigger["history"] = self.lines.iter().rev().skip(1).take(10).rev().map(turn).collect(),
        }
        trigger
    }
}

fn turn(line: &Line) -> Value {
    let role = if line.speaker == Speaker::Customer { "user" } else { "assistant" };
    json!({"role": role, "text": line.text})
}
