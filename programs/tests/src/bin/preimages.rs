//! Writes `testdata/mainnet/preimages` anew from the JSON beside it.

use programs_tests::{Fixtures, make, testdata};

fn main() -> anyhow::Result<()> {
    let directory = testdata();
    let target = directory.join("preimages");
    std::fs::create_dir_all(&target)?;
    for pack in make(&Fixtures::load(&directory)?)? {
        std::fs::write(target.join(pack.name), pack.bytes)?;
    }
    Ok(())
}
