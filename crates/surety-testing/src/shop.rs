//! A story for the network of services: a shop is paid on-chain, and its ledger in PostgreSQL has a row for it.

use alloy::primitives::Address;

/// The chain's side: payments are events.
pub const SHOP: &str = r#"
name = "shop"
min_bond = "32"

[events.paid]
id = ["block_hash", "log_index"]
window = 30

[events.paid.data]
block_hash = "String"
transaction = "String"
contract = "String"
block_number = "Number"
log_index = "Number"
args = { type = "Object", fields = { from = "String", to = "String", value = "String" } }
"#;

/// The database's side: writing a row is a task.
pub const LEDGER: &str = r#"
name = "ledger"
min_bond = "32"

[tasks.record]
verification = "verify"
validators = 3
window = 20
price = { per_call = "0.5", per_second = "0.01", per_kilobyte = "0.1" }
inputs = { buyer = "String", amount = "String", payment = "String" }
outputs = { row = "String" }
"#;

/// The section of a node's `ethereum` connector that sees payments in `coin`.
pub fn watch_payments(rpc: &str, coin: Address, from_block: u64) -> String {
    format!(
        r#"[ethereum]
rpc = "{rpc}"
confirmations = 1
poll = 1

[[ethereum.log]]
contract = "{coin}"
signature = "event Transfer(address indexed from, address indexed to, uint256 value)"
event = "paid"
from_block = {from_block}
"#
    )
}

/// The section of a node's `postgres` connector that writes rows.
pub const WRITE_ROWS: &str = r#"[postgres]
connection_file = "../postgres.connection"
authoritative = true

[[postgres.table]]
task = "record"
table = "payments"
key = "task"
columns = { buyer = "buyer", amount = "amount", payment = "payment" }
"#;

/// The table.
pub const TABLE: &str = "CREATE TABLE payments (task text PRIMARY KEY, buyer text NOT NULL, amount numeric NOT NULL, payment text NOT NULL)";

/// The flow: of the payments, those to the till are recorded.
pub fn flow(till: Address) -> String {
    format!(
        r#"
name = "record-payments"

[[node]]
key = "paid"
type = "event"
service = "shop"
event = "paid"
fee = "1"

[[node]]
key = "ours"
type = "filter"
where = {{ left = {{ ref = "paid.args.to" }}, is = "EQ", right = "{}" }}

[[node]]
key = "record"
type = "task"
service = "ledger"
task = "record"
after = ["ours"]
validators = 3
window = 20
most = "2"
inputs = {{ buyer = {{ ref = "paid.args.from" }}, amount = {{ ref = "paid.args.value" }}, payment = {{ ref = "paid.transaction" }} }}
"#,
        alloy::hex::encode_prefixed(till)
    )
}
