//! A thread for work that would hold the loop up: instrument data of megabytes is parsed here.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tickwire_connectors::connector::InstrumentReader;
use tickwire_connectors::{Error, ErrorKind, Instrument, Market, RequestId};

use crate::net::Wake;

/// Instrument data to be read.
pub(crate) struct Job {
    /// Index of the venue in the engine.
    pub(crate) venue: usize,
    pub(crate) id: RequestId,
    pub(crate) market: Market,
    pub(crate) reader: InstrumentReader,
    pub(crate) body: Vec<u8>,
}

/// What was read.
pub(crate) struct Done {
    pub(crate) venue: usize,
    pub(crate) id: RequestId,
    pub(crate) instruments: Result<Vec<Instrument>, Error>,
}

/// The thread, started at the first job.
pub(crate) struct Helper {
    /// Whether there is to be one.
    threaded: bool,
    thread: Option<Thread>,
    done: Receiver<Done>,
    finish: Sender<Done>,
    wake: Option<Wake>,
    waiting: usize,
}

struct Thread {
    jobs: Sender<Job>,
    handle: JoinHandle<()>,
}

impl Drop for Helper {
    /// Waits for the job under way: it is bounded by the size of an answer.
    fn drop(&mut self) {
        if let Some(Thread { jobs, handle }) = self.thread.take() {
            drop(jobs);
            if handle.join().is_err() {
                tracing::error!("the helper thread has panicked");
            }
        }
    }
}

impl Helper {
    /// On a thread; `wake` is told of each job that is done.
    pub(crate) fn threaded(wake: Option<Wake>) -> Helper {
        Helper::new(true, wake)
    }

    /// Without a thread: each job is done as it is handed over, and can be polled at once. For an
    /// engine that is turned by hand.
    #[cfg(feature = "testing")]
    pub(crate) fn inline() -> Helper {
        Helper::new(false, None)
    }

    fn new(threaded: bool, wake: Option<Wake>) -> Helper {
        let (finish, done) = mpsc::channel();
        Helper {
            threaded,
            thread: None,
            done,
            finish,
            wake,
            waiting: 0,
        }
    }

    /// Hands a job over. Where the thread can't be had, it is done here: late is better than never.
    pub(crate) fn submit(&mut self, job: Job) {
        self.waiting += 1;
        if self.threaded && self.thread.is_none() {
            self.thread = start(self.finish.clone(), self.wake.clone());
        }
        let refused = match &self.thread {
            Some(thread) => thread.jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            // The receiver is ours, so this send can't fail.
            let _ = self.finish.send(run(job));
        }
    }

    /// The next job that is done.
    #[inline]
    pub(crate) fn poll(&mut self) -> Option<Done> {
        if self.waiting == 0 {
            return None;
        }
        let done = self.done.try_recv().ok()?;
        self.waiting -= 1;
        Some(done)
    }
}

fn start(finish: Sender<Done>, wake: Option<Wake>) -> Option<Thread> {
    let (jobs, inbox) = mpsc::channel::<Job>();
    let spawned = thread::Builder::new()
        .name("tickwire-helper".to_owned())
        .spawn(move || {
            for job in inbox {
                if finish.send(run(job)).is_err() {
                    return;
                }
                if let Some(wake) = &wake {
                    wake.wake();
                }
            }
        });
    match spawned {
        Ok(handle) => Some(Thread { jobs, handle }),
        Err(error) => {
            tracing::warn!(%error, "no helper thread: instrument data is read on the loop");
            None
        }
    }
}

fn run(mut job: Job) -> Done {
    // A venue's own reader may have a bug that some answer brings out. It must not end the thread:
    // the venue that waits would hear nothing, and no other could be served.
    let read = AssertUnwindSafe(|| (job.reader)(job.market, &mut job.body));
    let instruments = panic::catch_unwind(read).unwrap_or_else(|_| {
        let text = "the reader of instrument data panicked on this answer";
        Err(Error::ours(ErrorKind::BadResponse, text))
    });
    Done {
        venue: job.venue,
        id: job.id,
        instruments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(_: Market, body: &mut [u8]) -> Result<Vec<Instrument>, Error> {
        assert_ne!(body, b"bug", "a panic that the test makes");
        Ok(Vec::new())
    }

    #[test]
    fn a_reader_that_panics_is_an_error_and_the_next_is_served_by_the_same_thread() {
        let mut helper = Helper::threaded(None);
        for (id, body) in [(1, "bug"), (2, "good"), (3, "bug"), (4, "good")] {
            helper.submit(Job {
                venue: 0,
                id: RequestId(id),
                market: Market::Spot,
                reader: read,
                body: body.into(),
            });
            let done = loop {
                if let Some(done) = helper.poll() {
                    break done;
                }
                thread::yield_now();
            };
            assert_eq!(done.id, RequestId(id));
            let error = done.instruments.err().map(|error| error.kind);
            assert_eq!(error, (body == "bug").then_some(ErrorKind::BadResponse));
        }
    }
}
