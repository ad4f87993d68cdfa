//! API keys from the environment or from a file that nobody else can read.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tickwire_connectors::{Credentials, Venue};

/// Keys can't be had. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A variable is not set.
    #[error("set {0} (see docs/driver.md)")]
    Missing(String),
    /// The file can't be read.
    #[error("can't read {path:?}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Others may read the file.
    #[error("{path:?} may be read by others (mode {mode:03o}): chmod 600 it")]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is not NAME=value.
    #[error("{path:?}, line {line}: write NAME=value")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
    },
}

/// A file of keys is small; a larger one is another file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads `TICKWIRE_<VENUE>_KEY` and `_SECRET` (or `_ED25519`, a file of a private key in PEM); Polymarket
/// also has `_PASSPHRASE` and `_ADDRESS`.
pub fn credentials_from_env(venue: Venue) -> Result<Credentials, CredentialsError> {
    read(venue, |name| std::env::var(name).ok())
}

/// Reads the same names as lines `NAME=value` of a file with mode 0600. Empty lines and those that begin
/// with `#` say nothing.
pub fn credentials_from_file(venue: Venue, path: &Path) -> Result<Credentials, CredentialsError> {
    let text = zeroize::Zeroizing::new(read_private(path)?);
    let mut values = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| CredentialsError::Line {
            path: path.to_owned(),
            line: index + 1,
        })?;
        values.push((name.trim(), value.trim()));
    }
    read(venue, |name| {
        let found = values.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    })
}

fn read(
    venue: Venue,
    value: impl Fn(&str) -> Option<String>,
) -> Result<Credentials, CredentialsError> {
    let prefix = format!("TICKWIRE_{}", venue.as_str().to_ascii_uppercase());
    let wanted = |part: &str| {
        let name = format!("{prefix}_{part}");
        value(&name).ok_or(CredentialsError::Missing(name))
    };
    let key = wanted("KEY")?;
    if let Ok(path) = wanted("ED25519") {
        return Ok(Credentials::ed25519(key, read_private(Path::new(&path))?));
    }
    let mut credentials = Credentials::hmac(key, wanted("SECRET")?);
    if let Ok(passphrase) = wanted("PASSPHRASE") {
        credentials = credentials.with_passphrase(passphrase);
    }
    if let Ok(address) = wanted("ADDRESS") {
        credentials = credentials.with_address(address);
    }
    Ok(credentials)
}

/// The text of a file that is its owner's alone.
fn read_private(path: &Path) -> Result<String, CredentialsError> {
    let failed = |error| CredentialsError::File {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(failed)?;
    check_mode(path, &file.metadata().map_err(failed)?)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), CredentialsError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CredentialsError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), CredentialsError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_file_is_read_only_where_nobody_else_can() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let text = "# mine\nTICKWIRE_BYBIT_KEY = the-key\n\nTICKWIRE_BYBIT_SECRET=the=secret\n";
        fs::write(&path, text).expect("a file");
        for (mode, is_read) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            let read = credentials_from_file(Venue::Bybit, &path);
            assert_eq!(read.is_ok(), is_read, "{mode:o}");
            if let Ok(credentials) = read {
                assert_eq!(credentials.key(), "the-key");
                assert_eq!(credentials.expose_secret(), "the=secret");
            }
        }
        let missing = credentials_from_file(Venue::Binance, &path).expect_err("no key");
        assert_eq!(
            missing.to_string(),
            "set TICKWIRE_BINANCE_KEY (see docs/driver.md)"
        );
        fs::write(&path, "the-secret").expect("a file");
        let error = credentials_from_file(Venue::Bybit, &path).expect_err("no name");
        assert!(!format!("{error} {error:?}").contains("the-secret"));
    }
}
