//! The safe answer: what the customer may be told when no decision could be had, in their language.

use std::{borrow::Cow, collections::BTreeMap};

/// The sentence of the original service and its equivalents in the languages most used in contact centres.
const BUILT_IN: [(&str, &str); 10] = [
    ("en", "I am having trouble understanding your request. Connecting you to a specialist."),
    ("es", "No consigo entender su solicitud. Le pongo en contacto con un especialista."),
    ("fr", "J'ai du mal à comprendre votre demande. Je vous mets en relation avec un spécialiste."),
    ("de", "Ich habe Schwierigkeiten, Ihre Anfrage zu verstehen. Ich verbinde Sie mit einem Spezialisten."),
    ("pt", "Não consegui compreender o seu pedido. Vou encaminhar a conversa para um especialista."),
    ("it", "Non riesco a comprendere la Sua richiesta. La metto in contatto con uno specialista."),
    ("nl", "Ik heb moeite om uw vraag te begrijpen. Ik verbind u door met een specialist."),
    ("ja", "ご要望をうまく理解できませんでした。担当者におつなぎします。"),
    ("zh", "很抱歉，我没能理解您的请求。正在为您转接专业客服人员。"),
    ("ar", "أواجه صعوبة في فهم طلبك. سأقوم بتحويلك إلى أحد المختصين."),
];

/// Most characters of a safe answer: it stands in the same field as a suggested response.
const MAX_CHARACTERS: usize = 2_000;

/// The safe answers of a profile, by language.
#[derive(Clone, Debug)]
pub struct SafeAnswers {
    /// Lower-case BCP 47 tag → sentence.
    by_language: BTreeMap<String, Cow<'static, str>>,
    /// A key of `by_language`.
    default_language: String,
}

/// The settings of the safe answers are unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SafeAnswerError {
    /// Neither built in nor given.
    #[error("there is no safe answer for the default language \"{0}\"")]
    NoDefault(String),
    /// Not of the form of a BCP 47 tag.
    #[error("\"{0}\" is not a language tag such as en or pt-BR")]
    Language(String),
    /// Blank or too long.
    #[error("the safe answer for \"{0}\" must have 1 to 2,000 characters")]
    Length(String),
}

impl SafeAnswers {
    /// The built-in sentences, with those of the operator in their place or beside them.
    /// Keys of `overrides` are BCP 47 tags; `default_language` serves triggers without a language we have.
    ///
    /// # Errors
    /// [`SafeAnswerError`], for the first setting that cannot be used.
    pub fn new(overrides: BTreeMap<String, String>, default_language: &str) -> Result<Self, SafeAnswerError> {
        let built_in = BUILT_IN.iter().map(|(language, answer)| ((*language).to_owned(), Cow::Borrowed(*answer)));
        Self::over(built_in.collect(), overrides, default_language)
    }

    /// Only these sentences, whatever they say: [`SafeAnswers::pick`] finds the right one. One of them must serve
    /// `default_language`.
    ///
    /// # Errors
    /// As [`SafeAnswers::new`].
    pub fn of_sentences(sentences: BTreeMap<String, String>, default_language: &str) -> Result<Self, SafeAnswerError> {
        Self::over(BTreeMap::new(), sentences, default_language)
    }

    fn over(
        mut by_language: BTreeMap<String, Cow<'static, str>>,
        sentences: BTreeMap<String, String>,
        default_language: &str,
    ) -> Result<Self, SafeAnswerError> {
        for (language, answer) in sentences {
            if answer.trim().is_empty() || answer.chars().count() > MAX_CHARACTERS {
                return Err(SafeAnswerError::Length(language));
            }
            let tag = normalised(&language).ok_or(SafeAnswerError::Language(language))?;
            by_language.insert(tag, Cow::Owned(answer));
        }
        let default = normalised(default_language)
            .and_then(|tag| best(&by_language, &tag))
            .map(|(tag, _)| tag.to_owned())
            .ok_or_else(|| SafeAnswerError::NoDefault(default_language.to_owned()))?;
        Ok(Self { by_language, default_language: default })
    }

