//! Name look-up on a thread of its own: `getaddrinfo` blocks, and the loop must not.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::Token;

/// A look-up's outcome: every address of the name, in the system's order.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) token: Token,
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
}

#[derive(Debug)]
struct Query {
    token: Token,
    host: String,
    port: u16,
}

/// The helper thread, started at the first name that is not an address.
#[derive(Debug)]
pub(super) struct Resolver {
    queries: Option<Sender<Query>>,
    answers: Receiver<Resolved>,
    answer: Sender<Resolved>,
    waker: Arc<mio::Waker>,
    waiting: usize,
}

impl Resolver {
    pub(super) fn new(waker: Arc<mio::Waker>) -> Resolver {
        let (answer, answers) = mpsc::channel();
        Resolver {
            queries: None,
            answers,
            answer,
            waker,
            waiting: 0,
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
        let query = Query {
            token,
            host: host.to_owned(),
            port,
        };
        let sent = match self.thread() {
            Ok(queries) => queries
                .send(query)
                .map_err(|_| "the look-up thread has ended".into()),
            Err(error) => Err(error),
        };
        self.waiting += 1;
        if let Err(error) = sent {
            // The receiver is ours, so this send can't fail.
            let _ = self.answer.send(Resolved {
                token,
                addresses: Err(error),
            });
        }
        None
    }

    /// The next answer.
    pub(super) fn poll(&mut self) -> Option<Resolved> {
        if self.waiting == 0 {
            return None;
        }
        let resolved = self.answers.try_recv().ok()?;
        self.waiting -= 1;
        Some(resolved)
    }

    fn thread(&mut self) -> Result<&Sender<Query>, String> {
        if self.queries.is_none() {
            let (queries, inbox) = mpsc::channel::<Query>();
            let (answer, waker) = (self.answer.clone(), Arc::clone(&self.waker));
            thread::Builder::new()
                .name("tickwire-dns".to_owned())
                .spawn(move || {
                    for query in inbox {
                        let addresses = look_up(&query);
                        if answer
                            .send(Resolved {
                                token: query.token,
                                addresses,
                            })
                            .is_err()
                        {
                            return;
                        }
                        // Where the loop spins nobody sleeps, and a failed wake-up costs nothing.
                        let _ = waker.wake();
                    }
                })
                .map_err(|error| format!("the look-up thread could not start: {error}"))?;
            self.queries = Some(queries);
        }
        self.queries
            .as_ref()
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
