//! Replies as JSON: lists and sets as arrays, maps as objects, an error as an object with one field.

use serde_json::{Map, Number, Value as Json};

use super::Value;

/// The same in JSON. Bytes that are no text become question marks in a diamond.
pub(in crate::cli) fn to_json(value: &Value) -> Json {
    match value {
        Value::Array(elements) | Value::Push(elements) | Value::Set(elements) => {
            elements.iter().map(to_json).collect()
        }
        Value::BigNumber(digits) => Json::String(digits.clone()),
        Value::Boolean(value) => Json::Bool(*value),
        Value::Bulk(bytes) | Value::Verbatim(bytes) => Json::String(text(bytes)),
        // JSON knows no infinity.
        Value::Double(digits) => match digits.parse().ok().and_then(Number::from_f64) {
            Some(number) => Json::Number(number),
            None => Json::String(digits.clone()),
        },
        Value::Error(text) => {
            Json::Object(Map::from_iter([("error".to_owned(), Json::String(text.clone()))]))
        }
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Map(pairs) => {
            Json::Object(pairs.iter().map(|(name, value)| (key(name), to_json(value))).collect())
        }
        Value::Null => Json::Null,
        Value::Simple(text) => Json::String(text.clone()),
    }
}

/// JSON's names are strings.
fn key(name: &Value) -> String {
    match to_json(name) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_json() {
        let list = vec![
            Value::Bulk(b"a\"\xff".to_vec()),
            Value::Integer(-1),
            Value::Null,
            Value::Boolean(true),
            Value::Double("1.5".to_owned()),
            Value::Double("inf".to_owned()),
            Value::Map(vec![(Value::Integer(1), Value::Set(vec![]))]),
            Value::Error("ERR no".to_owned()),
        ];
        let expected =
            "[\"a\\\"\u{fffd}\",-1,null,true,1.5,\"inf\",{\"1\":[]},{\"error\":\"ERR no\"}]";
        assert_eq!(to_json(&Value::Array(list)).to_string(), expected);
    }
}
