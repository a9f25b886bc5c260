//! Operator and user keys: always from an encrypted keystore file (Web3 Secret Storage v3) and a password file.

use std::path::{Path, PathBuf};

use alloy::signers::local::PrivateKeySigner;

use crate::error::Error;

/// Opens a keystore. The password is the first line of `password_file`.
pub fn open(keystore: &Path, password_file: &Path) -> Result<PrivateKeySigner, Error> {
    let password = std::fs::read_to_string(password_file).map_err(|e| {
        Error::Local(format!(
            "the password file {} cannot be read: {e}",
            password_file.display()
        ))
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
        return Err(Error::Local(format!(
            "{} exists; a keystore is never overwritten",
            path.display()
        )));
    }
    let (folder, name) = split(path)?;
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::Local(format!("the folder {} cannot be made: {e}", folder.display())))?;
    let mut rng = rand08::rngs::OsRng;
    PrivateKeySigner::encrypt_keystore(&folder, &mut rng, key.to_bytes(), password, Some(&name))
        .map_err(|e| Error::Local(format!("the keystore {} cannot be written: {e}", path.display())))?;
    restrict(path)
}

/// Lets only the owner read and write a file with a secret.
pub fn restrict(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|e| Error::Local(format!("the permissions of {} cannot be set: {e}", path.display())))?;
    }
    #[cfg(not(unix))]
    let _no_modes = path;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keystore_opens_with_its_password_only_and_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("directory");
        let (store, password) = (dir.path().join("sub").join("key.json"), dir.path().join("password"));
        let key = PrivateKeySigner::random();
        create(&store, &key, "secret").expect("written");
        std::fs::write(&password, "secret\n").expect("write");
        assert_eq!(open(&store, &password).expect("opens").address(), key.address());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                std::fs::metadata(&store).expect("there").permissions().mode() & 0o777,
                0o600
            );
        }
        assert!(
            create(&store, &key, "other")
                .expect_err("there already")
                .to_string()
                .contains("never overwritten")
        );
        std::fs::write(&password, "wrong").expect("write");
        assert!(
            open(&store, &password)
                .expect_err("wrong password")
                .to_string()
                .contains("does not open")
        );
        assert!(
            open(&dir.path().join("none"), &password)
                .expect_err("no file")
                .to_string()
                .contains("no keystore file")
        );
        assert!(
            open(&store, &dir.path().join("none"))
                .expect_err("no file")
                .to_string()
                .contains("password file")
        );
    }
}
