//! The toy venue's own server: one thread, one connection after the other.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use tungstenite::Message;

/// Prices on the first connection, which is then cut.
const FIRST: u64 = 20;
/// This number is left out on the second.
const GAP: u64 = 10;

/// Starts the server; gives its URL.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "ws://{}/feed",
        listener.local_addr().expect("a bound socket")
    );
    thread::spawn(move || {
        for connection in 0u64.. {
            // A client that goes away is not the server's fault: the next may come.
            let _ = serve(&listener, connection);
        }
    });
    url
}

fn serve(listener: &TcpListener, connection: u64) -> tungstenite::Result<()> {
    let (stream, _) = listener.accept()?;
    let mut socket =
        tungstenite::accept(stream).map_err(|_| tungstenite::Error::ConnectionClosed)?;
    let request = socket.read()?.into_text()?;
    let Some(symbol) = request.as_str().strip_prefix("sub ") else {
        return Ok(());
    };
    let symbol = symbol.to_owned();
    socket.send(Message::text(format!("ok {symbol}")))?;
    for number in 1.. {
        if connection == 0 && number > FIRST {
            return Ok(());
        }
        if connection == 1 && number == GAP {
            continue;
        }
        let bid = 10_000 + number % 7;
        let text = format!("top {symbol} {number} {bid} 500 {} 700", bid + 1);
        socket.send(Message::text(text))?;
        thread::park_timeout(Duration::from_millis(1));
    }
    Ok(())
}
