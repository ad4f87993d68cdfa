//! `tickwire ws`

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tickwire::ws::{
    self, Answer, Client, Config, HeartbeatConfig, Message, Receipt, Ticket, dialect_of, explain,
};

use super::Failure;
use super::interrupt::Interrupt;

/// How long a look for messages waits before the input and the signals are looked at.
const TURN: Duration = Duration::from_millis(20);

/// Connect to any WebSocket server: print what it sends, send what is typed, a line a message.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to, as "wss://host/path"
    url: String,
    /// Subscribe to a channel, in the words of the URL's venue (Deribit, Bybit, Binance, Polymarket)
    /// or of --dialect; can be given several times
    #[arg(long = "subscribe", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Whose words to subscribe in, where the URL does not tell: deribit, bybit, binance, polymarket
    #[arg(long, value_name = "VENUE", value_parser = ["deribit", "bybit", "binance", "polymarket"])]
    dialect: Option<String>,
    /// ping, deribit, none, or a text to send; with ":SECONDS" behind it for another interval than 30
    #[arg(long, default_value = "ping")]
    heartbeat: String,
    /// A further header, as "Name: value"; can be given several times
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Send each text that comes back to the server
    #[arg(long)]
    echo: bool,
    /// End with the first connection
    #[arg(long)]
    no_reconnect: bool,
    /// Trust the certificates of this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Append each message to this file, which `tickwire replay` reads
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let client = ws::connect(config(args)?).map_err(failed)?;
    let mut out = io::stdout().lock();
    writeln!(
        io::stderr(),
        "connected to {}",
        args.url.split('?').next().unwrap_or_default()
    )?;
    if !args.channels.is_empty() {
        let done = client.subscribe(&args.channels).map_err(failed)?;
        let done = done.wait().map_err(failed)?;
        for (channel, why) in &done.refused {
            writeln!(io::stderr(), "refused: {channel}: {why}")?;
        }
    }
    let (typed, mut tickets) = (read_input(), Vec::new());
    let mut left = args.messages.unwrap_or(u64::MAX);
    while left > 0 && !interrupt.came() {
        send_typed(&client, &typed, &mut tickets)?;
        show_answers(&mut tickets, &mut out, &mut left)?;
        let Some(message) = client.recv_timeout(TURN) else {
            match client.end() {
                None => continue,
                Some(_) => break,
            }
        };
        show(&client, args, message, &mut out, &mut left)?;
    }
    client.close();
    match client.end() {
        None | Some(ws::Error::Closed) => Ok(()),
        Some(error) => Err(failed(error)),
    }
}

fn config(args: &Args) -> Result<Config, Failure> {
    let headers = args.headers.iter().map(|header| {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            // The value may be a key: what is shown is its beginning at most.
            Failure::Failed("a header must be \"Name: value\"".into())
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    let headers = headers.collect::<Result<_, Failure>>()?;
    let trust_only = match &args.ca {
        None => None,
        Some(path) => {
            let pem = fs::read(path)?;
            let roots = tickwire::certificates_from_pem(&pem);
            Some(roots.map_err(|error| Failure::Failed(error.to_string().into()))?)
        }
    };
    let dialect = args
        .dialect
        .as_ref()
        .and_then(|venue| dialect_of(&format!("{venue}.com")));
    Ok(Config {
        headers,
        dialect,
        trust_only,
        heartbeat_config: heartbeat(&args.heartbeat)?,
        reconnect_on_error: !args.no_reconnect,
        record_to: args.record.clone(),
        ..Config::new(&args.url)
    })
}

/// `ping`, `deribit:10`, `none`, `PING:5`.
fn heartbeat(text: &str) -> Result<Option<HeartbeatConfig>, Failure> {
    let (kind, seconds) = match text.rsplit_once(':') {
        Some((kind, seconds)) if seconds.bytes().all(|byte| byte.is_ascii_digit()) => {
            let seconds: u64 = seconds
                .parse()
                .map_err(|_| Failure::Failed("--heartbeat: so many seconds are too many".into()))?;
            (kind, seconds)
        }
        _ => (text, 30),
    };
    let interval = seconds.saturating_mul(1_000);
    Ok(match kind {
        "none" => None,
        "ping" => Some(HeartbeatConfig::ping(interval)),
        "deribit" => Some(HeartbeatConfig::deribit(interval)),
        text => Some(HeartbeatConfig::custom(interval, text, Answer::Any)),
    })
}

/// A thread reads the terminal: a read of it can't be interrupted.
fn read_input() -> Receiver<String> {
    let (lines, typed) = channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    typed
}

fn send_typed(
    client: &Client,
    typed: &Receiver<String>,
    tickets: &mut Vec<Ticket>,
) -> Result<(), Failure> {
    for line in typed.try_iter().filter(|line| !line.is_empty()) {
        match client.send_message(line) {
            Ok(Receipt::Sent) => {}
            Ok(Receipt::Ticket(ticket)) => tickets.push(ticket),
            Err(error) => writeln!(io::stderr(), "not sent: {}", explain(&error))?,
        }
    }
    Ok(())
}

fn show_answers(
    tickets: &mut Vec<Ticket>,
    out: &mut impl Write,
    left: &mut u64,
) -> Result<(), Failure> {
    let mut waiting = Vec::new();
    for mut ticket in tickets.drain(..) {
        match ticket.try_take() {
            None => waiting.push(ticket),
            Some(Ok(answer)) => {
                writeln!(out, "{}", answer.text())?;
                *left = left.saturating_sub(1);
            }
            Some(Err(error)) => writeln!(io::stderr(), "no answer: {}", explain(&error))?,
        }
    }
    *tickets = waiting;
    Ok(())
}

fn show(
    client: &Client,
    args: &Args,
    message: Message,
    out: &mut impl Write,
    left: &mut u64,
) -> Result<(), Failure> {
    let text = match message {
        Message::Json(json) | Message::Unmatched(json) => json.into_text(),
        Message::Request(request) => request.json.into_text(),
        Message::Text(text) => text,
        Message::Binary(bytes) => {
            *left = left.saturating_sub(1);
            writeln!(out, "{} bytes: {bytes:02x?}", bytes.len())?;
            return Ok(out.flush()?);
        }
        news => {
            writeln!(io::stderr(), "{}", tell(&news))?;
            return Ok(());
        }
    };
    *left = left.saturating_sub(1);
    writeln!(out, "{text}")?;
    out.flush()?;
    if args.echo
        && let Err(error) = client.send_message(text)
    {
        writeln!(io::stderr(), "not sent: {}", explain(&error))?;
    }
    Ok(())
}

fn tell(news: &Message) -> String {
    match news {
        Message::Disconnected { error, retry_in } => {
            format!("lost: {error}; again in {} ms", retry_in.as_millis())
        }
        Message::Reconnected { connection } => format!("connected again, connection {connection}"),
        Message::Restored(all) => format!("{} channels subscribed again", all.accepted.len()),
        Message::Lost { count } => format!("{count} messages were dropped here"),
        Message::ProtocolError(error) | Message::Closed(error) => explain(error).to_string(),
        other => format!("{other:?}"),
    }
}

fn failed(error: ws::Error) -> Failure {
    Failure::Failed(explain(&error).to_string().into())
}
