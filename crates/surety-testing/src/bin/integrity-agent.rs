//! A host's agent on the standard streams, for tests of the channel without the whole command line:
//! `integrity-agent ROLE SOCKET [PLAN...]`; without plans a deployer may deploy any.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, anyhow};
use surety_integrity::agent::{Agent, Grants, Plans, Role, serve_stdio};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let role: Role = arguments
        .next()
        .context("expected a role")?
        .parse()
        .map_err(|error: String| anyhow!(error))?;
    let socket: PathBuf = arguments.next().context("expected a socket")?.into();
    let plans = arguments
        .map(|path| Ok(serde_json::from_slice(&std::fs::read(path)?)?))
        .collect::<Result<Vec<_>>>()?;
    let grants = Grants {
        plans: if plans.is_empty() {
            Plans::Any
        } else {
            Plans::Only(plans)
        },
        ..Grants::default()
    };
    let agent = Arc::new(Agent::new(role, socket, grants));
    let served = serve_stdio(agent).await;
    // The runtime's own thread may still wait for the standard input.
    std::process::exit(i32::from(served.is_err()));
}
