//! A file as unpacked text, whatever it is packed with.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A skippable zstd frame, with which some writers begin; its last digit is free.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How far a file has been read, in bytes on disk. Can be watched from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    read_bytes: Arc<AtomicU64>,
    size_bytes: u64,
}

impl Progress {
    /// Bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

struct Counted<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens a file and finds out by its first bytes how it is packed.
pub(super) fn open(path: &Path) -> io::Result<(Box<dyn Read + Send>, Progress)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a folder, name the files in it",
        ));
    }
    let progress = Progress {
        read_bytes: Arc::default(),
        size_bytes: metadata.len(),
    };
    let mut file = Counted {
        inner: file,
        read_bytes: Arc::clone(&progress.read_bytes),
    };
    let mut magic = Vec::with_capacity(4);
    (&mut file).take(4).read_to_end(&mut magic)?;
    let zstd = magic.starts_with(&ZSTD_MAGIC) || magic.get(1..) == Some(&ZSTD_SKIPPABLE);
    let gzip = magic.starts_with(&GZIP_MAGIC);
    let packed = Cursor::new(magic).chain(file);
    let text: Box<dyn Read + Send> = if gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(packed)))
    } else if zstd {
        Box::new(zstd::Decoder::new(packed)?)
    } else {
        Box::new(packed)
    };
    Ok((text, progress))
}
