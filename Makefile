# One word per job. Each target makes its own virtual environment when it is missing.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
# `make bench` runs proxy; `make bench queue` another one.
BENCHES := proxy latency holding queue failover consensus partition scale scaling kube
BENCH  ?= $(or $(filter $(BENCHES),$(MAKECMDGOALS)),proxy)

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-cluster manifests check bench sim chaos chaos-slice chaos-long chaos-selftest soak planted fuzz api black-box clean format $(BENCHES) kills kill-writes

help:  ## show these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else \
	    "trioroute needs Python 3.11, 3.12 or 3.13; this is %d.%d. Try: make PYTHON=python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): $(STAMP)
	@echo "adding the tools for tests and checks (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## set up everything and show a killed coordinator costing nothing
	@$(BIN)/trioroute up --demo $(ARGS)

test: $(DEV)  ## set up everything and run the tests; WORKERS=2: so many beside each other
	@$(BIN)/python -m pytest --numprocesses $(or $(WORKERS),0) --dist loadfile $(ARGS)

test-long: $(DEV)  ## the tests that take too long for every change: minutes each, half an hour in all
	@$(BIN)/python -m pytest -m long $(ARGS)

test-cluster: $(DEV)  ## the suite on pods, on the cluster of KUBECONFIG; TOY_KUBELET=1 where it has no nodes
	@TRIOROUTE_TEST_CLUSTER=1 $(BIN)/python -m pytest -q -s -m "long or not long" \
	    tests/e2e/cluster $(ARGS)

manifests:  ## every overlay and component through kustomize and checkov, which gets an environment of its own
	@command -v kubectl >/dev/null || { echo "SKIPPED manifests: kubectl renders the overlays; not found" >&2; exit 0; }; \
	[ -x $(VENV)-checkov/bin/checkov ] || { $(PYTHON) -m venv $(VENV)-checkov && \
	    $(VENV)-checkov/bin/python -m pip install --quiet --disable-pip-version-check checkov || { \
	    echo "SKIPPED manifests: checkov cannot be installed here" >&2; exit 0; }; }; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	for overlay in k8s/overlays/*/; do \
	    kubectl kustomize $$overlay > $$folder/$$(basename $$overlay).yaml || exit 1; done; \
	for component in k8s/components/*/; do \
	    name=$$(basename $$component); base=ha; [ $$name = allow-insecure ] && base=tls; mkdir $$folder/$$name; \
	    printf '{"resources": ["../here/overlays/%s"], "components": ["../here/components/%s"]}' $$base $$name \
	        > $$folder/$$name/kustomization.yaml; ln -sfn "$$PWD/k8s" $$folder/here; \
	    kubectl kustomize $$folder/$$name > $$folder/with-$$name.yaml || exit 1; rm -r $$folder/$$name; done; rm $$folder/here; \
	$(VENV)-checkov/bin/checkov -d $$folder --framework kubernetes --compact --quiet --skip-download

check: $(DEV)  ## lint, format, types, house rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/house

format: $(DEV)  ## rewrite the sources the way check wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEV)  ## print figures; `make bench queue` names which: proxy latency holding queue failover consensus partition scale scaling kube
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@$(BIN)/python -m tests.bench.$(BENCH) $(ARGS)

$(BENCHES): bench
	@:

kills: $(DEV)  ## SIGKILL the coordinator under load, fifty times; ARGS="--kills 5"
	@$(BIN)/python -m tests.bench.live.kills $(ARGS)

kill-writes: $(DEV)  ## SIGKILL the coordinator in every kind of write; ROUNDS=25
	@TRIOROUTE_KILL_ROUNDS=$(or $(ROUNDS),25) $(BIN)/python -m pytest -q -s \
	    tests/e2e/test_kill_during_writes.py $(ARGS)

sim: $(DEV)  ## run the simulator over seeds; WORLD=system for all of it, SEEDS=100-199, ARGS="--jobs 2"
	@$(BIN)/python -m chaos.sim$(if $(WORLD),.$(WORLD)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

chaos: $(DEV)  ## hurt real processes under load for ten minutes; ARGS="--seed 7" replays a run
	@$(BIN)/python -m chaos $(or $(SCENARIO),nemesis) $(ARGS)

chaos-slice: $(DEV)  ## the minute of it that the tests run too
	@$(BIN)/python -m chaos nemesis-slice $(ARGS)

chaos-long: $(DEV)  ## five hundred faults of every kind this machine can do
	@$(BIN)/python -m chaos nemesis-long $(ARGS)

planted: $(DEV)  ## rules broken one after the other: the simulator, or a test, must notice each
	@$(BIN)/python -m pytest -q -m long tests/sim tests/conformance/test_planted.py $(ARGS)

chaos-selftest: $(DEV)  ## planted bugs, one after the other: the suite must turn red on each
	@$(BIN)/python -m tests.chaos.selftest $(ARGS)

soak: $(DEV)  ## hours at half capacity with faults; HOURS=2
	@$(BIN)/python -m chaos soak --hours $(or $(HOURS),1) $(ARGS)

fuzz: $(DEV)  ## feed the codecs and frames; TARGET=request_head names one, ARGS="--seconds 60"
	@for target in $(or $(TARGET),request_head chunked_body response_head peer_frame); do \
	    $(BIN)/python -m tests.fuzz.$$target $(ARGS) || exit 1; done

api: $(DEV)  ## send whatever the admin API's description allows, and nearly; ARGS="--examples 100"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,api]'
	@$(BIN)/python -m tests.fuzz.admin_api $(ARGS)

black-box: $(DEV)  ## the shared HTTP corpora against the running system, where they are present
	@$(BIN)/python -m tests.conformance.black_box $(ARGS)

clean:  ## remove what these targets made
	@rm -rf $(VENV) $(VENV)-checkov .trioroute .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