    /// The answer in the language of a trigger. Subtags are dropped from the end until there is one
    /// (lookup, RFC 4647 section 3.4), so `pt-BR` finds `pt`; failing that, the default language.
    #[must_use]
    pub fn pick(&self, language: Option<&str>) -> &str {
        let asked = language.and_then(normalised).and_then(|tag| best(&self.by_language, &tag));
        match asked.or_else(|| self.by_language.get_key_value(&self.default_language)) {
            Some((_, answer)) => answer,
            None => BUILT_IN[0].1,
        }
    }
}

impl Default for SafeAnswers {
    fn default() -> Self {
        let by_language =
            BUILT_IN.iter().map(|(language, answer)| ((*language).to_owned(), Cow::Borrowed(*answer))).collect();
        Self { by_language, default_language: BUILT_IN[0].0.to_owned() }
    }
}

/// A tag in the spelling of our keys: lower case, `-` also where the sender wrote `_` (as locales do).
fn normalised(language: &str) -> Option<String> {
    let tag = language.trim().replace('_', "-").to_ascii_lowercase();
    let subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (tag.len() <= 35 && tag.split('-').all(subtag)).then_some(tag)
}

fn best<'a>(
    by_language: &'a BTreeMap<String, Cow<'static, str>>,
    tag: &str,
) -> Option<(&'a String, &'a Cow<'static, str>)> {
    let mut range = tag;
    loop {
        if let Some(found) = by_language.get_key_value(range) {
            return Some(found);
        }
        range = &range[..range.rfind('-')?];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(overrides: &[(&str, &str)], default: &str) -> Result<SafeAnswers, SafeAnswerError> {
        let overrides = overrides.iter().map(|(tag, text)| ((*tag).to_owned(), (*text).to_owned())).collect();
        SafeAnswers::new(overrides, default)
    }

    #[test]
    fn the_language_of_the_trigger_picks_the_sentence_and_english_serves_the_rest() {
        let answers = answers(&[], "en").unwrap();
        for (language, beginning) in [
            (Some("en"), "I am having trouble"),
            (Some("en-US"), "I am having trouble"),
            (Some("de-CH-1996"), "Ich habe"),
            (Some("DE"), "Ich habe"),
            (Some("pt_BR"), "Não consegui"),
            (Some("zh-Hant-TW"), "很抱歉"),
            (Some("ar-EG"), "أواجه"),
            (Some("ja-JP"), "ご要望"),
            (Some("nl-BE"), "Ik heb"),
            (Some("it"), "Non riesco"),
            (Some("fr-CA"), "J'ai du mal"),
            (Some("es-419"), "No consigo"),
            (Some("fi"), "I am having trouble"),
            (Some(""), "I am having trouble"),
            (Some("en; DROP"), "I am having trouble"),
            (Some("-"), "I am having trouble"),
            (None, "I am having trouble"),
        ] {
            assert!(answers.pick(language).starts_with(beginning), "{language:?}: {}", answers.pick(language));
        }
    }

    #[test]
    fn a_profile_overrides_a_language_or_a_region_and_names_its_default() {
        let answers = answers(&[("de", "Einen Moment."), ("pt-BR", "Um momento."), ("fi", "Hetki.")], "fi").unwrap();
        assert_eq!(answers.pick(Some("de-AT")), "Einen Moment.");
        assert_eq!(answers.pick(Some("pt-br")), "Um momento.");
        assert!(answers.pick(Some("pt-PT")).starts_with("Não consegui"));
        assert_eq!(answers.pick(Some("sv")), "Hetki.");
        assert_eq!(answers.pick(None), "Hetki.");
    }

    #[test]
    fn settings_that_would_leave_a_customer_without_words_are_refused() {
        let long = "x".repeat(2_001);
        for (overrides, default, error) in [
            (vec![], "fi", SafeAnswerError::NoDefault("fi".into())),
            (vec![("en", " ")], "en", SafeAnswerError::Length("en".into())),
            (vec![("en", long.as_str())], "en", SafeAnswerError::Length("en".into())),
            (vec![("english please", "x")], "en", SafeAnswerError::Language("english please".into())),
        ] {
            assert_eq!(answers(&overrides, default).err(), Some(error));
        }
        assert_eq!(answers(&[], "de-AT").unwrap().pick(None), SafeAnswers::default().pick(Some("de")));
    }
}
