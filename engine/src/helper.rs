//! A thread for work that would hold the loop up: instrument data of megabytes is parsed here.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use tickwire_connectors::connector::InstrumentReader;
use tickwire_connectors::{Error, Instrument, Market, RequestId};

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
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    finish: Sender<Done>,
    wake: Option<Wake>,
    waiting: usize,
}

impl Helper {
    pub(crate) fn new(wake: Option<Wake>) -> Helper {
        let (finish, done) = mpsc::channel();
        Helper {
            jobs: None,
            done,
            finish,
            wake,
            waiting: 0,
        }
    }

    /// Hands a job over. Where the thread can't be had, it is done here: late is better than never.
    pub(crate) fn submit(&mut self, job: Job) {
        self.waiting += 1;
        if self.jobs.is_none() {
            self.jobs = start(self.finish.clone(), self.wake.clone());
        }
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
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

fn start(finish: Sender<Done>, wake: Option<Wake>) -> Option<Sender<Job>> {
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
        Ok(_) => Some(jobs),
        Err(error) => {
            tracing::warn!(%error, "no helper thread: instrument data is read on the loop");
            None
        }
    }
}

fn run(mut job: Job) -> Done {
    let instruments = (job.reader)(job.market, &mut job.body);
    Done {
        venue: job.venue,
        id: job.id,
        instruments,
    }
}
