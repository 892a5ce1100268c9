# Everything runs in .venv, made from hash-checked versions; what the set-up prints goes to stderr.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := .venv/.packages
STAMP := .venv/.complete
ARGS ?=
# Half again as many as there are cores, for tests wait as much as they work.
WORKERS ?= $(shell n=$$(nproc) && echo $$((n + (n + 1) / 2)))

.DEFAULT_GOAL := help
.PHONY: help venv demo test check format bench simulate mutants mutation soak attack audit clean lock

help: ## list these targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

venv: $(STAMP) ## set up .venv, with the commands modal and modal-runner in .venv/bin

demo: $(STAMP) ## run the main job end to end, with no account (ARGS="--json" passes arguments on)
	@$(BIN)/modal-runner demo $(ARGS)

test: $(STAMP) ## run the tests
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

check: $(STAMP) ## formatting, lint, types, layers, dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

bench: $(STAMP) ## what it costs to start a job, against the floor and a peer; writes docs/performance.md (under ten minutes)
	@$(BIN)/python -m benchmarks $(ARGS)

simulate: $(STAMP) ## the whole product in one process, 1,000 seeds of 40 jobs with every fault
	@$(BIN)/modal-runner simulate --seeds 1..1000 $(ARGS)

mutants: $(STAMP) ## plant single faults, and see that the simulation or a test catches each (an hour)
	@$(BIN)/python -m tests.mutants $(ARGS)

mutation: $(STAMP) ## mutate the pure core, and see which mutants its tests let live (needs pypi.org, half an hour)
	@[ -x .mutation/bin/mutmut ] || { $(PYTHON) -m venv --clear .mutation \
	  && .mutation/bin/python -m pip --quiet --disable-pip-version-check install mutmut==3.8.1 \
	  && ls -d "$(CURDIR)"/.venv/lib/python3*/site-packages > "$$(echo .mutation/lib/python3*/site-packages)/venv.pth"; }
	rm -rf mutants
	.mutation/bin/mutmut run --max-children $$(nproc) $(ARGS)
	.mutation/bin/mutmut results

soak: $(STAMP) ## 500 jobs, every fault, two containers and kill -9, for seeds 1 to 3
	@for seed in 1 2 3; do $(BIN)/modal-runner soak --jobs 500 --seed $$seed --containers 2 $(ARGS) || exit 1; done

attack: $(STAMP) ## attack the running app, on this machine alone, and fail above stated bounds (about two minutes)
	@$(BIN)/python -m tests.attack $(ARGS)

audit: ## look the locked packages up in PyPI's advisories and the code over with bandit (needs pypi.org)
	@[ -x .audit/bin/pip-audit ] || { $(PYTHON) -m venv --clear .audit \
	  && .audit/bin/python -m pip --quiet --disable-pip-version-check install pip-audit==2.10.1 bandit==1.9.4; }
	.audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/otel.txt
	.audit/bin/bandit -q -ll -r github_app -x github_app/simulator,github_app/demo,github_app/soak

format: $(STAMP) ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv and every cache
	rm -rf .venv .audit .mutation mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## write requirements/*.txt anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package modal-runner -o requirements/dev.txt
	uv pip compile pyproject.toml --constraint requirements/dev.txt --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package modal-runner \
	  -o requirements/app.txt
	uv pip compile pyproject.toml --extra otel --constraint requirements/dev.txt --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package modal-runner \
	  -o requirements/otel.txt

# The lock holds every package with its dependencies, so pip has nothing to resolve (--no-deps).
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-deps

$(PACKAGES): requirements/dev.txt
	@{ $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ..."; exit 1; }; \
	  echo "setting up .venv (once, about half a minute) ..."; \
	  $(PYTHON) -m venv --clear .venv \
	    || { echo "The venv module is missing; on Debian: apt install python3-venv"; exit 1; }; \
	  $(PIP) --require-hashes -r requirements/dev.txt && touch $@; } >&2

$(STAMP): $(PACKAGES) pyproject.toml
	@{ $(PIP) --no-build-isolation -e . && touch $@; } >&2
