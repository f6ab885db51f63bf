# Two commands for a newcomer: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-out
FUZZ ?= 100000
export PYTHON
.DEFAULT_GOAL := help

.PHONY: help install demo demo-chain demo-custodians test check chaos test-all bench-all fuzz contracts mutate coverage-contracts wheel lint format lock clean
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(VENV)/.installed: requirements.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh $(VENV)
	@touch $@

install: $(VENV)/.installed ## create .venv from requirements.lock

demo: $(VENV)/.installed ## one institution, price ticks, everything real; results in demo-out/ (MODEL=pmrm2 for others)
	$(BIN)/atomic-margin demo --out $(OUT) $(if $(MODEL),--model $(MODEL))

demo-chain: $(VENV)/.installed ## a call and a liquidation on a chain that verifies the proofs; results in demo-out-chain/
	@test -x node_modules/.bin/anvil || command -v npm >/dev/null || { echo "demo-chain wants npm, to fetch anvil" >&2; exit 2; }
	@test -x node_modules/.bin/anvil || npm install --no-save
	$(BIN)/atomic-margin demo-chain --out $(OUT)-chain

demo-custodians: $(VENV)/.installed ## an institution goes silent, and custodians open its book; results in demo-out-custodians/
	$(BIN)/atomic-margin demo-custodians --out $(OUT)-custodians

test: $(VENV)/.installed ## the tests, but for those that take a core for long
	scripts/test.sh -m "not slow and not long"

check: $(VENV)/.installed ## the tests CI runs: those that take long too
	scripts/test.sh -m "not slow"

chaos: $(VENV)/.installed ## faults in real processes: kills, full disks, clocks, partitions; nothing else should run
	$(BIN)/python -m pytest -m "not slow" tests/chaos

test-all: $(VENV)/.installed ## all tests, hours
	ATOMIC_MARGIN_EXAMPLES=full scripts/test.sh
	@# 3: no compiler, which it says.
	$(BIN)/python scripts/coverage_contracts.py || [ $$? -eq 3 ]

bench-all: $(VENV)/.installed ## all circuits of all profiles in real FHE (hours); figures in demo-out/bench-all.json
	mkdir -p $(OUT)
	$(BIN)/atomic-margin bench fhe --profile all --runs 1 --trials 2 --json $(OUT)/bench-all.json

fuzz: $(VENV)/.installed ## throw 100,000 examples at every parser of outside bytes (hours; FUZZ=1000 for minutes)
	ATOMIC_MARGIN_FUZZ=$(FUZZ) $(BIN)/python -m pytest -q --timeout 0 tests/fhe/test_fuzz_words.py
	ATOMIC_MARGIN_FUZZ=$(FUZZ) $(BIN)/python -m pytest -q --timeout 0 tests/zk/test_fuzz_proofs.py \
	    tests/service/test_fuzz_documents.py

contracts: $(VENV)/.installed ## compile the contracts anew, and fetch a local chain for their tests (needs node)
	npm install --no-save
	$(BIN)/python scripts/contracts.py

coverage-contracts: $(VENV)/.installed ## name the branches of the contracts that no test takes (needs `make contracts`)
	$(BIN)/python scripts/coverage_contracts.py

mutate: $(VENV)/.installed ## disable the protocol's checks one by one; a test must fail each time
	$(BIN)/python scripts/mutate.py

wheel: $(VENV)/.installed ## build dist/ and try the wheel in fresh environments, with and without extras
	scripts/try_wheel.sh

lint: $(VENV)/.installed ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## compile requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --all-extras --override requirements.overrides --universal --python-version 3.10 \
	    --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean: ## remove the environment and every output
	rm -rf $(VENV) $(OUT) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
