# These commands do all the set-up: `make report` and `make check` (no server is needed), and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/installed
comma := ,
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/sanitize.cfg

# Where an environment forbids to keep bytecode, every kernel and every command would compile the package anew: seconds each.
unexport PYTHONDONTWRITEBYTECODE

# uv takes a fifth of pip's time. Where it reaches no index (a mirror that only pip was told of), pip does it.
define install
@echo "installing nl_forensics$(2) into .venv"
@$(BIN)/python -m pip install -q --disable-pip-version-check uv
@$(BIN)/uv pip install -q --python $(BIN)/python -e '.$(1)' || $(BIN)/python -m pip install -q --disable-pip-version-check -e '.$(1)'
endef

.PHONY: check-lowest report check fast test suite lint nbval notebooks record story specimen golden bench stack install-test install-cluster clean
.DEFAULT_GOAL := report

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv

$(STAMPS)-run: pyproject.toml | $(BIN)/python
	$(call install,,)
	@touch $@

$(STAMPS)-test: pyproject.toml | $(BIN)/python
	$(call install,[lab$(comma)test], and the tools of its tests)
	@touch $@ $(STAMPS)-run

install-test: $(STAMPS)-test
	@bash tests/stack/install.sh

install-cluster: install-test
	@bash tests/stack/kubernetes/install.sh

# The report of the demo case. It succeeds when the report was made, whatever the verdict.
report: $(STAMPS)-run
	@$(BIN)/nl-forensics report parameters/demo.yaml; code=$$?; test $$code -eq 0 -o $$code -eq 1 -o $$code -eq 3

# Before each commit: lint, types, and all tests that start neither a server nor a notebook (tests/marks.py).
check: $(STAMPS)-test
	@$(MAKE) --no-print-directory lint fast

fast: $(STAMPS)-test
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder -m fast tests

# The same with the lowest versions that pyproject.toml allows.
check-lowest: $(STAMPS)-test
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv venv -q --clear --seed --python $(BIN)/python .venv-lowest
	@$(BIN)/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e '.[lab,test]'
	@.venv-lowest/bin/python -m pytest -n 2 --no-loadscope-reorder -m fast tests

# Types are checked while the first tests wait for their servers.
test: install-test
	@$(MAKE) --no-print-directory --jobs=2 lint suite

# Four files side by side, one worker's on a cluster (tests/conftest.py): much of their time is waiting for servers. Notebooks come last.
# A whole Kubernetes is built once, from Go modules.
suite: install-cluster
	@$(BIN)/python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder $(NBVAL) tests notebooks

lint: $(STAMPS)-test
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@told=$$($(BIN)/lint-imports --no-cache) || { echo "$$told"; exit 1; }
	@$(BIN)/mypy --no-error-summary

nbval: $(STAMPS)-test
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(NBVAL) notebooks

# What is written by programs. `NAME=lock_chain` writes that one alone, as in `make record NAME=lock_chain`,
# `make specimen NAME=big_key`, `make golden NAME=lock_chain`; several names stand in quotes.
notebooks: $(STAMPS)-test
	@$(BIN)/python -m tests.write_notebooks

record: install-cluster
	@$(BIN)/python -m tests.record $(NAME)

story: install-cluster
	@$(BIN)/python -m tests.record stories $(NAME)

specimen: install-cluster
	@$(BIN)/python -m tests.record specimens $(NAME)

golden: $(STAMPS)-test
	@$(BIN)/python -m tests.write_golden $(NAME)

bench: install-cluster
	@$(BIN)/python -m tests.bench

# Everything up on a real Kubernetes, under traffic, until Ctrl-C; prints the environment that nl-forensics needs.
stack: install-cluster
	@$(BIN)/python -m tests.stack.neurallog

clean:
	rm -rf .venv .venv-lowest .unchanged build dist *.egg-info
