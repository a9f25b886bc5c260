//! The commitment to a program's output.

use alloy_primitives::keccak256;
use proptest::prelude::*;
use surety_primitives::*;

/// The rule as the machine applies it, chunk by chunk.
fn fold(chunks: &[Vec<u8>]) -> OutputRoot {
    let mut root = [0u8; 32];
    for chunk in chunks {
        root = keccak256([root.as_slice(), chunk].concat()).0;
    }
    root.into()
}

#[test]
fn empty_output_has_the_zero_root() {
    assert_eq!(Output::default().root(), OutputRoot::ZERO);
    assert_eq!(Output::canonical(vec![]), Ok(Output::default()));
    assert_eq!(Output::with_chunks(vec![], []), Ok(Output::default()));
}

#[test]
fn output_is_bounded() {
    assert!(Output::canonical(vec![0; MAX_OUTPUT_BYTES]).is_ok());
    let too_long = Err(OutputError::TooLong {
        found: MAX_OUTPUT_BYTES + 1,
    });
    assert_eq!(Output::canonical(vec![0; MAX_OUTPUT_BYTES + 1]), too_long);
    let mut output = Output::canonical(vec![0; MAX_OUTPUT_BYTES]).expect("at the limit");
    assert_eq!(
        output.push(&[0]),
        Err(OutputError::TooLong {
            found: MAX_OUTPUT_BYTES + 1
        })
    );
    assert_eq!(
        Output::default().push(&[]),
        Err(OutputError::ChunkLength { index: 0, found: 0 })
    );
    assert_eq!(
        Output::default().push(&[0; 33]),
        Err(OutputError::ChunkLength { index: 0, found: 33 })
    );
    // Endless lengths end at the output's.
    let endless = Output::with_chunks(vec![0; 10], std::iter::repeat(1));
    assert_eq!(
        endless,
        Err(OutputError::Total {
            found: 11,
            expected: 10
        })
    );
}

proptest! {
    #[test]
    fn pushing_chunks_commits_to_them(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=32), 0..30)) {
        let mut output = Output::default();
        for chunk in &chunks {
            output.push(chunk).expect("a possible chunk");
        }
        prop_assert_eq!(output.root(), fold(&chunks));
        let lengths: Vec<u8> = chunks.iter().map(|c| c.len() as u8).collect();
        prop_assert_eq!(output.chunk_lengths().collect::<Vec<_>>(), lengths.clone());
        let whole = Output::with_chunks(chunks.concat(), lengths.iter().map(|n| u64::from(*n)));
        prop_assert_eq!(whole, Ok(output.clone()));
        let canonical = lengths.iter().rev().skip(1).all(|n| *n == 32);
        prop_assert_eq!(output.chunks().is_none(), canonical);
    }

    #[test]
    fn canonical_output_is_cut_every_32_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let chunks: Vec<Vec<u8>> = bytes.chunks(32).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(Output::canonical(bytes).expect("small").root(), fold(&chunks));
    }

    #[test]
    fn results_differ_where_outcomes_do(a in any::<(u8, u32, [u8; 32])>(), b in any::<(u8, u32, [u8; 32])>()) {
        let outcome = |(status, exit, root): (u8, u32, [u8; 32])| Outcome {
            status: Status::try_from(status % 3).expect("below 3"),
            exit,
            output_root: root.into(),
        };
        let (a, b) = (outcome(a), outcome(b));
        prop_assert_eq!(a == b, a.result_hash() == b.result_hash());
    }
}
