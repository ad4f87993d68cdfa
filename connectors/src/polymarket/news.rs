//! News of markets, which come with `custom_feature_enabled`: a new one, and one whose outcome is
//! settled. Read by simd-json: they are rare.

use simd_json::prelude::*;
use simd_json::tape::Value;

/// Calls `act` with each token of a market that is resolved: it trades no more.
/// (market-data/websocket/market-channel; `new_market` concerns no stream yet.)
pub(super) fn each_resolved(object: &Value<'_, '_>, mut act: impl FnMut(&str)) {
    let kind = object.get("event_type").and_then(|kind| kind.into_string());
    let assets = object
        .get("assets_ids")
        .and_then(|assets| assets.into_array());
    if let (Some("market_resolved"), Some(assets)) = (kind, assets) {
        for asset in assets.iter().filter_map(|asset| asset.into_string()) {
            act(asset);
        }
    }
}
