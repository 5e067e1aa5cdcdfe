# Two commands do everything on a fresh Debian 12: `make demo` runs the system, `make test` passes the tests.
# `make demo ARGS="--duration 60 --report r.json"` hands options on.
# `make deb` builds the Debian package of the gateway and its tools.
# `make sbom` lists what is delivered, and `make audit` asks the network whether anything of it is known to be vulnerable.
# `make bench` prints figures of this machine, `make bench ARGS=firmware` those of one part; `make soak` hurts a city.

ARGS ?=
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := mosquitto influxdb influxdb-client victoria-metrics libpangoft2-1.0-0 libharfbuzz-subset0
# A browser, which only the tests need.
BROWSER := chromium

# What is compiled once is kept: a test run starts some hundred programs, which would all compile it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench soak deb sbom audit packages browser clean

demo: .venv/ready packages
	@$(BIN)/ganglion demo $(ARGS)

# Beside each other what need not wait for another: Python's packages and Debian's.
test:
	@$(MAKE) --no-print-directory -j2 lint browser
	@$(BIN)/pytest -q -n 6 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: .venv/ready packages browser
	@$(BIN)/python -m tests.bench $(ARGS)

soak: .venv/ready packages browser
	@$(BIN)/python -m tests.bench.soak $(ARGS)
	@$(BIN)/python -m tests.bench.update_soak
	@$(BIN)/python -m tests.bench.fuzz
	@$(BIN)/python -m tests.bench.gateway_soak
	@$(BIN)/pytest -q -m soak

# The Debian package, in dist/.
deb: .venv/ready
	@gateway/setup/deb/build

# The bill of materials, CycloneDX, in dist/.
sbom: .venv/ready
	@$(BIN)/python gateway/setup/sbom.py --output dist/ganglion.cdx.json

audit: .venv/ready
	@$(BIN)/python gateway/setup/audit.py

# What is installed is looked for first, so that all of this works offline from the second time on.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Ganglion needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/packages python3-venv
	@echo "Setting up .venv (once) ..." >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	@# On all processors, which pip does not; some libraries bring files that are for other Pythons.
	@$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true
	@touch $@

packages:
	@.ci/packages $(PACKAGES)

browser: packages
	@.ci/packages $(BROWSER)

clean:
	rm -rf .venv ganglion-demo ganglion-fleet
	find . -name __pycache__ -prune -exec rm -rf {} +
