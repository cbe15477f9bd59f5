# `make study` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
SPACE ?= digits_cnn
TRIALS ?= 40
BIN := .venv/bin
FAST := not slow and not table and not browser and not postgres and not ray and not gpu

.PHONY: setup study test check clean

setup: .venv/for_tests

# A study needs the plain package only; tests need what develops and checks it, too.
.venv/for_studies: EXTRAS =
.venv/for_tests: EXTRAS = [dev,postgres,onnx,timm,ray]
.venv/for_studies .venv/for_tests: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("regstudy needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(EXTRAS)'
	touch $@

study: .venv/for_studies
	$(BIN)/python study.py --space $(SPACE) --trials $(TRIALS)

# Fast tests first, so that a plain mistake shows at once; those that watch clocks or kill many processes last and alone.
test: check
	$(BIN)/python -m pytest -n auto -m '$(FAST)'
	$(BIN)/python -m pytest -n auto -m '(table or browser) and not slow and not postgres'
	$(BIN)/python -m pytest --durations 10 -m '(slow or postgres or ray) and not gpu'

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
