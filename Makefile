# Every target sets up what it needs: Python 3.11+ is all that must be there (and Java 17+ for Spark).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

SECOND ?= python3.13
OLDEST ?= python3.11
MATRIX ?= 3.5:$(PYTHON) 4.0:$(PYTHON) 4.3:$(PYTHON) 4.3:$(SECOND)
STAGES := tests/spark/test_estimator.py tests/spark/test_contract.py tests/spark/test_bad_rows.py tests/spark/test_same_bits.py tests/spark/test_checkpoints.py

.PHONY: demo test test-core test-slow test-mnist test-diamonds test-matrix test-oldest test-against walk docs lint format bench clean

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "firesteel needs Python 3.11 or newer, and $(PYTHON) is %d.%d: run `make PYTHON=python3.12 ...`" % sys.version_info[:2])'
	@echo "setting up .venv (once; about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

demo: $(READY)
	@$(BIN)/firesteel demo

test: $(READY) lint
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder firesteel tests

# the mathematics and the training on arrays, without Java: what to run while changing them
test-core: $(READY)
	@$(BIN)/python -m pytest -q -n 2 firesteel/core firesteel/train tests/core tests/train tests/model/test_models.py tests/project/test_structure.py

# what takes longest: executors killed and bare, speculation, checkpoints, every optimiser on Spark
test-slow: $(READY)
	@$(BIN)/python -m pytest -q -m slow tests

test-mnist: $(READY)
	@$(BIN)/python -m pytest -q -m mnist tests

test-diamonds: $(READY)
	@$(BIN)/python -m pytest -q -m diamonds tests

# the stages' tests on several versions of Spark and Python, classic, each in an environment of its own
test-matrix: $(READY)
	@for pair in $(MATRIX); do \
	  spark=$${pair%%:*} python=$${pair#*:}; \
	  place=.matrix/spark-$$spark-$$(basename $$python); \
	  $$python -c "" 2> /dev/null || { echo "there is no $$python here: name another Python with SECOND=..."; exit 1; }; \
	  test -x $$place/bin/pytest || { \
	    echo "setting up $$place (once)"; \
	    $$python -m venv $$place && \
	    $$place/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' "pyspark==$$spark.*"; \
	  } || exit 1; \
	  echo "Spark $$spark, $$($$place/bin/python --version)"; \
	  $$place/bin/python -m pytest -q -p no:cacheprovider -k "not connect" $(STAGES) || exit 1; \
	done

# every fit of tests/gate.py here and at another commit, to the bit: make test-against REF=HEAD~1
test-against: $(READY)
	@$(if $(REF),,echo "name a commit: make test-against REF=HEAD~1"; exit 1;) $(BIN)/python -m tests.against $(REF)

# how many calls, files and moves a small fit takes
walk: $(READY)
	@$(BIN)/python -m tests.walk

# all but the stages' tests, on the oldest versions of everything that pyproject.toml allows
test-oldest: .oldest/.ready
	@.oldest/bin/python -m pytest -q -p no:cacheprovider -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/spark firesteel tests

.oldest/.ready: pyproject.toml tests/oldest.py
	@echo "setting up .oldest (about a minute)"
	@$(OLDEST) -m venv --clear .oldest
	@.oldest/bin/python -m pip install --quiet --disable-pip-version-check --editable . $$($(OLDEST) tests/oldest.py)
	@touch $@

# the site, into site/: every link, every name, and every block and command of README and docs is tried
docs: $(READY) .venv/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@$(BIN)/python -m pytest -q -n 2 -m docs tests

.venv/.docs: pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	@touch $@

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# speed beside others; they are large (torch, JAX, Keras) and have an environment of their own
bench: .bench/.ready
	@.bench/bin/python -m benchmarks

.bench/.ready: pyproject.toml
	@echo "setting up .bench (once; some minutes, some gigabytes)"
	@$(PYTHON) -m venv .bench
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

clean:
	rm -rf site .venv .bench .matrix .oldest .pytest_cache .mypy_cache .ruff_cache
