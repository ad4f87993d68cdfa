//! Secrets that were used in a full run appear nowhere: not in logs, not in what can be printed.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tickwire::Side;
use tickwire::driver::Driver;
use tickwire_sim::AccountSpec;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::venues::{ROWS, Stage, WITHIN};

/// Keeps all that is logged at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = self.0.lock().expect("the log");
        let _ = writeln!(text, "{field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn secrets_of_a_full_run_are_printed_nowhere() {
    let log = Log::default();
    // The engine logs on its own threads, too.
    tracing::subscriber::set_global_default(log.clone()).expect("the first of this process");
    let mut printed = String::new();
    for row in ROWS {
        let mut stage = Stage::open(row);
        let config = row.config(&stage.sim);
        let _ = writeln!(printed, "{config:?} {:?}", config.credentials);
        let request = stage.limit(Side::Bid, stage.far(90));
        let placed = stage.driver.place_order(&request, WITHIN);
        let _ = writeln!(printed, "{placed:?}");
        let mut rich = stage.limit(Side::Bid, stage.far(99));
        rich.size = row.size(row.too_much);
        let refused = stage.driver.place_order(&rich, WITHIN);
        let _ = writeln!(printed, "{refused:?}");
        stage.sim.control().cut_connections(row.sim);
        stage.until("the account back", |stage| stage.driver.is_connected());
        let handle = stage.driver.handle().expect("open");
        let _ = writeln!(
            printed,
            "{handle:?} {:?} {:?}",
            handle.links(),
            handle.hosts()
        );
        while let Some(notice) = handle.next_notice() {
            let _ = writeln!(printed, "{notice:?}");
        }
        stage.driver.close();
    }
    let logged = log.0.lock().expect("the log");
    // The text in a PEM, and in the simulator's HMAC key; API keys name an account, and are not shown
    // either.
    let secrets = [
        AccountSpec::DEMO_SECRET,
        "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v",
        AccountSpec::DEMO_KEY,
        AccountSpec::DEMO_ED25519_KEY,
        "signature=",
    ];
    for secret in secrets {
        assert!(!printed.contains(secret), "{secret} was printed");
        assert!(!logged.contains(secret), "{secret} was logged");
    }
}
