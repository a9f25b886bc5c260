//! A real SSH server for a test: Debian's `sshd` on a free port of the loopback interface, with its own host key, and
//! accounts' keys that may run one command each. Needs root.

use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::devnet::free_ports;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell that starts the server and ends it when the test's process ends, however that happens.
const KEEPER: &str = r#"
trap '' INT TERM HUP
"$@" >/dev/null 2>&1 </dev/null &
server=$!
cat >/dev/null
# The server's connections are its children.
kill -KILL $(cat "/proc/$server/task/$server/children" 2>/dev/null) "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

/// A running server. Gone when this is dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    keeper: Option<(Child, ChildStdin)>,
}

impl Sshd {
    /// Starts one to which nobody has access yet.
    ///
    /// # Errors
    /// If `sshd` is not installed, or does not answer.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("surety-sshd-").tempdir()?;
        // `sshd` distrusts files in folders that others may change.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        fs::write(folder.path().join("authorized_keys"), "")?;
        generate(&folder.path().join("host"))?;
        let mut sshd = Self {
            folder,
            port: free_ports(1)?,
            keeper: None,
        };
        sshd.serve()?;
        Ok(sshd)
    }

    fn serve(&mut self) -> Result<()> {
        // Debian's service makes it.
        fs::create_dir_all("/run/sshd")?;
        let folder = self.folder.path().to_str().context("the folder's path")?.to_owned();
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\nStrictModes no\n\
             AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nUsePAM no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\nMaxStartups 100\nLogLevel VERBOSE\n",
            self.port
        );
        fs::write(format!("{folder}/config"), config)?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sshd-keeper", "/usr/sbin/sshd", "-D"])
            .args(["-f", &format!("{folder}/config"), "-E", &format!("{folder}/log")])
            .stdin(Stdio::piped())
            .spawn()
            .context("starting sh")?;
        let orders = keeper.stdin.take().context("the keeper's input")?;
        self.keeper = Some((keeper, orders));
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                let mut banner = [0; 4];
                if stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-" {
                    return Ok(());
                }
            }
            sleep(Duration::from_millis(20));
        }
        bail!("sshd does not answer:\n{}", self.log())
    }

    fn stop(&mut self) {
        if let Some((mut keeper, orders)) = self.keeper.take() {
            drop(orders);
            drop(keeper.wait());
        }
    }

    /// Stops it, with every connection.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.serve()
    }

    /// Stops it, and starts it with another host key: what a monitor sees when somebody is in between.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn change_host_key(&mut self) -> Result<()> {
        self.stop();
        for name in ["host", "host.pub"] {
            fs::remove_file(self.folder.path().join(name))?;
        }
        generate(&self.folder.path().join("host"))?;
        self.serve()
    }

    /// Makes a key that may run only `command` as root, whatever it asks for; the private key's file.
    ///
    /// # Errors
    /// If `ssh-keygen` fails.
    pub fn allow(&self, name: &str, command: &str) -> Result<PathBuf> {
        let key = self.folder.path().join(name);
        generate(&key)?;
        let public = fs::read_to_string(key.with_extension("pub"))?;
        let path = self.folder.path().join("authorized_keys");
        let mut all = fs::read_to_string(&path)?;
        all.push_str(&format!("restrict,command=\"{command}\" {public}"));
        fs::write(path, all)?;
        Ok(key)
    }

    /// Makes a key that may do nothing; the private key's file.
    ///
    /// # Errors
    /// If `ssh-keygen` fails.
    pub fn stranger(&self) -> Result<PathBuf> {
        let key = self.folder.path().join("stranger");
        generate(&key)?;
        Ok(key)
    }

    /// `ssh://root@127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("ssh://root@127.0.0.1:{}", self.port)
    }

    /// The public half of the host key, in OpenSSH's format.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn host_key(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("host.pub"))?)
    }

    /// Its folder, for what the commands of its keys need.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn generate(path: &Path) -> Result<()> {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "surety-testing", "-f"])
        .arg(path)
        .output()
        .context("running ssh-keygen")?;
    ensure!(
        done.status.success(),
        "ssh-keygen: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
