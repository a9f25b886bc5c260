# Benchmarks: ratios measured side by side, no tests. Their last results are in bench/results.
.PHONY: bench bench-machine bench-machine-deps bench-interpreter bench-dispute bench-provider bench-network
bench: bench-machine bench-dispute bench-provider bench-network ## Run all benchmarks, write bench/results
# A workspace of its own, so that the product's build pays for no peer. ARGUMENTS='--quick' or '--programs sieve,lz'.
bench-machine: ## Speed of the machine's engines against native code and other engines
	cd bench && CARGO_TARGET_DIR=target $(CARGO) run --locked --quiet --release -p surety-bench-machine -- $(ARGUMENTS)
bench-machine-deps: ## Install what bench-machine needs (Debian); what is missing leaves a column empty
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends gcc clang lld gcc-riscv64-unknown-elf qemu-user rustc-web rust-web-src
bench-interpreter: ## Speed of the interpreter
	cd bench && CARGO_TARGET_DIR=target $(CARGO) run --locked --quiet --release -p surety-bench-machine -- --peers interpreter
bench-dispute: deps-demo ## Gas of a whole dispute over 2^40 steps, between real nodes
	@$(CARGO) build --locked --quiet --package surety-cli --package surety-testing --bins
	$(CARGO) run --locked --quiet --package surety-testing --bin bench-dispute
bench-provider: deps-demo ## Latency and requests a second of a provider
	@$(CARGO) build --locked --quiet --package surety-cli --package surety-testing --bins
	$(CARGO) run --locked --quiet --package surety-testing --bin bench-provider
bench-network: deps-demo ## Event to certificate, events a second, cost as sets grow
	@$(CARGO) build --locked --quiet --release --package surety-cli --package surety-testing --bins
	$(CARGO) run --locked --quiet --release --package surety-testing --bin bench-network
