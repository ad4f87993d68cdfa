//! What a builder refuses.

use super::*;

struct Quiet;
impl Strategy for Quiet {}

#[test]
fn an_option_that_means_nothing_for_its_strategy_is_refused() {
    let (pair, own) = (StrategySetup::pair, || StrategySetup::new(Quiet));
    let spin = Wait::Spin;
    let end = || crate::operator::line(|| {}).1;
    let table = [
        (own().on_core(0).wait(spin), None),
        (own().inline(), None),
        (pair(), None),
        (pair().inline(), Some("inline")),
        (pair().on_core(0), Some("on_core")),
        (pair().wait(spin), Some("wait")),
        (own().inline().on_core(0), Some("on_core")),
        (own().wait(spin).inline(), Some("wait")),
        (own().operated(end()), None),
        (own().operated(end()).inline(), Some("operated")),
        (pair().operated(end()), Some("operated")),
    ];
    for (setup, wrong) in table {
        let engine = Engine::builder().venue(BinanceConfig::spot());
        let outcome = engine.strategy(setup.named("mine")).check();
        let told = outcome.err().map(|error| error.to_string());
        let expected = wrong.map(|option| format!("strategy \"mine\": .{option}(..) means"));
        match (told, expected) {
            (None, None) => {}
            (Some(told), Some(expected)) => assert!(told.starts_with(&expected), "{told}"),
            (told, expected) => panic!("{told:?} instead of {expected:?}"),
        }
    }
}
