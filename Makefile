# Everything that people and CI do here. The environment is built from the lock file on the first use.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test check bench faults soak dashboards clean

UV := $(shell command -v uv || echo build/tools/bin/uv)
RUN := $(UV) run --frozen --quiet
# The fast tests are those of the path of a value: drivers, bus, rules, journal, delivery. `make test` runs everything.
FAST := tests/rules tests/drivers/modbus tests/drivers/mqtt tests/gateway/payload \
    $(addprefix tests/gateway/journal/test_,$(addsuffix .py,codec delivery journal keys ranges seal store ties)) \
    $(addprefix tests/gateway/test_,$(addsuffix .py,backoff bisection bus commands deadband forwarder halving image link notice)) \
    -m "not real and not slow"
# What depends on time, or takes the whole machine, runs alone.
APART := tests/flows tests/faults tests/docker
BENCHES := $(patsubst tests/benchmarks/bench_%.py,%,$(wildcard tests/benchmarks/bench_*.py))

help:  ## what there is
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.venv/.ready: pyproject.toml uv.lock | $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

build/tools/bin/uv:
	@echo "uv is not installed: putting one under build/tools"
	@python3 -m venv build/tools 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing python3-venv"; apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	    rm -rf build/tools; python3 -m venv build/tools; \
	  else echo "python3 has no venv: apt-get install python3-venv"; exit 1; fi; }
	@build/tools/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"

demo: .venv/.ready  ## machines, gateway and cloud on this computer; DEMO_SECONDS=30
	@$(RUN) python -m simulators.demo

test: .venv/.ready  ## every test, against real brokers, servers and databases
	@tests/parts/install.sh
	@$(RUN) pytest --numprocesses 2 --dist loadfile $(APART:%=--ignore %)
	@$(RUN) pytest $(APART)

check: .venv/.ready  ## style, types, layers, and the tests that need nothing
	@$(RUN) ruff check .
	@$(RUN) ruff format --check --quiet .
	@$(RUN) mypy
	@$(RUN) lint-imports --no-cache
	@HYPOTHESIS_PROFILE=check $(RUN) pytest --quiet --numprocesses 2 $(FAST)

bench: $(BENCHES:%=bench-%)  ## every benchmark, and a table of their figures
	@$(RUN) python -m tests.benchmarks.table

bench-%: .venv/.ready  ## one benchmark
	@tests/parts/install.sh
	@$(RUN) python -m tests.benchmarks.bench_$*

faults: .venv/.ready  ## crashes, power cuts, sick disks and networks; FAULTS=full for hours
	@tests/parts/install.sh
	@$(RUN) python -m tests.faults

soak: .venv/.ready  ## what takes longer than CI may
	@tests/parts/install.sh
	@SOAK=1 HYPOTHESIS_PROFILE=soak $(RUN) pytest

dashboards: .venv/.ready  ## Grafana's dashboards, from docker/grafana/source
	@$(RUN) python docker/grafana/source

clean:  ## remove what was built
	rm -rf build .venv
