# `make` alone lists the targets. PORT, PYTHON and every FCNSERVE_* setting may be given on the
# command line (make serve PORT=8001) or in the environment.

MAKEFLAGS += --no-print-directory

# The first Python that runs and is new enough; an installed name alone proves nothing.
PYTHON ?= $(or $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done),python3)

# The commands that run long are `exec`ed, one a line: a signal to make reaches the program itself.
INSTALL = @exec $(PYTHON) deploy/install.py

.PHONY: help serve test test-browser test-stack test-kubernetes test-fuzz test-faults test-client test-examples test-integrations lint format bench bench-front gpu-check overload simulate loadtest peers wheel lock lock-images clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24

serve: ## install what is missing and serve on http://127.0.0.1:8000 (PORT= changes it)
	$(INSTALL) worker
	@exec .venv/bin/fcnserve serve $(if $(PORT),--port $(PORT))

test: lint ## check style, types and imports, and run all tests (pytest's options in ARGS)
	@exec .venv/bin/python -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder $(ARGS)

test-browser: ## show the page to Chromium: apt install chromium, or CHROMIUM=/path
	$(INSTALL) worker test browser
	@exec .venv/bin/python -m pytest tests/browser $(ARGS)

test-stack: ## build the images, bring the stack up, break it; needs Docker with Compose
	$(INSTALL) worker test
	@exec .venv/bin/python -m pytest tests/stack $(ARGS)

test-kubernetes: ## build the manifests and check them against schemas; needs kubectl, no cluster
	$(INSTALL) worker test kubernetes
	@exec .venv/bin/python -m pytest tests/kubernetes $(ARGS)

test-fuzz: ## damaged photos and requests without end (--fuzz-images in ARGS)
	$(INSTALL) worker test fuzz
	@exec .venv/bin/python -m pytest tests/fuzz $(ARGS)

test-faults: ## break a running service in a dozen ways under load
	$(INSTALL) worker test
	@exec .venv/bin/python -m pytest tests/faults $(ARGS)

test-client: ## install the Python client alone, from the package index, and run its README
	$(INSTALL) worker test
	@exec .venv/bin/python -m pytest tests/client $(ARGS)

test-examples: ## run examples/ against a real service: Jupyter, Chromium, a video
	$(INSTALL) worker test browser examples
	@exec .venv/bin/python -m pytest tests/examples $(ARGS)

test-integrations: ## other projects' clients and tools, each in an environment of its own
	$(INSTALL) worker test
	@exec .venv/bin/python -m pytest tests/integrations $(ARGS)

lint: ## ruff, mypy and the directions of imports; changes nothing
	$(INSTALL) worker test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo --no-cache

format: ## let ruff format the code and fix what it can
	$(INSTALL) test
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: ## measure ways to batch, and the service around ours: a quarter of an hour (ARGS)
	$(INSTALL) worker bench
	@exec .venv/bin/python -m loadtest.benchmark.run $(ARGS)

bench-front: ## measure gateway, TorchServe and other servers around a network that costs nothing
	$(INSTALL) worker
	@exec .venv/bin/python -m loadtest.front.run $(ARGS)

# it installs nothing: PYTHON, or else .venv's where there is one
CHECK_PYTHON = $(if $(filter file,$(origin PYTHON)),$(or $(wildcard .venv/bin/python),$(PYTHON)),$(PYTHON))

gpu-check: ## find out in eight minutes how this works on a GPU (PYTHON=, OUT=, ARGS="--only rates")
	@exec $(CHECK_PYTHON) -m loadtest.gpu_check $(if $(OUT),--out $(OUT)) $(ARGS)

overload: ## send ten times what the service can do, and measure (options in ARGS)
	$(INSTALL) worker test
	@exec .venv/bin/python -m loadtest.overload.run $(ARGS)

simulate: ## a hundred workers and ten gateways in virtual time (--scale, --only in ARGS)
	$(INSTALL) worker
	@exec .venv/bin/python -m loadtest.simulation.run $(ARGS)

loadtest: ## load the service with Locust, and report what it bears (--host, --shape in ARGS)
	$(INSTALL) worker bench load
	@exec .venv/bin/python -m loadtest.capacity.run $(ARGS)

peers: ## measure other servers around the same network, and ours, in turns (options in ARGS)
	$(INSTALL) worker bench
	@exec .venv/bin/python -m loadtest.peers $(ARGS)

wheel: ## build dist/fcnserve-*.whl and fcnserve_client-*.whl, which pip installs anywhere
	$(INSTALL)
	rm -rf build/lib client/build
	.venv/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./client .
	rm -rf client/build

lock: ## write constraints.txt anew: the newest versions allowed (ARGS=--keep: those it has)
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet packaging
	@exec build/lock/bin/python deploy/lock/packages.py $(ARGS)

lock-images: ## write the digests of container images anew; needs Docker with buildx
	@exec $(PYTHON) deploy/lock/images.py

clean: ## remove what can be made again: .venv, archives, caches
	rm -rf .venv build client/build dist run *.egg-info client/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find model_store -name '*.mar' -delete
