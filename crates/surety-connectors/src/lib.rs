//! Connectors that come with Surety: timer, http, ethereum, postgres.
