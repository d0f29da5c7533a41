# `make run` and `make test` are all a newcomer needs; CONTRIBUTING.md explains the rest.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 3000

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SERVE := $(BIN)/gunicorn -c gunicorn.conf.py -b $(HOST):$(PORT) wsgi:app

.DEFAULT_GOAL := help
.PHONY: always help run demo install test lint bench settings screenshots examples lighthouse audit constraints clean

help:  ## list what make can do
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: install  ## serve the site on http://127.0.0.1:3000 (HOST=, PORT=, STRICT=1: only with its own weights)
	@CLASSIFIER_FALLBACK=$(if $(STRICT),,$${CLASSIFIER_FALLBACK-efficientnet_lite2}) $(SERVE)

demo: install models/demo/model.json  ## train a small classifier on drawn pictures, offline, and serve it
	@CLASSIFIER_MODEL=models/demo CLASSIFIER_NOTICE="A demo, trained here on drawn pictures; it knows circles, squares, stars and triangles." $(SERVE)

install: .venv/installed  ## make .venv with what the site needs (BACKEND=tensorflow, jax or cpu; LIGHT=1: compiled models only)

always:

test: .venv/installed-dev  ## install what tests need and run them all, side by side
	@# Many tests start Python; without its cache each of these processes would compile the project again.
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --durations 25

lint: .venv/installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install bench/.venv/installed  ## measure the site: what it adds to the bare model, and beside its peers
	$(BIN)/python bench/overhead.py
	@$(PIP) -e '.[compile]'
	bench/.venv/bin/python bench/compare.py

settings: .venv/installed  ## write the table of settings in docs/configuration.md
	$(BIN)/python scripts/settings_table.py

screenshots: .venv/installed-dev  ## take the pictures in docs/images again
	$(BIN)/python scripts/screenshot.py

examples: .venv/installed  ## draw the site's example pictures again
	$(BIN)/python scripts/draw_examples.py

lighthouse: .venv/installed-dev  ## what Lighthouse (by npx) says of the home and result pages
	$(BIN)/python bench/lighthouse.py

audit: .venv/installed-dev  ## look all pinned versions up in the vulnerability data (needs the internet)
	@$(PIP) pip-audit
	$(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip

constraints:  ## pin every version again, as new as pyproject.toml allows (needs uv)
	uv pip compile --quiet --universal --all-extras --upgrade --python-version 3.11 --no-annotate pyproject.toml -o constraints.txt

models/demo/model.json:
	@$(BIN)/python -m classifier demo -o models/demo

clean:  ## remove .venv and caches (kept uploads and models stay)
	rm -rf .venv bench/.venv .mypy_cache .pytest_cache .ruff_cache *.egg-info

# A stamp is touched last, so an interrupted install is taken up again and a finished one costs nothing.
.venv/installed: pyproject.toml constraints.txt $(if $(BACKEND)$(LIGHT),always)
	@echo "Installing into .venv (once; the back end is large) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@extras=openvino; test -n '$(LIGHT)' || extras=train,$$($(BIN)/python scripts/choose_backend.py --wish '$(BACKEND)') || exit 1; \
	$(PIP) -e ".[$$extras]"
	@touch $@

# The peers live in an environment of their own, on top of the site's: they are no dependency of ours.
bench/.venv/installed: bench/peers/requirements.txt .venv/installed
	@$(PYTHON) -m venv bench/.venv
	@bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > $$(echo bench/.venv/lib/python*/site-packages)/site-of-ours.pth
	@touch $@

# The tests compare back ends, so they need TensorFlow even where the site runs on JAX.
.venv/installed-dev: .venv/installed
	@$(PIP) -e '.[dev]'
	@$(BIN)/python -c 'import importlib.util as i, sys; sys.exit(not i.find_spec("tensorflow"))' || $(PIP) -e '.[cpu]'
	@touch $@
