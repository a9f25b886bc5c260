//! Connectors that come with Surety: timer, http, ethereum, postgres. Each is what an author of a connector would
//! write with the SDK ([`surety_connector::sdk`]); `docs/guides/connectors.md` says how they are configured.

pub mod config;
pub mod ethereum;
pub mod http;
pub mod postgres;
pub mod timer;

use config::Loaded;

/// Which connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// ticks at multiples of an interval
    Timer,
    /// webhooks in, requests out
    Http,
    /// logs in, transactions out
    Ethereum,
    /// rows out
    Postgres,
}

impl Kind {
    /// Its name, which is its section in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Http => "http",
            Self::Ethereum => "ethereum",
            Self::Postgres => "postgres",
        }
    }
}

/// Runs a connector until its node refuses it or it can't go on; drop the future to end it.
pub async fn run(kind: Kind, config: &Loaded) -> anyhow::Result<()> {
    match kind {
        Kind::Timer => timer::run(config).await,
        Kind::Http => http::run(config).await,
        Kind::Ethereum => ethereum::run(config).await,
        Kind::Postgres => postgres::run(config).await,
    }
}
