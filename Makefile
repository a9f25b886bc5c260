# The two that matter on a fresh machine: `make demo` and `make test`. `make` alone lists all.
#
# A stage is a target that `make test` runs through scripts/run-stages; each can be run by itself.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
export PATH := $(HOME)/.cargo/bin:$(CURDIR)/node_modules/.bin:$(PATH)

CARGO ?= cargo
# Arguments for cargo and nextest, such as `make test-rust ARGS='-p surety-machine'`.
ARGS ?= --workspace
# How long `make fuzz-engine` looks for a difference.
SECONDS_OF_FUZZ ?= 120
# The program behind `make demo`.
DEMO ?= $(CARGO) run --locked --quiet --package surety-testing --bin demo
FORGE := cd contracts && forge

# programs, programs-check (examples, rebuilt bit for bit); bench (benchmarks, which are no tests).
-include programs/programs.mk
-include bench/bench.mk

STAGES := fmt-check tidy licences generated-check artifacts-check programs-check lint test-rust fuzz-engine test-doc test-contracts
JS_TESTS := $(wildcard tests/js/*.test.mjs)
ifneq ($(JS_TESTS),)
STAGES += test-js
endif

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-18s %s\n", $$1, $$2 }'

##
.PHONY: deps deps-demo
deps: ## Install what the tests need and this machine lacks (Debian, crates.io, npm)
	@scripts/install-deps test
deps-demo: ## Install what the demo needs and this machine lacks
	@scripts/install-deps demo

.PHONY: test demo demo-flow demo-integrity
test: deps ## Run every test: Rust, contracts, end to end
	@scripts/run-stages $(STAGES)
demo: deps-demo ## Three providers, one lies, the chain finds out; figures in target/demo.json
	@echo "demo: building (some minutes on a fresh machine)"
	@$(CARGO) build --locked --package surety-cli --package surety-testing --bins
	@$(DEMO)
demo-flow: deps ## A payment becomes an event, a task, a row in PostgreSQL; a liar pays; figures in target/demo-flow.json
	@echo "demo-flow: building (some minutes on a fresh machine)"
	@$(CARGO) build --locked --package surety-cli --package surety-connectors --package surety-testing --bins
	@$(CARGO) run --locked --quiet --package surety-testing --bin demo-flow

demo-integrity: deps ## A container is watched; an insider changes it in five ways, a monitor lies; figures in target/demo-integrity.json
	@echo "demo-integrity: building (some minutes on a fresh machine)"
	@$(CARGO) build --locked --package surety-cli --package surety-testing --bins
	@$(CARGO) run --locked --quiet --package surety-testing --bin demo-integrity

##
.PHONY: fmt fmt-check lint tidy licences
fmt: ## Format Rust and Solidity
	$(CARGO) fmt --all
	$(FORGE) fmt
fmt-check: ## Check the formatting of Rust and Solidity
	$(CARGO) fmt --all -- --check
	$(FORGE) fmt --check
lint: ## Clippy on everything, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	@# The engine where programs cannot be translated.
	$(CARGO) clippy --locked --package surety-engine --no-default-features -- --deny warnings
tidy: ## Check the repository's own rules (cargo xtask tidy)
	$(CARGO) xtask tidy
licences: ## Check licences and sources of every dependency against deny.toml
	$(CARGO) xtask licences

##
.PHONY: test-rust fuzz-engine test-doc test-contracts test-js snapshots
test-rust: ## Rust tests, end-to-end ones included; ARGS='-p CRATE' for some
	@# The end-to-end tests start the binaries.
	$(CARGO) build --locked --bins $(ARGS)
	$(CARGO) nextest run --locked --profile ci $(ARGS)
fuzz-engine: ## Two minutes of programs, made up and mutated, on both engines; SECONDS_OF_FUZZ=3600 for an hour
	$(CARGO) run --locked --quiet --package surety-engine --example fuzz -- $(SECONDS_OF_FUZZ) random programs/elf/*.elf
test-doc: ## Documentation: its links, and the examples in it
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --locked --workspace --no-deps --quiet
	$(CARGO) test --locked --doc --workspace --quiet
test-contracts: ## Contract tests; gas must equal contracts/snapshots
	$(FORGE) test --deny warnings --gas-snapshot-check=true --gas-snapshot-emit=true
	@new=$$(git ls-files --others --exclude-standard contracts/snapshots); \
	    [ -z "$$new" ] || { echo "gas snapshots that are not committed: $$new"; exit 1; }
snapshots: ## Rewrite contracts/snapshots with the gas measured now
	$(FORGE) test --gas-snapshot-check=false --gas-snapshot-emit=true >/dev/null
	@git --no-pager diff --stat contracts/snapshots
test-js: ## viem and the shared vectors from JavaScript
	node --test $(JS_TESTS)

##
# Subcommands of xtask that write a committed file, and with --check compare it. The artefacts have their own targets,
# since they need the contracts compiled.
GENERATORS = list=$$($(CARGO) xtask | awk '/--check/ && $$1 != "artifacts" { print $$1 }'); [ -n "$$list" ]
.PHONY: generate generated-check
generate: ## Rewrite what xtask generates: the specification's table, vectors
	@$(GENERATORS); for generator in $$list; do $(CARGO) xtask $$generator; done
generated-check: ## Check that what xtask generates is current
	@$(GENERATORS); for generator in $$list; do $(CARGO) xtask $$generator --check; done

##
.PHONY: contracts artifacts artifacts-check
contracts: ## Compile the contracts
	$(FORGE) build --deny warnings
artifacts: contracts ## Rewrite contracts/artifacts, which the Rust side embeds
	$(CARGO) xtask artifacts
artifacts-check: contracts ## Check that contracts/artifacts is current and every contract small enough
	$(CARGO) xtask artifacts --check

##
.PHONY: clean
clean: ## Remove what was built; what was installed stays
	$(CARGO) clean
	rm -rf contracts/out contracts/cache
