//! The command line: what can be asked, and how it ends.
//!
//! Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong.

mod account;
mod demo;
mod doctor;
mod faults;
mod gateway;
mod interrupt;
mod latency;
mod markets;
mod order;
mod replay;
mod simulate;
mod venue;
mod watch;
mod world;
mod ws;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Market data of crypto venues: see the engine at work, watch a venue, simulate one, replay what was
/// recorded. Without a command, the demo runs.
#[derive(Debug, Parser)]
#[command(name = "tickwire", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// One variant a subcommand; each has a module of its own with its arguments and `run`.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Simulate(simulate::Args),
    Watch(watch::Args),
    Markets(markets::Args),
    Replay(replay::Args),
    Faults(faults::Args),
    World(world::Args),
    Ws(ws::Args),
    Order(order::Args),
    Account(account::Args),
    Gateway(gateway::Args),
    Doctor(doctor::Args),
    Latency(latency::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Simulate(args)) => simulate::run(&args),
        Some(Command::Watch(args)) => watch::run(&args),
        Some(Command::Markets(args)) => markets::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Faults(args)) => faults::run(&args),
        Some(Command::World(args)) => world::run(&args),
        Some(Command::Ws(args)) => ws::run(&args),
        Some(Command::Order(args)) => order::run(&args),
        Some(Command::Account(args)) => account::run(&args),
        Some(Command::Gateway(args)) => gateway::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Latency(args)) => latency::run(&args),
        None => demo::run(&demo::Args::default()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &dyn Error) {
    let _ = writeln!(io::stderr().lock(), "tickwire: {error}");
}

/// Why a command ended before its end.
#[derive(Debug)]
enum Failure {
    /// Whoever read our output has seen enough: that is no error.
    BrokenPipe,
    /// Anything else.
    Failed(Box<dyn Error>),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Failed(format!("can't write the output: {error}").into()),
        }
    }
}

macro_rules! failures {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::Failed(Box::new(error))
            }
        })+
    };
}

failures!(
    crate::replay::ReplayError,
    tickwire::testing::sim::SimError,
    tickwire::BuildError,
    tickwire::Error,
    tickwire::driver::CredentialsError,
    tickwire::driver::OpenError,
    tickwire::SubscribeError,
    tickwire::ThreadPanicked,
    crate::world::WorldError,
    crate::gateway::DemoError,
    crate::doctor::NoiseError,
    crate::latency::PlotError,
    crate::latency::SpreadError,
    tickwire::PinError,
);

impl From<crate::demo::DemoError> for Failure {
    fn from(error: crate::demo::DemoError) -> Failure {
        match error {
            crate::demo::DemoError::Output(error) => error.into(),
            other => Failure::Failed(Box::new(other)),
        }
    }
}
