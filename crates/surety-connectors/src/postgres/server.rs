//! A development server: Debian's PostgreSQL as a child process, in a folder of its own, on a unix socket only.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// How long it may take to come up.
const START: Duration = Duration::from_secs(60);
/// Whoever runs it if this process is root, which PostgreSQL refuses to be. Debian's package makes the account.
const USER: &str = "postgres";

/// A running PostgreSQL; killed when dropped. What it stored stays in its folder.
#[derive(Debug)]
pub struct Postgres {
    child: Option<Child>,
    binaries: PathBuf,
    folder: PathBuf,
    /// user and group ids, if it runs as another user
    user: Option<(u32, u32)>,
}

/// Where `initdb` and `postgres` are: the newest of Debian's versions, or the variable `POSTGRES_BIN`.
pub fn find() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return Ok(folder.into());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").is_file())
        .max_by_key(|folder| {
            let version = folder
                .parent()
                .and_then(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
            version.unwrap_or(0)
        });
    found.context(
        "PostgreSQL is not there; run scripts/install-deps, or apt-get install postgresql, or set POSTGRES_BIN",
    )
}

fn ids(name: &str) -> Result<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let line = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .with_context(|| format!("there is no account {name}, which Debian's package postgresql makes"))?;
    let mut fields = line.split(':').skip(2);
    let mut id = || -> Result<u32> { Ok(fields.next().context("/etc/passwd")?.parse()?) };
    Ok((id()?, id()?))
}

impl Postgres {
    /// Makes a database in an empty folder and starts it.
    pub fn start(folder: &Path) -> Result<Self> {
        let binaries = find()?;
        let root = fs::metadata("/proc/self").context("/proc/self")?;
        let root = std::os::unix::fs::MetadataExt::uid(&root) == 0;
        let user = if root { Some(ids(USER)?) } else { None };
        let folder = folder.join("postgres");
        fs::create_dir_all(&folder)?;
        // Its own user has to reach it through the folders above.
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
            for above in folder
                .ancestors()
                .skip(1)
                .filter(|above| above.starts_with(std::env::temp_dir()))
            {
                let mode = fs::metadata(above)?.permissions().mode();
                fs::set_permissions(above, fs::Permissions::from_mode(mode | 0o011))?;
            }
        }
        let mut server = Self {
            child: None,
            binaries,
            folder,
            user,
        };
        let made = server
            .command("initdb")
            .args([
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--username=surety",
            ])
            .args(["--pgdata".as_ref(), server.data().as_os_str()])
            .output()
            .context("initdb does not start")?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr).trim()
        );
        server.resume()?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts it again after [`Postgres::kill`]; waits until it answers.
    pub fn resume(&mut self) -> Result<()> {
        let log = fs::File::create(self.folder.join("log"))?;
        let child = self
            .command("postgres")
            .args(["-D".as_ref(), self.data().as_os_str()])
            .args(["-k".as_ref(), self.folder.as_os_str()])
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("postgres does not start")?;
        self.child = Some(child);
        let begin = Instant::now();
        loop {
            let ready = self
                .command("pg_isready")
                .args(["-q".as_ref(), "-h".as_ref(), self.folder.as_os_str()])
                .status()
                .context("pg_isready does not start")?;
            if ready.success() {
                return Ok(());
            }
            let ended = match self.child.as_mut() {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if ended.is_some() || begin.elapsed() > START {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("postgres did not come up: {}", log.trim());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as a loss of power does.
    pub fn kill(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.kill()?;
        child.wait()?;
        // The system would do the same when the machine comes back.
        let _not_there = fs::remove_file(self.data().join("postmaster.pid"));
        Ok(())
    }

    /// The connection string of its owner.
    pub fn connection(&self) -> String {
        format!("host={} user=surety dbname=postgres", self.folder.display())
    }

    /// Runs statements.
    pub async fn execute(&self, statements: &str) -> Result<()> {
        let client = self.connect().await?;
        client.batch_execute(statements).await.context("PostgreSQL")
    }

    /// A connection of its owner.
    pub async fn connect(&self) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.connection(), tokio_postgres::NoTls).await?;
        tokio::spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "the database is gone");
            }
        });
        Ok(client)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _gone_already = self.kill();
    }
}
