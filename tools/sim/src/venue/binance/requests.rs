//! The JSON control messages of a stream connection: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS,
//! SET_PROPERTY, GET_PROPERTY and the errors (binance-spot-api-docs web-socket-streams.md,
//! "Live subscribing/unsubscribing to streams", 2026-07).

use serde_json::Value;

use super::frames::Json;

/// A request's id: echoed as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestId {
    Int(i64),
    Text(String),
    Null,
    /// The request had none; nor has the answer to an error.
    Absent,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    List,
    SetCombined(bool),
    GetCombined,
}

/// An error answer: the codes are 0 unknown property, 1 wrong type, 2 invalid request, 3 invalid
/// JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) msg: String,
    pub(super) id: RequestId,
}

const METHODS: &str = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, \
                       `GET_PROPERTY`";

pub(super) fn parse(text: &str) -> Result<(RequestId, Request), Refusal> {
    let value: Value = serde_json::from_str(text).map_err(|error| Refusal {
        code: 3,
        msg: format!("Invalid JSON: {error}"),
        id: RequestId::Absent,
    })?;
    let id = id(&value)?;
    let refuse = |code, msg: String| {
        Err(Refusal {
            code,
            msg,
            id: id.clone(),
        })
    };
    let Some(method) = value.get("method") else {
        return refuse(2, "Invalid request: missing field `method`".to_owned());
    };
    let params = value.get("params");
    let request = match method.as_str() {
        Some("SUBSCRIBE") => Request::Subscribe(names(params, &id)?),
        Some("UNSUBSCRIBE") => Request::Unsubscribe(names(params, &id)?),
        Some("LIST_SUBSCRIPTIONS") => Request::List,
        Some("SET_PROPERTY") => {
            let list = params
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            match (list.first().and_then(Value::as_str), list.get(1)) {
                (Some("combined"), Some(Value::Bool(on))) => Request::SetCombined(*on),
                (Some("combined"), _) => {
                    return refuse(1, "Invalid value type: expected Boolean".to_owned());
                }
                _ => return refuse(0, "Unknown property".to_owned()),
            }
        }
        Some("GET_PROPERTY") => {
            let list = params
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            match list.first().and_then(Value::as_str) {
                Some("combined") => Request::GetCombined,
                _ => return refuse(0, "Unknown property".to_owned()),
            }
        }
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            return refuse(
                2,
                format!("Invalid request: unknown variant `{other}`, expected one of {METHODS}"),
            );
        }
        None => return refuse(2, "Invalid request: method must be a string".to_owned()),
    };
    Ok((id, request))
}

/// A signed 64-bit integer, a string of up to 36 alphanumerics, or null.
fn id(value: &Value) -> Result<RequestId, Refusal> {
    match value.get("id") {
        None => Ok(RequestId::Absent),
        Some(Value::Null) => Ok(RequestId::Null),
        Some(Value::Number(number)) if number.is_i64() => {
            Ok(RequestId::Int(number.as_i64().unwrap_or_default()))
        }
        Some(Value::String(text))
            if text.len() <= 36
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') =>
        {
            Ok(RequestId::Text(text.clone()))
        }
        Some(_) => Err(Refusal {
            code: 2,
            msg: "Invalid request: request ID must be a 64-bit signed integer, a string of at \
                  most 36 characters, or null"
                .to_owned(),
            id: RequestId::Absent,
        }),
    }
}

fn names(params: Option<&Value>, id: &RequestId) -> Result<Vec<String>, Refusal> {
    let list = params.and_then(Value::as_array);
    let names: Option<Vec<String>> = list
        .filter(|list| !list.is_empty())
        .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
    names.ok_or_else(|| Refusal {
        code: 2,
        msg: "Invalid request: params must be a non-empty array of strings".to_owned(),
        id: id.clone(),
    })
}

/// `{"result":..,"id":..}`; `result` is JSON text.
pub(super) fn result(out: &mut Vec<u8>, result: &str, id: &RequestId) {
    let mut json = Json(out);
    json.raw("{\"result\":").raw(result).raw(",\"id\":");
    match id {
        RequestId::Absent => json.raw("null"),
        id => write_id(&mut json, id),
    };
    json.raw("}");
}

/// `{"code":..,"msg":..,"id":..}`; the id may be missing.
pub(super) fn refusal(out: &mut Vec<u8>, refusal: &Refusal) {
    let mut json = Json(out);
    json.raw("{\"code\":").int(refusal.code).raw(",\"msg\":");
    json.raw(&Value::from(refusal.msg.as_str()).to_string());
    if refusal.id != RequestId::Absent {
        json.raw(",\"id\":");
        write_id(&mut json, &refusal.id);
    }
    json.raw("}");
}

fn write_id<'a, 'b>(json: &'a mut Json<'b>, id: &RequestId) -> &'a mut Json<'b> {
    match id {
        RequestId::Int(id) => json.int(*id),
        RequestId::Text(id) => json.raw("\"").raw(id).raw("\""),
        RequestId::Null | RequestId::Absent => json.raw("null"),
    }
}
