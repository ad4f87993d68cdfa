//! What one thread pushes: the messages a second that one client gets over TLS on loopback, from
//! four instruments at a rate beyond what the simulator can keep up with.
//!
//! `cargo run --release -p tickwire-sim --example throughput [seconds]`

use std::error::Error;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tickwire_sim::{MsgKind, Sim, SimVenue, VenueSpec};

const VENUE: SimVenue = SimVenue::BinanceSpot;
/// Market events a second that are asked for; each brings about 1.2 messages.
const RATE_PER_S: u32 = 400_000;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "a measurement reports")]
fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let spec = VenueSpec::of(VENUE)
        .instruments(4)
        .rate_msgs_s(RATE_PER_S)
        .bursts(false)
        .queue_bytes_max(64 << 20);
    let sim = Sim::builder().venue(spec).start()?;
    let names: Vec<String> = ["btc", "eth", "sol", "xrp"]
        .iter()
        .flat_map(|s| [format!("{s}usdt@bookTicker"), format!("{s}usdt@trade")])
        .collect();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(sim.ca_der().to_vec()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    let stream = StreamOwned::new(client, TcpStream::connect(sim.addr(VENUE))?);
    let url = format!("wss://localhost/ws/{}", names.join("/"));
    let (mut stream, _) = tungstenite::client(url, stream)?;

    let since = now();
    let (mut messages, mut bytes) = (0u64, 0usize);
    while since.elapsed() < Duration::from_secs(seconds) {
        bytes += stream.read()?.len();
        messages += 1;
    }
    let elapsed_s = since.elapsed().as_secs_f64();
    let stats = sim.stats();
    println!(
        "{:.0} messages/s, {:.1} MB/s received; {} tops and {} trades queued",
        messages as f64 / elapsed_s,
        bytes as f64 / elapsed_s / 1e6,
        stats.sent(MsgKind::Top),
        stats.sent(MsgKind::Trade),
    );
    Ok(())
}
