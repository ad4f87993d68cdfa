use super::*;
use crate::scan::{Cursor, Quick, Scan};

type Reader = crate::swar::Common;

/// Levels as a text, a message's end behind them.
fn text(levels: &[(&str, &str)]) -> Vec<u8> {
    let levels: Vec<String> = levels
        .iter()
        .map(|(price, qty)| format!("[\"{price}\",\"{qty}\"]"))
        .collect();
    format!("[{}]", levels.join(",")).into_bytes()
}

fn quickly<L: Lanes>(
    text: &[u8],
    scales: (Scale, Scale),
    looks: &mut LevelLook,
) -> Option<(Vec<Level>, usize)> {
    let (mut quick, mut levels) = (Quick::<L>::new(text), Vec::new());
    quick.levels(scales, looks, &mut levels).ok()?;
    Some((levels, quick.position()))
}

fn slowly(text: &[u8], (price, qty): (Scale, Scale)) -> Option<(Vec<Level>, usize)> {
    let (mut scan, mut levels) = (Scan::new(text), Vec::new());
    scan.levels(price, qty, &mut levels).ok()?;
    Some((levels, scan.position()))
}

/// Reads a text in each way, with looks that live as long as a stream's.
#[derive(Default)]
struct Readers {
    common: LevelLook,
    #[cfg(target_arch = "x86_64")]
    avx2: LevelLook,
    taken: usize,
}

impl Readers {
    fn check(&mut self, text: &[u8], scales: (Scale, Scale)) {
        let told = slowly(text, scales);
        let shown = String::from_utf8_lossy(text);
        let common = quickly::<Reader>(text, scales, &mut self.common);
        assert!(common.is_none() || common == told, "{shown}");
        #[cfg(target_arch = "x86_64")]
        if crate::swar::Avx2::found().is_some() {
            let avx2 = quickly::<crate::swar::Avx2>(text, scales, &mut self.avx2);
            assert!(
                avx2 == told || (avx2.is_none() && common.is_none()),
                "{shown}"
            );
        }
        self.taken += usize::from(common.is_some());
    }
}

/// A decimal of any look.
fn decimal(rng: &mut fastrand::Rng) -> String {
    let digits =
        |rng: &mut fastrand::Rng, count| -> String { (0..count).map(|_| rng.digit(10)).collect() };
    let (whole, fraction) = (rng.usize(1..7), rng.usize(0..7));
    let whole = digits(rng, whole);
    match fraction {
        0 => whole,
        _ => format!(
            "{whole}.{}{}",
            digits(rng, fraction),
            "0".repeat(rng.usize(0..3))
        ),
    }
}

#[test]
fn levels_of_all_looks_are_read_as_by_the_scanner() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut readers = Readers::default();
    let scales =
        [(6, 6), (8, 8), (2, 3), (6, 0)].map(|(price, qty)| (Scale::of(price), Scale::of(qty)));
    for _ in 0..3_000 {
        let few: Vec<String> = (0..rng.usize(2..8)).map(|_| decimal(&mut rng)).collect();
        let levels: Vec<(&str, &str)> = (0..rng.usize(0..40))
            .map(|_| {
                (
                    few[rng.usize(..few.len())].as_str(),
                    few[rng.usize(..few.len())].as_str(),
                )
            })
            .collect();
        readers.check(&text(&levels), scales[rng.usize(..scales.len())]);
    }
    assert!(readers.taken > 500, "{}", readers.taken);
}

#[test]
fn a_changed_byte_is_seen() {
    let mut rng = fastrand::Rng::with_seed(8);
    let mut readers = Readers::default();
    let level = ("61837.63000000", "0.31098000");
    let usual = text(&[level; 12]);
    let scales = (Scale::of(2), Scale::of(8));
    for _ in 0..20 {
        readers.check(&usual, scales);
        for at in 0..usual.len() {
            let mut text = usual.clone();
            text[at] = *rng
                .choice(b"\"\\/:;,.0159-e []\x00\x7f\x80\xb0\xff")
                .unwrap_or(&b' ');
            readers.check(&text, scales);
        }
    }
    assert!(
        readers.taken > usual.len(),
        "digits may change: {}",
        readers.taken
    );
}

#[test]
fn a_look_is_learnt_that_comes_again_and_again() {
    #[cfg(target_arch = "x86_64")]
    if crate::swar::Avx2::found().is_some() {
        let scales = (Scale::of(2), Scale::of(8));
        let mut look = LevelLook::default();
        look.begin(scales);
        let usual = text(&[("61837.63000000", "0.31098000"); 9]);
        let one = usual[3..].first_chunk().expect("long enough");
        for _ in 0..20 {
            let (level, length) = look.read::<crate::swar::Avx2>(one).expect("usual");
            assert_eq!((level.price, level.qty), (6_183_763, 31_098_000));
            assert!(one[length..].starts_with(b"],[\"61837"));
        }
        assert!(look.look.is_some());
        assert_eq!(look.misses, 0);
        // Others are read as well, and after a few it is expected no more.
        let other = text(&[("61837.6", "31"); 9]);
        for _ in 0..6 {
            let other = other[3..].first_chunk().expect("long enough");
            let (level, _) = look.read::<crate::swar::Avx2>(other).expect("usual");
            assert_eq!((level.price, level.qty), (6_183_760, 3_100_000_000));
        }
        assert_eq!(look.misses, MISSES_MAX);
        for _ in 0..20 {
            look.read::<crate::swar::Avx2>(one).expect("usual");
        }
        assert_eq!(look.misses, 0, "until it comes again and again");
        look.begin((Scale::of(3), Scale::of(8)));
        assert!(look.look.is_none(), "another scale");
    }
}

#[test]
fn what_is_no_usual_level_is_left_to_the_scanner() {
    let mut readers = Readers::default();
    let scales = (Scale::of(2), Scale::of(8));
    let longest = ("12345678.12", "12345678.1234567");
    for level in [
        ("", "1"),
        (".5", "1"),
        ("5.", "1"),
        ("1", ""),
        ("1", "1."),
        ("1.2.3", "1"),
        ("1", "1..2"),
        ("-1", "1"),
        ("1e5", "1"),
        ("1.234", "1"),
        ("1.230", "1"),
        ("123456789", "1"),
        longest,
        ("12345678.12", "12345678.12345678"),
        ("1", "1\",\"1"),
    ] {
        for place in 0..3 {
            let mut levels = [("61837.63", "0.31098000"); 5];
            levels[place] = level;
            readers.check(&text(&levels), scales);
        }
    }
}
