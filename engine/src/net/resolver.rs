//! Name look-up on a thread of its own: `getaddrinfo` blocks, and the loop must not.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Token;

/// How long the end of the engine waits for a look-up that is under way. It can't be interrupted, and
/// a resolver that does not answer takes half a minute; its thread then ends by itself.
const END_WAIT: Duration = Duration::from_secs(1);

/// A look-up's outcome: every address of the name, in the system's order.
#[derive(Debug)]
pub(super) struct Resolved {
    /// Who asked for it.
    pub(super) tokens: Vec<Token>,
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
}

/// What the thread found.
#[derive(Debug)]
struct Answer {
    host: String,
    port: u16,
    addresses: Result<Vec<SocketAddr>, String>,
}

#[derive(Debug)]
struct Query {
    host: String,
    port: u16,
}

/// The helper thread, started at the first name that is not an address.
#[derive(Debug)]
pub(super) struct Resolver {
    thread: Option<Thread>,
    answers: Receiver<Answer>,
    answer: Option<Sender<Answer>>,
    waker: Arc<mio::Waker>,
    /// Names under way, each once: where look-ups are slow, tries that have been given up must not
    /// stand in line before those that wait.
    waiting: Vec<(String, u16, Vec<Token>)>,
}

#[derive(Debug)]
struct Thread {
    queries: Sender<Query>,
    handle: JoinHandle<()>,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.answer = None;
        let Some(Thread { queries, handle }) = self.thread.take() else {
            return;
        };
        drop(queries);
        // Its end is the end of all senders.
        loop {
            match self.answers.recv_timeout(END_WAIT) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    tracing::warn!("a name look-up still runs; its thread is left behind");
                    return;
                }
            }
        }
        if handle.join().is_err() {
            tracing::error!("the look-up thread has panicked");
        }
    }
}

impl Resolver {
    pub(super) fn new(waker: Arc<mio::Waker>) -> Resolver {
        let (answer, answers) = mpsc::channel();
        Resolver {
            thread: None,
            answers,
            answer: Some(answer),
            waker,
            waiting: Vec::new(),
        }
    }

    /// Addresses at once where the host is one; otherwise `None`, and they come by
    /// [`Resolver::poll`].
    pub(super) fn resolve(
        &mut self,
        token: Token,
        host: &str,
        port: u16,
    ) -> Option<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(vec![SocketAddr::new(address, port)]);
        }
        let under_way = self
            .waiting
            .iter_mut()
            .find(|(name, of, _)| name == host && *of == port);
        if let Some((_, _, tokens)) = under_way {
            tokens.push(token);
            return None;
        }
        self.waiting.push((host.to_owned(), port, vec![token]));
        let query = Query {
            host: host.to_owned(),
            port,
        };
        let sent = match self.thread() {
            Ok(queries) => queries
                .send(query)
                .map_err(|_| "the look-up thread has ended".into()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            let answer = Answer {
                host: host.to_owned(),
                port,
                addresses: Err(error),
            };
            // The receiver is ours, so this send can't fail.
            let _ = self.answer.as_ref().map(|sender| sender.send(answer));
        }
        None
    }

    /// The next answer.
    pub(super) fn poll(&mut self) -> Option<Resolved> {
        if self.waiting.is_empty() {
            return None;
        }
        let Answer {
            host,
            port,
            addresses,
        } = self.answers.try_recv().ok()?;
        let index = self
            .waiting
            .iter()
            .position(|(name, of, _)| *name == host && *of == port)?;
        let (_, _, tokens) = self.waiting.swap_remove(index);
        Some(Resolved { tokens, addresses })
    }

    fn thread(&mut self) -> Result<&Sender<Query>, String> {
        if self.thread.is_none() {
            let answer = self.answer.clone();
            let answer = answer.ok_or_else(|| "the engine ends".to_owned())?;
            let (queries, inbox) = mpsc::channel::<Query>();
            let waker = Arc::clone(&self.waker);
            let handle = thread::Builder::new()
                .name("tickwire-dns".to_owned())
                .spawn(move || {
                    for query in inbox {
                        let addresses = look_up(&query);
                        let Query { host, port } = query;
                        let found = Answer {
                            host,
                            port,
                            addresses,
                        };
                        if answer.send(found).is_err() {
                            return;
                        }
                        // Where the loop spins nobody sleeps, and a failed wake-up costs nothing.
                        let _ = waker.wake();
                    }
                })
                .map_err(|error| format!("the look-up thread could not start: {error}"))?;
            self.thread = Some(Thread { queries, handle });
        }
        self.thread
            .as_ref()
            .map(|thread| &thread.queries)
            .ok_or_else(|| "the look-up thread is gone".to_owned())
    }
}

fn look_up(query: &Query) -> Result<Vec<SocketAddr>, String> {
    let found = (query.host.as_str(), query.port)
        .to_socket_addrs()
        .map_err(|error| format!("name {:?} not found: {error}", query.host))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(format!("name {:?} has no address", query.host));
    }
    Ok(addresses)
}
