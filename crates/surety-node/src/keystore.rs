//! The operator's key, from an encrypted keystore file. The password comes from a file, never from a flag or from an
//! environment variable's value, since both are seen by other processes.

use std::path::{Path, PathBuf};

use alloy::signers::local::PrivateKeySigner;

use crate::config::OperatorConfig;

/// Environment variable that *names* the password file when the configuration does not.
pub const PASSWORD_FILE_VARIABLE: &str = "SURETY_PASSWORD_FILE";

/// Longest password or keystore file that is read, bytes.
const MAX_FILE: u64 = 64 << 10;

/// Why the key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// No password file is named.
    #[error("no password file: set operator.password_file, or SURETY_PASSWORD_FILE to the file's name")]
    NoPasswordFile,
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is too long to be what it should be.
    #[error("{path} has {found} bytes, at most {MAX_FILE} expected")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// The keystore did not open.
    #[error("cannot open keystore {path}: {message}; check that the file is a v3 keystore and the password its own")]
    Decrypt {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// Opens the operator's key. Warns when others can read the files.
pub fn open(config: &OperatorConfig) -> Result<PrivateKeySigner, KeystoreError> {
    let password_file = match &config.password_file {
        Some(p) => p.clone(),
        None => std::env::var_os(PASSWORD_FILE_VARIABLE)
            .map(PathBuf::from)
            .ok_or(KeystoreError::NoPasswordFile)?,
    };
    let password = read(&password_file)?;
    // One line: editors add a newline that is not part of the password.
    let password = password.strip_suffix(b"\n").unwrap_or(&password);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    read(&config.keystore)?;
    PrivateKeySigner::decrypt_keystore(&config.keystore, password).map_err(|e| KeystoreError::Decrypt {
        path: config.keystore.clone(),
        message: e.to_string(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, KeystoreError> {
    let fail = |source| KeystoreError::Read {
        path: path.to_owned(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(fail)?;
    if meta.len() > MAX_FILE {
        return Err(KeystoreError::TooLong {
            path: path.to_owned(),
            found: meta.len(),
        });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(file = %path.display(), mode = format!("{mode:o}"), "readable by others; chmod 600 it");
        }
    }
    std::fs::read(path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keystore with a weak scrypt cost, so that the test is quick: made with `eth-keystore` defaults would take
    /// seconds. This is the test vector of the Web3 Secret Storage definition (pbkdf2), password `testpassword`.
    const VECTOR: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

    fn files(password: &str) -> (tempfile::TempDir, OperatorConfig) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let keystore = dir.path().join("key.json");
        let password_file = dir.path().join("password");
        std::fs::write(&keystore, VECTOR).expect("write");
        std::fs::write(&password_file, password).expect("write");
        (
            dir,
            OperatorConfig {
                keystore,
                password_file: Some(password_file),
            },
        )
    }

    #[test]
    fn opens_the_published_vector_with_a_trailing_newline() {
        let (_dir, config) = files("testpassword\n");
        let signer = open(&config).expect("opens");
        assert_eq!(
            alloy::primitives::hex::encode(signer.to_bytes()),
            "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
        );
    }

    #[test]
    fn a_wrong_password_and_a_broken_file_are_named() {
        let (_dir, config) = files("wrong");
        assert!(matches!(open(&config), Err(KeystoreError::Decrypt { .. })));
        let (_dir, config) = files("testpassword");
        std::fs::write(&config.keystore, "{").expect("write");
        assert!(matches!(open(&config), Err(KeystoreError::Decrypt { .. })));
        std::fs::remove_file(&config.keystore).expect("remove");
        assert!(matches!(open(&config), Err(KeystoreError::Read { .. })));
    }
}
