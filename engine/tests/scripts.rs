//! Whole engines under scripts of what users ask and hostile peers do: the fuzz target `engine` over
//! its committed corpus, as an ordinary test. With the feature `testing`.

#[path = "../fuzz/engine.rs"]
mod engine;
#[path = "../../connectors/fuzz/replay.rs"]
mod replay;

#[test]
fn the_corpus_of_the_fuzz_target() {
    let mut prices = 0;
    replay::replay("engine", 20, |data| prices += engine::engine(data));
    assert!(prices > 20, "books come up in {prices} prices");
}
