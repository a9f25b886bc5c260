# The example programs, built for the machine. Included by the Makefile at the top.

.PHONY: programs-preimages programs programs-check programs-fmt programs-toolchain
programs: ## Rebuild the example programs, bit for bit (programs/elf)
	programs/build.sh
# In a build directory of its own, so that nothing left over from another build can make it pass.
programs-check: ## Check that programs/elf is what the sources give
	cd programs && $(CARGO) fmt --all -- --check
	programs/build.sh --check
programs-fmt: ## Format the example programs
	cd programs && $(CARGO) fmt --all
programs-toolchain: ## Install the compilers of the example programs (Debian)
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends rustc-web rust-web-src gcc-riscv64-unknown-elf
programs-preimages: ## Rewrite testdata/mainnet/preimages from the block's JSON
	$(CARGO) run --locked --quiet --package programs-tests --bin preimages
