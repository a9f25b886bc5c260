# Benchmarks: ratios measured side by side, no tests. Their last results are in bench/results.
.PHONY: bench bench-interpreter bench-dispute bench-provider bench-network
bench: bench-interpreter bench-dispute bench-provider bench-network ## Run all benchmarks, write bench/results
bench-interpreter: ## Speed of the interpreter
	bench/machine/run
bench-dispute: deps-demo ## Gas of a whole dispute over 2^40 steps, between real nodes
	@$(CARGO) build --locked --quiet --package surety-cli --package surety-testing --bins
	$(CARGO) run --locked --quiet --package surety-testing --bin bench-dispute
bench-provider: deps-demo ## Latency and requests a second of a provider
	@$(CARGO) build --locked --quiet --package surety-cli --package surety-testing --bins
	$(CARGO) run --locked --quiet --package surety-testing --bin bench-provider
bench-network: deps-demo ## Event to certificate, events a second, cost as sets grow
	@$(CARGO) build --locked --quiet --release --package surety-cli --package surety-testing --bins
	$(CARGO) run --locked --quiet --release --package surety-testing --bin bench-network
