//! Which of a venue's networks to use, and whether to ask it for its instruments: the same words at
//! every venue.

/// Which of the venue's networks to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The real one.
    #[default]
    Mainnet,
    /// The test network: thin books, and symbols and numbers of its own.
    Testnet,
    /// The demo network: real prices, paper orders.
    Demo,
    /// Another host that speaks the same protocol: a simulator, a proxy, the host of a region. The
    /// venue's own paths (`/stream`, `/v5/public/spot`, `/api/v3/depth` ..) are put behind these.
    Custom {
        /// Like `wss://127.0.0.1:9443`.
        ws_url: String,
        /// Like `https://127.0.0.1:8080`.
        rest_url: String,
    },
}

/// From (WebSocket root, REST root).
impl<W: Into<String>, R: Into<String>> From<(W, R)> for Network {
    fn from((ws_url, rest_url): (W, R)) -> Network {
        Network::Custom {
            ws_url: ws_url.into(),
            rest_url: rest_url.into(),
        }
    }
}

/// Whether to ask the venue for its instruments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchInstruments {
    /// By REST, before the first subscription of each symbol: scales are exact from the start and
    /// unknown symbols are refused. A stream waits at most a few seconds for it and then starts with
    /// the venue's defaults.
    #[default]
    Yes,
    /// Never: names follow the venue's rules and scales are the venue's defaults.
    No,
}
