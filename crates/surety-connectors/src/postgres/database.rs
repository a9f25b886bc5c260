//! One connection, opened when needed and again after it is lost.

use std::{collections::BTreeMap, time::Duration};

use surety_connector::sdk::Failure;
use tokio_postgres::{Client, Error, NoTls, types::ToSql};

use super::{STATEMENT_TIMEOUT, Table};

/// What is in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Same,
    /// these columns have other values
    Other(Vec<String>),
    Missing,
}

/// Types of a table's columns by name, as PostgreSQL writes them.
type Types = BTreeMap<String, String>;

pub(super) struct Database {
    config: tokio_postgres::Config,
    client: Option<Client>,
    types: BTreeMap<String, Types>,
}

/// `"name"`, with quotes in it doubled.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted_table(table: &str) -> String {
    table.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// PostgreSQL's messages quote values, which are nobody's business in a log: the code and the names of what it is about
/// say enough.
fn failure(error: &Error) -> Failure {
    let Some(cause) = error.as_db_error() else {
        return Failure::later(format!("PostgreSQL: {error}"));
    };
    let code = cause.code().code();
    let (what, never) = match code.get(..2) {
        // The values or the table are wrong, and stay so.
        Some("22") => ("a value doesn't fit its column", true),
        Some("23") => ("a constraint refuses the row", true),
        Some("42") => ("the statement doesn't fit the table, or isn't allowed", true),
        Some("28") => ("this user is refused", false),
        _ => ("the database refuses", false),
    };
    let mut message = format!("PostgreSQL: {code}: {what}");
    for (kind, name) in [
        ("table", cause.table()),
        ("column", cause.column()),
        ("constraint", cause.constraint()),
    ] {
        if let Some(name) = name {
            message.push_str(&format!(", {kind} {}", quoted(name)));
        }
    }
    Failure { message, retry: !never }
}

impl Database {
    pub(super) fn new(mut config: tokio_postgres::Config) -> Self {
        config.connect_timeout(Duration::from_secs(5));
        config.application_name("surety-connector");
        Self {
            config,
            client: None,
            types: BTreeMap::new(),
        }
    }

