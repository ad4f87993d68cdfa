//! Orders and accounts: what is the same at every venue.
//!
//! A venue's connector has a [`desk::Desk`] where it was given credentials. The desk keeps the account's
//! links up and logged in, checks what a strategy asks before it leaves, keeps the orders in a table
//! until their fate is known, and sees to it that what is called Live was reconciled. The venue's folder
//! brings the words ([`dialect::Dialect`]).
//!
//! | file | what it knows |
//! |---|---|
//! | `action` | what can be asked of an account, and the answers |
//! | `filters` | the venue's rules on prices and quantities |
//! | `risk` | the user's own limits, the kill switch |
//! | `limits` | how many orders the venue takes |
//! | `order_state` | which state of an order may follow which |
//! | `tracker` | every order, by both ids; fills counted once; orders of unknown fate |
//! | `time_sync` | the venue's clock |
//! | `reconcile` | what is asked after the private stream was lost |
//! | `client_id` | ids of orders |
//! | `dialect` | the venue's words |
//! | `desk` | all of these together |

pub mod action;
pub mod client_id;
pub mod desk;
pub mod dialect;
pub mod filters;
pub mod limits;
pub mod order_state;
pub mod pages;
pub mod reconcile;
pub mod risk;
pub(crate) mod text;
pub mod time_sync;
pub mod tracker;

pub use action::{Action, AmendRequest, Answer, OrderId, OrderRef, Query, Reply, Ticket};
pub use client_id::ClientIds;
pub use dialect::Transport;
pub use risk::RiskLimits;

use crate::credentials::Credentials;

/// How a connector trades.
#[derive(Clone, Debug)]
pub struct Trading {
    /// Who we are.
    pub credentials: Credentials,
    /// How orders travel.
    pub transport: Transport,
    /// The user's own limits.
    pub risk: RiskLimits,
    /// Whether the venue is to cancel our orders when it loses us.
    pub cancel_on_disconnect: CancelOnDisconnect,
}

/// Whether the venue is to cancel our orders when it loses us (docs/driver.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CancelOnDisconnect {
    /// Orders stay where they are.
    Never,
    /// Where every account has it: Deribit.
    #[default]
    WhereOffered,
    /// Also where the venue has to grant it to the account, so many seconds after the last link was
    /// lost: Bybit, from 3 to 300 (v5 "Set DCP"). An account that may not have it does not come up.
    After(u16),
}

impl CancelOnDisconnect {
    /// Whether it is wanted where it is offered.
    pub const fn is_wanted(self) -> bool {
        !matches!(self, CancelOnDisconnect::Never)
    }

    /// The seconds where it has to be granted.
    pub const fn after_s(self) -> Option<u16> {
        match self {
            CancelOnDisconnect::After(seconds) => Some(seconds),
            _ => None,
        }
    }
}

/// Whether it is the same account, used alike. Secrets are not compared but by who holds them: the key.
impl PartialEq for Trading {
    fn eq(&self, other: &Trading) -> bool {
        self.credentials.key() == other.credentials.key()
            && self.transport == other.transport
            && self.risk == other.risk
            && self.cancel_on_disconnect == other.cancel_on_disconnect
    }
}

impl Eq for Trading {}

impl Trading {
    /// Over the venue's WebSocket, without limits of our own, orders cancelled when we are lost.
    pub fn new(credentials: Credentials) -> Trading {
        Trading {
            credentials,
            transport: Transport::default(),
            risk: RiskLimits::default(),
            cancel_on_disconnect: CancelOnDisconnect::default(),
        }
    }
}
