# make build SPEC=specs/unet/ddpm_cifar10.yaml   set up, then compile one spec into build/
# make test                                      set up, then run every test
# make lint                                      style and types
# make regen                                     schema, plan and diagnostics goldens, generated pages and outputs in docs/
# make docs                                      the documentation as a site, in build/site
# make bench                                     the figures of README.md

PYTHON ?= python3
VENV   ?= .venv
SPEC   ?= specs/tiny/unet.yaml
BIN     = $(VENV)/bin

.PHONY: build test lint regen docs bench clean

build: $(VENV)/installed
	$(BIN)/netspec build $(SPEC)

test: $(VENV)/developer
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

regen: $(VENV)/developer
	$(BIN)/python -m netspec.schema
	$(BIN)/python -m pytest --regen tests/test_specs.py tests/test_invalid.py
	$(BIN)/python -m netspec.reference
	$(BIN)/python -m pytest --regen tests/test_docs.py tests/test_pictures.py

docs: $(VENV)/developer
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/developer
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/developer: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(VENV)/installed $@
