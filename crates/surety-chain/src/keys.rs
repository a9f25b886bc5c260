//! Operator and user keys: always from an encrypted keystore file (Web3 Secret Storage v3) and a password file.

use std::path::{Path, PathBuf};

use alloy::signers::local::PrivateKeySigner;

use crate::error::Error;

/// Opens a keystore. The password is the first line of `password_file`.
pub fn open(keystore: &Path, password_file: &Path) -> Result<PrivateKeySigner, Error> {
    let password = std::fs::read_to_string(password_file).map_err(|e| {
        Error::Local(format!("the password file {} cannot be read: {e}", password_file.display()))
    })?;
    let password = password.lines().next().unwrap_or_default();
    if !keystore.is_file() {
        return Err(Error::Local(format!(
            "there is no keystore file {}; make one with `surety operator key --keystore FILE --password-file FILE` \
             or `cast wallet new`",
            keystore.display()
        )));
    }
    PrivateKeySigner::decrypt_keystore(keystore, password).map_err(|e| {
        Error::Local(format!(
            "the keystore {} does not open with the password in {}: {e}",
            keystore.display(),
            password_file.display()
        ))
    })
}

/// Writes `key` encrypted under `password` to `path`, which must not exist yet.
pub fn create(path: &Path, key: &PrivateKeySigner, password: &str) -> Result<(), Error> {
    if path.exists() {
        return Err(Error::Local(format!("{} exists; a keystore is never overwritten", path.display())));
    }
    let (folder, name) = split(path)?;
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::Local(format!("the folder {} cannot be made: {e}", folder.display())))?;
    let mut rng = rand08::rngs::OsRng;
    PrivateKeySigner::encrypt_keystore(&folder, &mut rng, key.to_bytes(), password, Some(&name))
        .map_err(|e| Error::Local(format!("the keystore {} cannot be written: {e}", path.display())))?;
    Ok(())
}

fn split(path: &Path) -> Result<(PathBuf, String), Error> {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or_else(|| Error::Local(format!("{} is not a file name", path.display())))?;
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((folder, name.to_owned()))
}
