//! Frames of a client, read strictly; answers, written.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::entity::{asked, said};
use super::error::{Code, ErrorBody};
use super::limited::Text;

said! {
    /// Where in a channel one is. An offset without its epoch means nothing.
    pub struct Position {
        /// Changes whenever the channel's numbers can't be gone on from.
        pub epoch: String,
        /// The number of the last event; 0 before the first.
        pub offset: u64,
    }

    /// What became of one channel of a `subscribe`.
    pub struct Subscribed {
        /// The channel as it was named.
        pub channel: String,
        /// Where it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub epoch: Option<String>,
        /// Where it is: the first event that comes has a higher number. Of a recovered channel, the
        /// position that was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub offset: Option<u64>,
        /// Whether exactly the missed events follow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub recovered: Option<bool>,
        /// The state at this position, where it was not recovered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub snapshot: Option<Value>,
        /// Why it was not subscribed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<ErrorBody>,
    }
}

asked! {
    /// The last event of a channel that was seen.
    pub struct Since {
        /// Its epoch.
        pub epoch: String,
        /// Its number.
        pub offset: u64,
    }

    /// A channel from where one was.
    pub struct ChannelSince {
        /// The channel.
        pub channel: String,
        /// The last event that was seen.
        #[serde(default)]
        pub since: Option<Since>,
    }

    /// `{"type":"request",…}`
    pub struct RequestFrame {
        /// Comes back with the answer.
        pub id: Text<1, 128>,
        /// The method.
        pub method: Text<1, 64>,
        /// Its parameters; an object.
        #[serde(default)]
        pub params: Map<String, Value>,
    }

    /// `{"type":"subscribe",…}` and `{"type":"unsubscribe",…}`
    pub struct ChannelsFrame {
        /// The channels.
        pub channels: Vec<ChannelAt>,
        /// With one, there is an answer.
        #[serde(default)]
        pub id: Option<Text<1, 128>>,
    }

    /// `{"type":"ping"}`
    pub struct PingFrame {}
}

/// A channel by its name, or from where one was.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ChannelAt {
    /// From now on.
    Name(String),
    /// From where one was.
    Since(ChannelSince),
}

// By hand, since the derived one for untagged enums hides what was wrong.
impl<'de> Deserialize<'de> for ChannelAt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(ChannelAt::Name(name)),
            value @ Value::Object(_) => ChannelSince::deserialize(value)
                .map(ChannelAt::Since)
                .map_err(D::Error::custom),
            _ => Err(D::Error::custom(
                "a channel is a string, or {\"channel\",\"since\"}",
            )),
        }
    }
}

impl ChannelAt {
    /// The name and the position.
    pub fn parts(self) -> (String, Option<Position>) {
        match self {
            ChannelAt::Name(name) => (name, None),
            ChannelAt::Since(ChannelSince { channel, since }) => {
                let position = |Since { epoch, offset }| Position { epoch, offset };
                (channel, since.map(position))
            }
        }
    }
}

/// A frame of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// A method is called.
    Request(RequestFrame),
    /// Channels are to be told.
    Subscribe(ChannelsFrame),
    /// They are not any more.
    Unsubscribe(ChannelsFrame),
    /// To be answered with a pong.
    Ping,
}

/// A frame that can't be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameError {
    /// Its id, where it has one that can be read.
    pub id: Option<String>,
    /// Why.
    pub error: ErrorBody,
}

impl ClientFrame {
    /// Reads a frame.
    pub fn parse(text: &str) -> Result<ClientFrame, FrameError> {
        let fault = |id, error| FrameError { id, error };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| fault(None, ErrorBody::new(Code::ParseError, error.to_string())))?;
        let Value::Object(mut frame) = value else {
            let error = ErrorBody::new(Code::ParseError, "a frame is a JSON object");
            return Err(fault(None, error));
        };
        let id = match frame.get("id") {
            Some(Value::String(id)) if id.len() <= 128 => Some(id.clone()),
            _ => None,
        };
        let kind = frame.remove("type");
        let read = match kind.as_ref().and_then(Value::as_str) {
            Some("request") => typed(frame).map(ClientFrame::Request),
            Some("subscribe") => typed(frame).map(ClientFrame::Subscribe),
            Some("unsubscribe") => typed(frame).map(ClientFrame::Unsubscribe),
            Some("ping") => typed::<PingFrame>(frame).map(|_| ClientFrame::Ping),
            _ => Err(ErrorBody::field(
                "type",
                "a frame's type is request, subscribe, unsubscribe or ping",
            )),
        };
        read.map_err(|error| fault(id, error))
    }
}

/// Reads an object as its type; what is wrong is told with the path of the field.
pub(super) fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, ErrorBody> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let message = error.inner().to_string();
        let mut path = error.path().to_string();
        // Of a field that is missing or unknown, the path ends at the object that has it not.
        let named = ["unknown field `", "missing field `"]
            .iter()
            .find_map(|start| message.strip_prefix(start)?.split('`').next());
        if let Some(name) = named
            && !path.ends_with(name)
        {
            path = if path == "." || path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
        }
        ErrorBody::field(path, message)
    })
}

/// The text of an answer.
pub fn response(id: Option<&str>, outcome: Result<&Value, &ErrorBody>) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a ErrorBody>,
    }
    let frame = Frame {
        kind: "response",
        id,
        result: outcome.ok(),
        error: outcome.err(),
    };
    // Maps with text keys and plain numbers can always be written.
    serde_json::to_string(&frame).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_strictly_and_say_which_field_is_wrong() {
        let path = |text: &str| {
            let error = ClientFrame::parse(text).expect_err(text).error;
            let path = error.details.as_ref().and_then(|d| d["path"].as_str());
            (error.code, path.unwrap_or("").to_owned())
        };
        use Code::{ParseError, ValidationError};
        let table = [
            ("", ParseError, ""),
            ("[]", ParseError, ""),
            ("{\"type\":\"request\"", ParseError, ""),
            ("{}", ValidationError, "type"),
            (r#"{"type":7}"#, ValidationError, "type"),
            (r#"{"type":"event"}"#, ValidationError, "type"),
            (r#"{"type":"request","method":"a"}"#, ValidationError, "id"),
            (
                r#"{"type":"request","id":7,"method":"a"}"#,
                ValidationError,
                "id",
            ),
            (
                r#"{"type":"request","id":"","method":"a"}"#,
                ValidationError,
                "id",
            ),
            (r#"{"type":"request","id":"1"}"#, ValidationError, "method"),
            (
                r#"{"type":"request","id":"1","method":"a","params":[]}"#,
                ValidationError,
                "params",
            ),
            (
                r#"{"type":"request","id":"1","method":"a","x":1}"#,
                ValidationError,
                "x",
            ),
            (r#"{"type":"ping","x":1}"#, ValidationError, "x"),
            (r#"{"type":"subscribe"}"#, ValidationError, "channels"),
            (
                r#"{"type":"subscribe","channels":[1]}"#,
                ValidationError,
                "channels[0]",
            ),
            (
                r#"{"type":"subscribe","channels":["a",{"channel":"a","since":{"epoch":"x"}}]}"#,
                ValidationError,
                "channels[1].offset",
            ),
        ];
        for (text, code, at) in table {
            assert_eq!(path(text), (code, at.to_owned()), "{text}");
        }
    }
}
