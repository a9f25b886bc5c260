//! The quotes of monitors' enclaves, as this node verifies them (`docs/spec/quotes.md`).

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, Bytes};
use serde_json::{Value as Document, json};
use surety_chain::{Contracts, Error};
use surety_enclave::{Binding, Error as QuoteError, Evidence, Policy, Roots, Verified, verify_binding};

/// How to check a quote.
const VERIFY: &str = "`hash` is `quoteOf` of the contract Integrity, and keccak256 of `envelope`, which is in its log \
    QuoteRegistered; docs/spec/quotes.md says how it is verified up to the vendor's root and what its report data must \
    be, and `surety quote verify` does it";

/// The quote that an operator registered last, verified now; `None` if it has none.
pub(crate) async fn of(contracts: &Contracts, operator: Address, simulated: bool) -> Result<Option<Document>, Error> {
    let Some(envelope) = contracts.quote(operator).await? else {
        return Ok(None);
    };
    let keys = contracts.network_keys(operator).await?;
    let deployment = contracts.deployment();
    let binding = Binding {
        chain: deployment.chain_id,
        registry: deployment.registry,
        operator,
        key: keys.bls.to_vec(),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    // Some milliseconds of certificates and signatures.
    let judged = tokio::task::spawn_blocking(move || {
        let result = judge(&envelope, &binding, simulated, now);
        (envelope, result)
    });
    let (envelope, result) = judged.await.map_err(|error| Error::Local(error.to_string()))?;
    Ok(Some(describe(operator, &envelope, &result, now)))
}

fn judge(envelope: &[u8], binding: &Binding, simulated: bool, now: u64) -> Result<Verified, QuoteError> {
    let evidence = Evidence::decode(envelope)?;
    let policy = Policy::default();
    let under = |roots: Roots| verify_binding(&evidence, &policy, &roots, now, binding);
    match under(Roots::vendors()) {
        Err(error) if simulated => under(Roots::simulated()).map_err(|_| error),
        result => result,
    }
}

fn describe(operator: Address, envelope: &Bytes, result: &Result<Verified, QuoteError>, now: u64) -> Document {
    let (quote, reason) = match result {
        Ok(verified) => (json!(verified), Document::Null),
        Err(error) => (Document::Null, error.to_string().into()),
    };
    json!({
        "operator": operator,
        "hash": alloy::primitives::keccak256(envelope),
        "envelope": envelope,
        "verified": result.is_ok(),
        "simulated": result.as_ref().is_ok_and(|verified| verified.simulated),
        "reason": reason,
        "quote": quote,
        "at": now,
        "verify": VERIFY,
    })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use surety_enclave::{Kind, simulated::Machine};

    use super::*;

    /// A simulated quote says so, and is none unless the node's owner has switched it on; another's never is one.
    #[test]
    fn p10_quotes_are_verified_and_simulated_ones_by_name_only() {
        let binding = Binding {
            chain: 31_337,
            registry: Address::repeat_byte(1),
            operator: Address::repeat_byte(2),
            key: vec![3; 256],
        };
        let now = 1_800_000_000;
        let machine = Machine::new(B256::repeat_byte(7), now, now + 1_000);
        for kind in [Kind::SgxV3, Kind::TdxV4, Kind::SevSnp, Kind::Nitro] {
            let evidence = machine
                .quote(kind, B256::repeat_byte(1), binding.report_data())
                .expect("a quote");
            let envelope = Bytes::from(evidence.encode());
            let told = |binding: &Binding, simulated, now| {
                let result = judge(&envelope, binding, simulated, now);
                describe(binding.operator, &envelope, &result, now)
            };
            let off = told(&binding, false, now);
            assert_eq!(
                (&off["verified"], &off["quote"]),
                (&false.into(), &Document::Null),
                "{kind}"
            );
            assert!(
                off["reason"].is_string() && !off.to_string().contains("\"simulated\":true"),
                "{kind}"
            );
            let on = told(&binding, true, now);
            assert_eq!(
                (&on["verified"], &on["simulated"]),
                (&true.into(), &true.into()),
                "{on}"
            );
            assert_eq!(on["hash"], json!(evidence.hash()));
            let other = Binding {
                operator: Address::repeat_byte(9),
                ..binding.clone()
            };
            assert_eq!(told(&other, true, now)["verified"], false, "somebody else's");
            assert_eq!(told(&binding, true, now + 100_000_000)["verified"], false, "expired");
        }
        let result = judge(b"nonsense", &binding, true, now);
        assert!(result.is_err());
    }
}
