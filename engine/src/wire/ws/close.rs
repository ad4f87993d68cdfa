//! Close codes (RFC 6455 §7.4 and the IANA registry that it opened).

/// The purpose of the link is fulfilled.
pub const NORMAL: u16 = 1000;
/// The endpoint goes away: a server shuts down.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The payload does not fit the kind of message: text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The message breaks a policy.
pub const POLICY: u16 = 1008;
/// The message is too big to process.
pub const TOO_BIG: u16 = 1009;
/// The server restarts (IANA).
pub const SERVICE_RESTART: u16 = 1012;
/// The server is overloaded (IANA).
pub const TRY_AGAIN_LATER: u16 = 1013;

/// Whether `code` may stand in a close frame.
///
/// RFC 6455 §7.4.1 defines 1000–1003 and 1007–1011; 1004, 1005, 1006 and 1015 must not be sent.
/// IANA's registry adds 1012, 1013 and 1014. §7.4.2 keeps 0–999 unused and the rest below 3000
/// for the protocol, and gives 3000–3999 to libraries and 4000–4999 to applications.
pub const fn is_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
