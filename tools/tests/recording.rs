//! Every form of line, packed in every way, and what can be wrong with a file.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tickwire_tools::recording::{ReadError, ReadErrorKind, Reader, RecordKind};

type Seen = (RecordKind, Option<i64>, String, Option<String>, String, u64);
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn read(path: &Path) -> (Vec<Seen>, Option<ReadError>) {
    let mut seen = Vec::new();
    let mut reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match reader.next_record() {
            Ok(Some(record)) => seen.push((
                record.kind,
                record.recv_ns.map(|ns| ns.0),
                record.conn.to_owned(),
                record.url.map(str::to_owned),
                String::from_utf8_lossy(record.payload).into_owned(),
                record.line,
            )),
            Ok(None) => return (seen, None),
            Err(error) => {
                assert!(
                    matches!(reader.next_record(), Ok(None)),
                    "an error is the end"
                );
                return (seen, Some(error));
            }
        }
    }
}

const TEXT: &str = concat!(
    r#"{"kind":"connect","recv_ns":1,"conn":"c","url":"wss://a/b"}"#,
    "\n\n",
    r#"{"kind":"recv","recv_ns":2,"conn":"c","msg":{"stream":"x","data":{"b":[["1.0","2"]]}}}"#,
    "\r\n",
    r#"{"kind":"recv","recv_ns":3,"conn":"c","msg":"not \"JSON\""}"#,
    "\n",
    r#"4 {"e":"trade"}"#,
    "\n",
    r#"  {"e":"bare"}  "#,
);

fn expected() -> Vec<Seen> {
    let line = |kind, at: Option<i64>, conn: &str, url: Option<&str>, msg: &str, number| {
        let url = url.map(str::to_owned);
        (kind, at, conn.to_owned(), url, msg.to_owned(), number)
    };
    use RecordKind::{Connect, Recv};
    vec![
        line(Connect, Some(1), "c", Some("wss://a/b"), "", 1),
        line(
            Recv,
            Some(2),
            "c",
            None,
            r#"{"stream":"x","data":{"b":[["1.0","2"]]}}"#,
            3,
        ),
        line(Recv, Some(3), "c", None, r#"not "JSON""#, 4),
        line(Recv, Some(4), "", None, r#"{"e":"trade"}"#, 5),
        line(Recv, None, "", None, r#"{"e":"bare"}"#, 6),
    ]
}

fn gzip(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

fn zstd(text: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::encode_all(text, 1)
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

#[test]
fn every_form_of_line_is_read_from_every_packing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text = TEXT.as_bytes();
    let (left, right) = text.split_at(40);
    let packings = [
        ("plain", text.to_vec()),
        ("gzip", gzip(text)?),
        ("zstd", zstd(text)?),
        ("gzip of two members", [gzip(left)?, gzip(right)?].concat()),
        ("zstd of two frames", [zstd(left)?, zstd(right)?].concat()),
    ];
    for (name, bytes) in packings {
        // The name of a file says nothing about what is in it.
        let (seen, error) = read(&save(folder.path(), "recording.txt", &bytes)?);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(seen, expected(), "{name}");
    }
    Ok(())
}

#[test]
fn a_file_cut_short_gives_what_it_has_and_then_the_error() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut text = String::new();
    for number in 0..20_000u64 {
        // Noise, so that the packed file is long.
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!("{number} {{\"n\":{noise}}}\n"));
    }
    for packed in [gzip(text.as_bytes())?, zstd(text.as_bytes())?] {
        let half = packed.get(..packed.len() / 2).unwrap_or_default();
        let (seen, error) = read(&save(folder.path(), "cut", half)?);
        assert!(seen.len() > 1_000, "{} lines", seen.len());
        let Some(error) = error else {
            panic!("no error")
        };
        assert!(matches!(error.kind, ReadErrorKind::Truncated), "{error}");
        assert_eq!(error.line, seen.len() as u64 + 1);
        assert!(error.to_string().contains("copy the file again"), "{error}");
    }
    Ok(())
}

#[test]
fn a_corrupt_line_is_named_by_its_number_and_place() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = save(folder.path(), "a", b"{\"a\":1}\n{\"a\":\n{\"a\":3}\n")?;
    let (seen, error) = read(&path);
    assert_eq!(seen.len(), 1);
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    for part in ["line 2", "byte 8", "fix or remove this line"] {
        assert!(text.contains(part), "{text}");
    }
    Ok(())
}

#[test]
fn a_line_without_end_is_not_read_into_memory() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = save(
        folder.path(),
        "a",
        format!("{{\"a\":\"{}\"}}", "x".repeat(5_000)).as_bytes(),
    )?;
    let mut reader = Reader::open(&path)?.with_line_bytes_max(1_000);
    let error = reader.next_record().map(|record| record.is_some());
    assert!(
        matches!(
            error,
            Err(ReadError {
                kind: ReadErrorKind::LineTooLong { max_bytes: 1_000 },
                ..
            })
        ),
        "{error:?}"
    );
    let path = save(folder.path(), "b", b"{\"a\":12}\n{}")?;
    let mut reader = Reader::open(&path)?.with_line_bytes_max(8);
    assert!(reader.next_record()?.is_some(), "as long as allowed");
    Ok(())
}

#[test]
fn what_can_not_be_opened_says_so() -> Outcome {
    let folder = tempfile::tempdir()?;
    for path in [folder.path().join("missing"), folder.path().to_owned()] {
        let (_, error) = read(&path);
        assert!(matches!(
            error.map(|error| error.kind),
            Some(ReadErrorKind::Open(_))
        ));
    }
    let damaged = [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 100]].concat();
    let (_, error) = read(&save(folder.path(), "damaged", &damaged)?);
    assert!(matches!(
        error.map(|error| error.kind),
        Some(ReadErrorKind::Io(_))
    ));
    Ok(())
}
