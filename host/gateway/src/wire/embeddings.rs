//! OpenAI's Embeddings: `POST /v1/embeddings`. Texts are searched like any other, so that what is embedded holds tokens in
//! the place of identifiers; the answer is numbers alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::json::Json;
use super::shape::Builder;
use super::{Api, Manner};
use crate::config::RequestLimits;
use crate::receive::{Call, Malformed, model};
use crate::said::Said;

/// Reads the fields of a request.
pub(super) fn read(
    mut fields: Fields,
    limits: &RequestLimits,
) -> Result<(Call, Manner), Malformed> {
    const RULE: &str = "a string, or a list of strings no longer than `limits.messages`: numbers of a tokenizer cannot \
                        be searched for identifiers (to LangChain say `check_embedding_ctx_length=False`)";
    let mut manner = Manner::of(Api::Embeddings, model(&mut fields)?);
    let texts: Option<Vec<String>> = match fields.take("input") {
        Some(Json::Text(text)) => Some(vec![text]),
        Some(Json::List(texts)) if (1..=limits.messages).contains(&texts.len()) => {
            texts.into_iter().map(Json::into_text).collect()
        }
        _ => None,
    };
    let texts = texts.ok_or_else(|| wrong("input", RULE))?;
    let count = texts.len();
    let mut builder = Builder::default();
    for text in texts {
        builder.text("user", text);
    }
    builder.option("operation", Json::fixed("embeddings"));
    if let Some(dimensions) = fields.count("dimensions")? {
        builder.option("dimensions", Json::Exact(dimensions.into()));
    }
    const FORMAT: &str = "`float` or `base64`";
    let format = fields.text_that("encoding_format", FORMAT, |format| {
        ["float", "base64"].contains(&format)
    })?;
    manner.wants_base64 = format.as_deref() == Some("base64");
    fields.keep_here(&["user"]);
    fields.finish(&[])?;
    let mut call = builder.call(manner.model.clone(), None, None, false);
    call.embeddings = Some(count);
    Ok((call, manner))
}

/// The reply's body.
pub(super) fn reply(said: &Said, manner: &Manner) -> Value {
    let entry = |(index, vector): (usize, &Vec<f32>)| {
        let embedding: Value = if manner.wants_base64 {
            // 32-bit floats, little-endian: what OpenAI's clients decode.
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            STANDARD.encode(bytes).into()
        } else {
            vector.iter().map(number).collect()
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    let data: Vec<Value> = said.embeddings.iter().enumerate().map(entry).collect();
    let tokens = said.input_tokens.unwrap_or_default();
    json!({
        "object": "list",
        "data": data,
        "model": manner.model,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })
}

/// The number in as few digits as tell it from its neighbours.
fn number(number: &f32) -> Value {
    let digits: Option<f64> = number.to_string().parse().ok();
    digits.map_or(Value::Null, Value::from)
}