    async fn client(&mut self) -> Result<&mut Client, Failure> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = None;
            self.types.clear();
            let (client, connection) = self.config.connect(NoTls).await.map_err(|e| failure(&e))?;
            tokio::spawn(async move {
                if let Err(cause) = connection.await {
                    tracing::warn!(cause = failure(&cause).message, "the database is gone");
                }
            });
            client
                .batch_execute(&format!(
                    "SET statement_timeout = '{STATEMENT_TIMEOUT}s'; SET search_path = public"
                ))
                .await
                .map_err(|e| failure(&e))?;
            self.client = Some(client);
        }
        self.client
            .as_mut()
            .ok_or_else(|| Failure::later("PostgreSQL: no connection"))
    }

    /// The types of a table's columns, from the catalogue, without length and scale: a cast to `varchar(3)` would cut
    /// in silence, where the column refuses.
    async fn types(&mut self, table: &Table) -> Result<Types, Failure> {
        if let Some(types) = self.types.get(&table.table) {
            return Ok(types.clone());
        }
        let name = quoted_table(&table.table);
        let rows = self
            .client()
            .await?
            .query(
                "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
                 WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped",
                &[&name],
            )
            .await
            .map_err(|e| failure(&e))?;
        let mut types = Types::new();
        for row in &rows {
            let read = |at: usize| row.try_get::<_, String>(at).map_err(|e| failure(&e));
            types.insert(read(0)?, read(1)?);
        }
        for column in table.columns.keys().chain([&table.key]) {
            if !types.contains_key(column) {
                return Err(Failure::never(format!("table {name} has no column {}", quoted(column))));
            }
        }
        self.types.insert(table.table.clone(), types.clone());
        Ok(types)
    }

    /// Writes the row unless it is there, and says what is there then; both in one transaction.
    pub(super) async fn write(
        &mut self,
        table: &Table,
        task: &str,
        values: &[Option<String>],
    ) -> Result<Found, Failure> {
        let types = self.types(table).await?;
        let name = quoted_table(&table.table);
        let columns: Vec<String> = table.columns.keys().map(|column| quoted(column)).collect();
        let insert = format!(
            "INSERT INTO {name} ({}, {}) VALUES ($1::text, {}) ON CONFLICT ({}) DO NOTHING",
            quoted(&table.key),
            columns.join(", "),
            casts(table, &types).join(", "),
            quoted(&table.key),
        );
        let compare = comparison(table, &types);
        let parameters = parameters(&task, values);
        let result = async {
            let transaction = self.client().await?.transaction().await.map_err(|e| failure(&e))?;
            transaction
                .execute(&insert, &parameters)
                .await
                .map_err(|e| failure(&e))?;
            let rows = transaction
                .query(&compare, &parameters)
                .await
                .map_err(|e| failure(&e))?;
            let found = found(table, &rows)?;
            // A row that the column rounded, say, is not kept: what isn't committed is rolled back.
            if found == Found::Same {
                transaction.commit().await.map_err(|e| failure(&e))?;
            }
            Ok(found)
        }
        .await;
        self.forget_after(&result);
        result
    }

    /// What is in the row, and whether the database is a replica.
    pub(super) async fn read(
        &mut self,
        table: &Table,
        task: &str,
        values: &[Option<String>],
    ) -> Result<(Found, bool), Failure> {
        let types = self.types(table).await?;
        let compare = comparison(table, &types);
        let parameters = parameters(&task, values);
        let result = async {
            let client = self.client().await?;
            let replica = client
                .query_one("SELECT pg_is_in_recovery()", &[])
                .await
                .and_then(|row| row.try_get(0))
                .map_err(|e| failure(&e))?;
            let rows = client.query(&compare, &parameters).await.map_err(|e| failure(&e))?;
            Ok((found(table, &rows)?, replica))
        }
        .await;
        self.forget_after(&result);
        result
    }

    /// A table that was altered is looked at again.
    fn forget_after<T>(&mut self, result: &Result<T, Failure>) {
        if result.is_err() {
            self.types.clear();
        }
    }
}

/// Each value as text, cast to its column's type: `$2::text::numeric`.
fn casts(table: &Table, types: &Types) -> Vec<String> {
    let types = table
        .columns
        .keys()
        .map(|column| types.get(column).map_or("text", String::as_str));
    types
        .zip(2..)
        .map(|(kind, at)| format!("${at}::text::{kind}"))
        .collect()
}

/// Whether the row has these values, a column for each, compared in its column's type; json, which can't be compared, as jsonb.
fn comparison(table: &Table, types: &Types) -> String {
    let columns = table.columns.keys().zip(casts(table, types));
    let same = columns.map(|(column, cast)| {
        let jsonb = if types.get(column).is_some_and(|kind| kind == "json") {
            "::jsonb"
        } else {
            ""
        };
        format!("({}{jsonb} IS NOT DISTINCT FROM {cast}{jsonb})", quoted(column))
    });
    format!(
        "SELECT {} FROM {} WHERE {} = $1::text",
        same.collect::<Vec<_>>().join(", "),
        quoted_table(&table.table),
        quoted(&table.key)
    )
}

fn parameters<'a>(task: &'a &'a str, values: &'a [Option<String>]) -> Vec<&'a (dyn ToSql + Sync)> {
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![task];
    parameters.extend(values.iter().map(|value| value as &(dyn ToSql + Sync)));
    parameters
}

fn found(table: &Table, rows: &[tokio_postgres::Row]) -> Result<Found, Failure> {
    let Some(row) = rows.first() else {
        return Ok(Found::Missing);
    };
    let mut other = Vec::new();
    for (at, column) in table.columns.keys().enumerate() {
        if !row.try_get::<_, bool>(at).map_err(|e| failure(&e))? {
            other.push(column.clone());
        }
    }
    Ok(if other.is_empty() {
        Found::Same
    } else {
        Found::Other(other)
    })
}
