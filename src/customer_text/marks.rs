//! The marks by which chat templates tell one speaker from another, made harmless.

/// Beginnings of marks, in small letters: a space after the first character takes their power and leaves them readable.
/// Those of ChatML, GPT, Llama, Phi, Cohere, Granite (`<|`), DeepSeek (`<｜`), Llama 2, Mistral, Gemma, ChatGLM, InternLM, T5,
/// Nemotron, of models for code, and those around thoughts and calls of tools.
const MARKS: [&str; 66] = [
    "<|",
    "|>",
    "<｜",
    "｜>",
    "<<sys>>",
    "<</sys>>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
    "<mask>",
    "<bos_token>",
    "<eos_token>",
    "<beginning_of_",
    "<start_of_",
    "<end_of_",
    "<start_function_",
    "<end_function_",
    "<sop>",
    "<eop>",
    "<eoh>",
    "<eoa>",
    "<eom>",
    "<extra_id_",
    "<reserved_",
    "<special_",
    "<unused",
    "<fim_",
    "<think>",
    "</think>",
    "<thinking>",
    "</thinking>",
    "<tool_",
    "</tool_",
    "<tools>",
    "</tools>",
    "<function_",
    "</function_",
    "<function=",
    "</function>",
    "<invoke ",
    "</invoke>",
    "[inst]",
    "[/inst]",
    "[system_prompt]",
    "[/system_prompt]",
    "[available_tools]",
    "[/available_tools]",
    "[tool_",
    "[/tool_",
    "[call_id]",
    "[args]",
    "[img]",
    "[img_",
    "[think]",
    "[/think]",
    "[prefix]",
    "[suffix]",
    "[middle]",
    "[gmask]",
    "[smask]",
    "[mask]",
    "[cls]",
    "[sep]",
];

/// The text with a space inside each mark.
pub(super) fn without(text: String) -> String {
    if !text.contains(['<', '|', '｜', '[']) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        safe.push(c);
        if matches!(c, '<' | '|' | '｜' | '[') && MARKS.iter().any(|mark| begins_with(&text[at..], mark)) {
            safe.push(' ');
        }
    }
    safe
}

fn begins_with(text: &str, mark: &str) -> bool {
    text.as_bytes().get(..mark.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(mark.as_bytes()))
}
