//! Rows out: a task writes one row, whose key is the task's id, and validators read it back and compare. Names of
//! tables and columns come from the configuration and are quoted; values are parameters, always.

mod database;
pub mod server;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use surety_connector::sdk::{Connector, Failure, Job, Verdict, Work};
use surety_primitives::value::Value;
use tokio::sync::Mutex;

use crate::{Kind, config::Loaded};
use database::{Database, Found};

/// `[postgres]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// a file with the connection string (`host=… user=… dbname=… password=…`, or a postgres:// URL)
    pub connection_file: Option<PathBuf>,
    /// or the environment variable that has it
    pub connection_env: Option<String>,
    /// whether nobody but the service's own connectors writes to these tables, nor sees them otherwise than the others
    /// do (row security, one role a node). Only then is a row that is missing or another evidence against who says that
    /// he wrote it: an owner of the database who changes rows could have honest operators slashed
    #[serde(default)]
    pub authoritative: bool,
    /// tasks and the tables they write to
    #[serde(rename = "table")]
    pub tables: Vec<Table>,
}

/// `[[postgres.table]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// the task; its outputs are `row`, a String
    pub task: String,
    /// `schema.table` or `table`
    pub table: String,
    /// the text column, unique or primary key, that gets the task's id
    #[serde(default = "key")]
    pub key: String,
    /// columns and the inputs that go there, `column = "input"`
    pub columns: BTreeMap<String, String>,
}

fn key() -> String {
    "task".to_owned()
}

/// Seconds a statement may take.
const STATEMENT_TIMEOUT: u32 = 10;

struct Rows {
    authoritative: bool,
    tables: BTreeMap<String, Table>,
    database: Mutex<Database>,
}

pub(crate) async fn run(config: &Loaded) -> Result<()> {
    let postgres = config.section(Kind::Postgres, &config.file.postgres)?;
    let secret = match (&postgres.connection_file, &postgres.connection_env) {
        (Some(file), None) => config.secret(file)?,
        (None, Some(name)) => std::env::var(name).with_context(|| format!("the environment variable {name}"))?,
        _ => bail!("postgres: expected either connection_file or connection_env"),
    };
    let connection: tokio_postgres::Config = secret
        .parse()
        // The cause could quote the password.
        .map_err(|_| anyhow::anyhow!("postgres: the connection string can't be read"))?;
    ensure!(
        !postgres.tables.is_empty(),
        "postgres: expected at least one [[postgres.table]]"
    );
    let mut node = config.node(Kind::Postgres);
    let mut tables = BTreeMap::new();
    for table in &postgres.tables {
        for name in table
            .table
            .split('.')
            .chain([table.key.as_str()])
            .chain(table.columns.keys().map(String::as_str))
        {
            ensure!(
                !name.is_empty() && name.len() <= 63 && !name.contains('\0'),
                "postgres: found the name `{name}`, expected 1 to 63 bytes"
            );
        }
        ensure!(
            !table.columns.is_empty() && table.columns.len() <= 256,
            "postgres: task `{}`: found {} columns, expected 1 to 256",
            table.task,
            table.columns.len()
        );
        ensure!(
            !table.columns.contains_key(&table.key),
            "postgres: task `{}`: column `{}` is the key, it can't be an input too",
            table.task,
            table.key
        );
        node = node.task(&table.task);
        ensure!(
            tables.insert(table.task.clone(), table.clone()).is_none(),
            "postgres: task `{}` is there twice",
            table.task
        );
    }
    let rows = Rows {
        authoritative: postgres.authoritative,
        tables,
        database: Mutex::new(Database::new(connection)),
    };
    Ok(Connector::new(node, rows)?.run().await?)
}

impl Rows {
    fn table(&self, job: &Job) -> Result<&Table, Failure> {
        self.tables
            .get(&job.name)
            .ok_or_else(|| Failure::never(format!("task `{}` has no table", job.name)))
    }
}

impl Rows {
    /// What is found against a claim counts only where the database can't have changed its mind.
    fn evidence(&self, found: String, replica: bool) -> Verdict {
        if self.authoritative && !replica {
            Verdict::Invalid(found)
        } else {
            Verdict::Unknown(format!("{found}, but others may have written to this database"))
        }
    }
}

fn output(job: &Job) -> Value {
    Value::object([("row", job.task.as_str())])
}

/// What a column gets, as text that the database casts to the column's type; nothing is NULL.
fn text(job: &Job, input: &str) -> Option<String> {
    match job.inputs.field(input)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        // JSON: true, 1.5, [1,2], {"a":1}
        other => Some(other.to_string()),
    }
}

fn texts(table: &Table, job: &Job) -> Vec<Option<String>> {
    table.columns.values().map(|input| text(job, input)).collect()
}

#[tonic::async_trait]
impl Work for Rows {
    async fn execute(&self, job: &Job) -> Result<Value, Failure> {
        let table = self.table(job)?;
        let mut database = self.database.lock().await;
        match database.write(table, &job.task, &texts(table, job)).await? {
            Found::Same => Ok(output(job)),
            Found::Other(columns) => Err(Failure::never(format!(
                "table {}: there is a row {} with other values in {}",
                table.table,
                job.task,
                columns.join(", ")
            ))),
            Found::Missing => Err(Failure::later(format!("table {}: the row is gone again", table.table))),
        }
    }

    async fn validate(&self, job: &Job, claimed: &Value) -> Verdict {
        let table = match self.table(job) {
            Ok(table) => table,
            Err(failure) => return Verdict::Unknown(failure.message),
        };
        if *claimed != output(job) {
            // Follows from the task's id alone: no database is asked.
            return Verdict::Invalid("output: found another `row` than the task's id".to_owned());
        }
        let mut database = self.database.lock().await;
        match database.read(table, &job.task, &texts(table, job)).await {
            Ok((Found::Same, _)) => Verdict::Valid,
            Ok((Found::Other(columns), replica)) => {
                self.evidence(format!("the row has other values in {}", columns.join(", ")), replica)
            }
            Ok((Found::Missing, false)) => self.evidence("there is no such row".to_owned(), false),
            Ok((Found::Missing, true)) => {
                Verdict::Unknown("there is no such row, but this database is a replica and may be behind".to_owned())
            }
            Err(failure) => Verdict::Unknown(failure.message),
        }
    }
}
