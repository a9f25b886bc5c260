//! Any chunks of any bytes are an output or are refused; one that is accepted is the fold of its chunks, however it was
//! put together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use surety_primitives::{Output, OutputRoot};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (bytes, lengths) = input;
    let sums = lengths.iter().map(|n| usize::from(*n)).sum::<usize>() == bytes.len();
    let chunked = sums && lengths.iter().all(|n| (1..=32).contains(n));
    let output = Output::with_chunks(bytes.clone(), lengths.iter().map(|n| u64::from(*n)));
    assert_eq!(output.is_ok(), chunked, "{output:?}");
    let canonical = Output::canonical(bytes.clone()).expect("short");
    assert!(canonical.chunks().is_none());
    let Ok(output) = output else { return };
    assert_eq!(output.chunk_lengths().collect::<Vec<_>>(), lengths);
    let mut pushed = Output::canonical(Vec::new()).expect("empty");
    let (mut root, mut rest) = (OutputRoot::default(), bytes.as_slice());
    for length in &lengths {
        let (chunk, after) = rest.split_at(usize::from(*length));
        pushed.push(chunk).expect("a chunk");
        root = root.absorb(chunk);
        rest = after;
    }
    assert_eq!(pushed, output);
    assert_eq!((output.root(), output.bytes()), (root, bytes.as_slice()));
    assert_eq!(
        output.root() == canonical.root(),
        output == canonical,
        "one root for two outputs"
    );
});
