//! `docs/gateway/schema.json`, made from the types that check the frames.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::event::{
    OrdersSnapshot, ProjectSnapshot, SystemSnapshot, TradesSnapshot, UserSnapshot, VenueEvent,
    event_schemas,
};
use super::frame::{ChannelsFrame, PingFrame, Position, RequestFrame, Subscribed};
use super::method::method_schemas;
use super::{BookOf, ErrorBody, SessionDetail, TickerEvent};

/// The whole protocol as one JSON document: frames, methods, events, snapshots, errors.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let g = &mut generator;
    let body = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tickwire gateway",
        "protocol": super::PROTOCOL,
        "frames": {
            "client": {
                "request": g.subschema_for::<RequestFrame>().to_value(),
                "subscribe": g.subschema_for::<ChannelsFrame>().to_value(),
                "unsubscribe": g.subschema_for::<ChannelsFrame>().to_value(),
                "ping": g.subschema_for::<PingFrame>().to_value(),
            },
            "position": g.subschema_for::<Position>().to_value(),
            "subscribed": g.subschema_for::<Subscribed>().to_value(),
            "error": g.subschema_for::<ErrorBody>().to_value(),
        },
        "methods": method_schemas(g),
        "events": event_schemas(g),
        "snapshots": {
            "session": g.subschema_for::<SessionDetail>().to_value(),
            "project": g.subschema_for::<ProjectSnapshot>().to_value(),
            "user": g.subschema_for::<UserSnapshot>().to_value(),
            "orders": g.subschema_for::<OrdersSnapshot>().to_value(),
            "book": g.subschema_for::<BookOf>().to_value(),
            "trades": g.subschema_for::<TradesSnapshot>().to_value(),
            "ticker": g.subschema_for::<Option<TickerEvent>>().to_value(),
            "venue": g.subschema_for::<Option<VenueEvent>>().to_value(),
            "system": g.subschema_for::<SystemSnapshot>().to_value(),
        },
    });
    let Value::Object(mut document) = body else {
        return body;
    };
    document.insert(
        "$defs".to_owned(),
        Value::Object(generator.take_definitions(true)),
    );
    Value::Object(document)
}
