# `make help` lists the targets. Each target sets up .venv first; nothing needs to be activated.
PORT ?= 8000
ENGINE ?=
DATA ?=
STAGE ?= dev
ARGS ?=

# The Python for .venv. If PYTHON is set and .venv was made with another Python, it is removed and made again.
ifdef PYTHON
$(shell .ci/venv --remove-other "$(PYTHON)")
endif
PYTHON ?= python3

RUN_READY := .venv/.ready-run
READY := .venv/.ready

# Credentials are not looked up on the network, except with ENGINE=aws
ifneq ($(ENGINE),aws)
run test: export AWS_EC2_METADATA_DISABLED := true
endif

.PHONY: help run test check package deploy update undeploy bench bench-cold-start setup clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 36

run: $(RUN_READY) ## run the API on PORT=8000, with ENGINE=ministack or dynamodb-local, DATA=.cart-data or memory
	@exec .venv/bin/flask --app wsgi serve --from-make --port "$(PORT)" \
		$(if $(ENGINE),--engine "$(ENGINE)") $(if $(DATA),--data "$(DATA)")

# all tests run on three workers, since most of them wait; with ARGS, in one process, which starts sooner
test: $(READY) ## run all tests; ARGS="-k expiry" for some, ARGS="-m 'not slow'" for the quick ones
	@exec .venv/bin/pytest $(or $(ARGS),-n 3)

check: $(READY) ## check lint, format, types, Dockerfile, OpenAPI document, known vulnerabilities
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/hadolint Dockerfile.local
	.venv/bin/python -m tests.support.node spectral lint --fail-severity=hint --quiet \
		--ruleset=tests/clients/spectral.yaml tests/openapi.json
	.venv/bin/python -m tests.support.node redocly lint --config=tests/clients/redocly.yaml tests/openapi.json
	.venv/bin/python .ci/audit

# creates the table before Zappa runs, and checks the health after it
package deploy update undeploy: $(READY) ## run Zappa for STAGE=dev, staging or production
	@exec .venv/bin/python -m deploy.stages $@ $(STAGE)

# instructions and time from the start of the interpreter to the first answer
bench-cold-start: $(READY) ## compare the cold start with two other packages; needs valgrind
	@exec .venv/bin/python -m benchmarks.cold_start

# compares a running service with a reference implementation
bench: .bench/.ready ## measure CPU, throughput, capacity; ARGS="cpu --rounds 3" for a part
	@exec .bench/bin/python -m benchmarks.bench $(ARGS)

.bench/.ready: requirements.txt benchmarks/requirements.txt benchmarks/reference/requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .bench
	.bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt \
		"$$(grep '^zappa==' requirements-dev.txt)"
	@touch $@

setup: $(READY) ## only make .venv, with all tools

$(RUN_READY): requirements.txt requirements-run.txt | .venv/bin/python
	@$(call install,requirements-run.txt,the packages of the service,10 to 25 seconds)
	@touch $@

$(READY): requirements-dev.txt $(RUN_READY)
	@$(call install,requirements-dev.txt,the tools for tests and checks,about a minute)
	@touch $@

# $(call install,FILE,WHAT,HOW LONG): with uv if it is installed, else with pip
install = echo "cart: installing $(2) into .venv, $(3)" >&2; \
	if command -v uv >/dev/null; then uv pip install --quiet --python .venv/bin/python -r $(1); \
	else .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r $(1); fi

.venv/bin/python:
	@.ci/venv "$(PYTHON)"

clean: ## remove all that was installed and built; the data in .cart-data stays
	rm -rf .venv .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
