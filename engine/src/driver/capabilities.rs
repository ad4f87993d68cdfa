//! What each venue and market can do, as a table. docs/driver.md shows it.

use tickwire_connectors::trading::Transport;
use tickwire_connectors::{Market, Venue};

/// What can be done at a venue and market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Orders can be placed at all.
    pub orders: bool,
    /// Orders can go over a WebSocket.
    pub websocket_orders: bool,
    /// The price of a standing order can be changed.
    pub amend_price: bool,
    /// The quantity of a standing order can be changed; `false` also where it can only be lowered.
    pub amend_qty: bool,
    /// The quantity of a standing order can be lowered.
    pub lower_qty: bool,
    /// Market orders can be sized in quote currency.
    pub quote_qty: bool,
    /// Orders can be made to reduce a position only.
    pub reduce_only: bool,
    /// Orders can wait for a price ([`Stop`](tickwire_connectors::order::Stop)), for the last one at least.
    pub stops: bool,
    /// There are positions.
    pub positions: bool,
    /// The venue cancels orders when the connection is lost. It is armed as the connection is made, and
    /// the account is not connected before the venue has confirmed that.
    pub cancel_on_disconnect: bool,
}

impl Capabilities {
    /// Market data alone.
    pub const NONE: Capabilities = Capabilities {
        orders: false,
        websocket_orders: false,
        amend_price: false,
        amend_qty: false,
        lower_qty: false,
        quote_qty: false,
        reduce_only: false,
        stops: false,
        positions: false,
        cancel_on_disconnect: false,
    };

    /// What the venue's market can do over this transport.
    pub const fn of(venue: Venue, market: Market, transport: Transport) -> Capabilities {
        let by_websocket = matches!(transport, Transport::WebSocket);
        match (venue, market) {
            (Venue::Binance, Market::Spot) => Capabilities {
                orders: true,
                websocket_orders: by_websocket,
                lower_qty: true,
                quote_qty: true,
                stops: true,
                ..Capabilities::NONE
            },
            (Venue::Binance, Market::Linear) => Capabilities {
                orders: true,
                websocket_orders: by_websocket,
                amend_price: true,
                amend_qty: true,
                lower_qty: true,
                reduce_only: true,
                stops: true,
                positions: true,
                ..Capabilities::NONE
            },
            (Venue::Bybit, Market::Spot) => Capabilities {
                orders: true,
                websocket_orders: by_websocket,
                amend_price: true,
                amend_qty: true,
                lower_qty: true,
                quote_qty: true,
                stops: true,
                ..Capabilities::NONE
            },
            (Venue::Bybit, Market::Linear) => Capabilities {
                orders: true,
                websocket_orders: by_websocket,
                amend_price: true,
                amend_qty: true,
                lower_qty: true,
                reduce_only: true,
                stops: true,
                positions: true,
                ..Capabilities::NONE
            },
            (Venue::Deribit, Market::Spot) => DERIBIT.over(by_websocket),
            (Venue::Deribit, Market::Linear | Market::Inverse | Market::Option) => Capabilities {
                reduce_only: true,
                // Of options the venue's pages do not say.
                stops: !matches!(market, Market::Option),
                positions: true,
                ..DERIBIT.over(by_websocket)
            },
            // By REST alone, where there is a wallet; cancelled when heartbeats stop.
            (Venue::Polymarket, _) => Capabilities {
                orders: true,
                cancel_on_disconnect: true,
                ..Capabilities::NONE
            },
            _ => Capabilities::NONE,
        }
    }

    /// Cancel on disconnect covers the orders that were made on the connection.
    const fn over(self, by_websocket: bool) -> Capabilities {
        Capabilities {
            websocket_orders: by_websocket,
            cancel_on_disconnect: by_websocket,
            ..self
        }
    }
}

/// What every market of Deribit can do.
const DERIBIT: Capabilities = Capabilities {
    orders: true,
    amend_price: true,
    amend_qty: true,
    lower_qty: true,
    ..Capabilities::NONE
};
