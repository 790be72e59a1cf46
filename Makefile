# Everything runs in a .venv of its own; nothing but Python 3.11 and pip is needed.
.PHONY: demo setup servers test test-fast coverage test-lowest test-versions mutants lint contract bench bench-guard bench-scale bench-service soak screenshots docs clean

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
HAVE_SERVERS = ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && command -v chromium >/dev/null 2>&1

setup: $(READY)
	@if $(HAVE_SERVERS); then echo "PostgreSQL and Chromium are here: nothing to install"; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "PostgreSQL and Chromium are not here, and cannot be installed without root and apt-get: their tests are skipped"; \
	else echo "installing with apt-get, for the tests: postgresql (a real database server) and chromium (a real browser)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql chromium; \
	fi

servers:
	@$(HAVE_SERVERS) || $(MAKE) --no-print-directory setup || true

# one BLAS thread per test worker, so that the thread pools do not fight; the tests' files are in memory, where there are four
# gigabytes for them: to wait for a disk proves nothing here, and takes minutes
IN_MEMORY = $$(test "$$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 2>/dev/null && echo /dev/shm || echo "$${TMPDIR:-/tmp}")
# and the many processes that they start find our code compiled, whatever the environment says
PYTEST = PYTHONDONTWRITEBYTECODE= TMPDIR=$(IN_MEMORY) OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
# what starts processes, servers or browsers, or plays many rounds
SLOW = tests/integrity tests/service tests/browser tests/workspace tests/ledger tests/engine tests/install tests/field tests/referee \
	tests/properties tests/data/test_private.py tests/test_audit.py tests/test_baselines.py tests/test_capacity.py tests/test_cli.py tests/test_copies.py tests/test_demo.py \
	tests/test_docs.py tests/test_forecast.py tests/test_guard.py tests/test_imports.py tests/test_mean.py tests/test_mechanism.py \
	tests/test_reproduce.py tests/test_split.py tests/test_tightness.py tests/test_verdict.py

test: $(READY) servers
	$(PYTEST) -m "not soak"

test-fast: $(READY)
	$(PYTEST) -m "not soak" $(addprefix --ignore=,$(SLOW))

# which lines and branches the tests run in their own process, printed; measuring takes about as long again as the tests
coverage: $(READY) servers
	$(PYTEST) -m "not soak" --cov

TOOLS = 'pytest>=8.3' 'pytest-timeout>=2.3' 'pytest-xdist>=3.6' 'hypothesis>=6.120' 'mpmath>=1.3' 'python-flint>=0.8' 'pandas>=2.2' 'polars>=1.20' \
	'array-api-strict>=2.3' 'PyYAML>=6' 'torch==2.13.0' 'cosmic-ray>=8.7' 'in-toto-attestation>=0.9.3' 'onnxruntime>=1.20'

# the oldest versions of the packages that pyproject.toml allows
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[all]' $(TOOLS)
	OPENBLAS_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 -m "not soak" $(addprefix --ignore=,$(SLOW))

# the fast tests on every Python that is here, of those that pyproject.toml names: pyenv's, or the system's
VERSIONS ?= 3.11 3.12 3.13 3.14

test-versions:
	@set -e; for version in $(VERSIONS); do \
		python=$$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version".*/bin/python 2>/dev/null | tail -n 1); \
		python=$${python:-$$(command -v python$$version || true)}; \
		if [ -z "$$python" ]; then echo "Python $$version is not here: not tested"; continue; fi; \
		echo "$$($$python --version), $$python"; \
		$$python -m venv .venv-$$version; \
		.venv-$$version/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
		OPENBLAS_NUM_THREADS=1 .venv-$$version/bin/python -m pytest -n 2 -m "not soak" $(addprefix --ignore=,$(SLOW)); \
	done

soak: $(READY) servers
	OPENBLAS_NUM_THREADS=1 EXPUNGE_SOAK=1 $(BIN)/python -m pytest -n 2 --timeout 0

# a picture of every page in .screenshots, from the stories of the three people who use the service
screenshots: $(READY) servers
	OPENBLAS_NUM_THREADS=1 EXPUNGE_SOAK=1 $(BIN)/python -m pytest -n 2 tests/browser/test_stories.py tests/browser/test_states.py

# plants small faults in the modules that certificates rest on, and fails where no test notices
mutants: $(READY)
	$(BIN)/python -m tests.mutants

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the OpenAPI document under Spectral and as a TypeScript client; needs Node, and fetches both from npm into .cache
contract: $(READY)
	tools/contract.sh $(BIN)/python

docs: $(READY)
	$(BIN)/python -m tools.architecture
	$(BIN)/zensical build --strict

bench: $(READY)
	$(BIN)/python -m benchmarks.capacity
	$(BIN)/python -m benchmarks.tightness
	$(BIN)/python -m benchmarks.forecast
	$(BIN)/python -m benchmarks.forget_speed
	$(BIN)/python -m benchmarks.tracking
	$(BIN)/python -m benchmarks.fit_speed
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.workspace
	$(BIN)/python -m benchmarks.desk
	$(BIN)/python -m benchmarks.pages

# 8 GB of Parquet, models of 20,000 features, and a cluster in simulation
bench-scale: $(READY)
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.wide
	$(BIN)/python -m benchmarks.plan

# counts the instructions of kernels, and fails where one takes a tenth more than at the last release; needs valgrind
bench-guard: $(READY)
	$(BIN)/python -m benchmarks.guard

bench-service: $(READY)
	$(BIN)/python -m benchmarks.service

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .site .cache
