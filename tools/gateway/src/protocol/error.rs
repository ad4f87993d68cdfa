//! Typed errors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A frame or its parameters are not what the schema says; `details.path` is the field.
    ValidationError,
    /// Not JSON, or not an object; the answer's id is null.
    ParseError,
    /// No such method.
    MethodNotFound,
    /// No token.
    AuthRequired,
    /// The token is not known, or not of this user.
    AuthInvalid,
    /// The token was good and has expired.
    TokenExpired,
    /// The token's scopes or projects don't cover this.
    Forbidden,
    /// No such session, message, order, agent, channel.
    NotFound,
    /// It contradicts what is there: a stale version, a different digest, an archived session.
    Conflict,
    /// A request of this id is under way on this connection.
    DuplicateId,
    /// One more than the connection may have.
    LimitExceeded,
    /// Too many frames a second.
    RateLimited,
    /// Not now: something that must be waited for is under way.
    Busy,
    /// It took too long.
    Timeout,
    /// The position of a channel can't be gone on from.
    UnrecoverablePosition,
    /// It was decided otherwise; `details` is the decision.
    NotPending,
    /// Nobody decided in time.
    ApprovalExpired,
    /// A risk limit or the price collar forbids the order.
    RiskRejected,
    /// The venue is not there.
    VenueDown,
    /// The kill switch is on.
    TradingHalted,
    /// It was cancelled.
    Cancelled,
    /// Our own fault.
    InternalError,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 22] = [
        Code::ValidationError,
        Code::ParseError,
        Code::MethodNotFound,
        Code::AuthRequired,
        Code::AuthInvalid,
        Code::TokenExpired,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::DuplicateId,
        Code::LimitExceeded,
        Code::RateLimited,
        Code::Busy,
        Code::Timeout,
        Code::UnrecoverablePosition,
        Code::NotPending,
        Code::ApprovalExpired,
        Code::RiskRejected,
        Code::VenueDown,
        Code::TradingHalted,
        Code::Cancelled,
        Code::InternalError,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::ValidationError => "VALIDATION_ERROR",
            Code::ParseError => "PARSE_ERROR",
            Code::MethodNotFound => "METHOD_NOT_FOUND",
            Code::AuthRequired => "AUTH_REQUIRED",
            Code::AuthInvalid => "AUTH_INVALID",
            Code::TokenExpired => "TOKEN_EXPIRED",
            Code::Forbidden => "FORBIDDEN",
            Code::NotFound => "NOT_FOUND",
            Code::Conflict => "CONFLICT",
            Code::DuplicateId => "DUPLICATE_ID",
            Code::LimitExceeded => "LIMIT_EXCEEDED",
            Code::RateLimited => "RATE_LIMITED",
            Code::Busy => "BUSY",
            Code::Timeout => "TIMEOUT",
            Code::UnrecoverablePosition => "UNRECOVERABLE_POSITION",
            Code::NotPending => "NOT_PENDING",
            Code::ApprovalExpired => "APPROVAL_EXPIRED",
            Code::RiskRejected => "RISK_REJECTED",
            Code::VenueDown => "VENUE_DOWN",
            Code::TradingHalted => "TRADING_HALTED",
            Code::Cancelled => "CANCELLED",
            Code::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::RateLimited | Code::Busy | Code::Timeout | Code::VenueDown | Code::InternalError
        )
    }
}

/// An error as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code:?}: {message}")]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What kind.
    pub code: Code,
    /// In words.
    pub message: String,
    /// More, by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// No sooner than in so many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorBody {
    /// An error of a kind, in words.
    pub fn new(code: Code, message: impl Into<String>) -> ErrorBody {
        ErrorBody {
            code,
            message: message.into(),
            details: None,
            retryable: code.is_retryable(),
            retry_after_ms: None,
        }
    }

    /// A field that is not what the schema says.
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> ErrorBody {
        let path = path.into();
        ErrorBody::new(Code::ValidationError, message).with(json!({ "path": path }))
    }

    /// With details.
    pub fn with(mut self, details: Value) -> ErrorBody {
        self.details = Some(details);
        self
    }

    /// To be tried again no sooner than in so many milliseconds.
    pub fn after_ms(mut self, wait_ms: u64) -> ErrorBody {
        self.retry_after_ms = Some(wait_ms);
        self
    }
}
