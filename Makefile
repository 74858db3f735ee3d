# make run | make test | make check | make deploy STAGE=dev. Each sets up .venv first; nothing needs to be activated.
PYTHON ?= python3
PORT ?= 8000
ENGINE ?=
READY := .venv/.ready

# no look-up of credentials on the network, unless AWS itself is wanted
ifneq ($(ENGINE),aws)
run test: export AWS_EC2_METADATA_DISABLED := true
endif

STAGE ?= dev

.PHONY: run test check package deploy update undeploy bench bench-cold-start setup clean

run: $(READY)
	@exec .venv/bin/flask --app wsgi serve --port $(PORT) $(if $(ENGINE),--engine $(ENGINE))

test: $(READY)
	@exec .venv/bin/pytest $(ARGS)

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/hadolint Dockerfile.local
	.venv/bin/python .ci/audit

# Zappa, with the table before it and the health after: STAGE=dev, staging or production
package deploy update undeploy: $(READY)
	@exec .venv/bin/python -m deploy.stages $@ $(STAGE)

# instructions and time from the interpreter's start to the first answer, beside two other packages; needs valgrind
bench-cold-start: $(READY)
	@exec .venv/bin/python -m benchmarks.cold_start

# CPU, throughput and more of a running service, beside a reference; ARGS="cpu --rounds 3" for some of it
bench: .bench/.ready
	@exec .bench/bin/python -m benchmarks.bench $(ARGS)

.bench/.ready: requirements.txt benchmarks/requirements.txt benchmarks/reference/requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .bench
	.bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt \
		"$$(grep '^zappa==' requirements-dev.txt)"
	@touch $@

setup: $(READY)

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cart: needs Python 3.11 or newer; name one with PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "cart: $(PYTHON) has no venv (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv .bench .dynamodb-local .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
