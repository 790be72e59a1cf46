# Everything runs in a .venv of its own; nothing but Python 3.11 and pip is needed.
.PHONY: demo servers test mutants lint bench bench-scale bench-service soak docs clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/expunge demo

# the server and the browser that tests need; without root those tests are skipped, and say so
servers:
	@{ ls /usr/lib/postgresql/*/bin/postgres && command -v chromium; } >/dev/null 2>&1 || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql chromium; } || true

# one BLAS thread per test worker, so that the thread pools do not fight
test: $(READY) servers
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not soak"

soak: $(READY) servers
	OPENBLAS_NUM_THREADS=1 EXPUNGE_SOAK=1 $(BIN)/python -m pytest -n 2

# plants small faults in the modules that certificates rest on, and fails where no test notices
mutants: $(READY)
	$(BIN)/python -m tests.mutants

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/zensical build --strict

bench: $(READY)
	$(BIN)/python -m benchmarks.capacity
	$(BIN)/python -m benchmarks.forecast
	$(BIN)/python -m benchmarks.forget_speed
	$(BIN)/python -m benchmarks.tracking
	$(BIN)/python -m benchmarks.fit_speed
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.workspace

# 8 GB of Parquet, models of 20,000 features, and a cluster in simulation
bench-scale: $(READY)
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.wide
	$(BIN)/python -m benchmarks.plan

bench-service: $(READY)
	$(BIN)/python -m benchmarks.service

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .site .cache
