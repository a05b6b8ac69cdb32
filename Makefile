# Needs Linux, make and Python 3.11, 3.12 or 3.13. Everything else is installed into .venv-* from hashed locks.
# `make PYTHON=python3.12 test` chooses another interpreter.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

SUITABLE := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do $$p $(SUITABLE) && { echo $$p; break; }; done)
endif
# Part of the stamps' names, so that another interpreter gets fresh environments.
VERSION := $(if $(PYTHON),$(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null))

UV := .venv-uv/bin/uv
DEMO := .venv-demo/bin/python
TEST := .venv-test/bin/python
NEWEST := .venv-newest/bin/python
SPARK := .venv-spark/bin/python
FUNCTIONS := .venv-functions/bin/python
UV_READY := .venv-uv/.ready-$(VERSION)
DEMO_READY := .venv-demo/.ready-$(VERSION)
TEST_READY := .venv-test/.ready-$(VERSION)
NEWEST_READY := .venv-newest/.ready-$(VERSION)
SPARK_READY := .venv-spark/.ready-$(VERSION)
FUNCTIONS_READY := .venv-functions/.ready-$(VERSION)
SPARK_STARTS := .venv-spark/.starts-$(VERSION)

.PHONY: help demo demo-spark test test-all test-newest test-spark lint format types imports audit bench bench-azureml bench-spark mutation lock clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(DEMO_READY) ## the whole loop on this machine
	@$(DEMO) -m demo

demo-spark: $(SPARK_STARTS) ## the same with the batch job and the stream on Spark; needs Java, or root to install it
	@$(SPARK) -m demo --engine spark

test: lint types imports ## what CI runs: lint, format, types, directions of imports, tests
	@$(TEST) -m pytest -n 2 --dist worksteal

test-all: lint types imports test-newest ## the same, the suites that take minutes, the newest MLflow, and Spark
	@$(TEST) -m pytest -n 2 --dist worksteal -m "" --hypothesis-profile=long
	@$(MAKE) test-spark SUITE='-m ""'

# Azure's SDKs cannot be installed beside it: they hold back libraries that it needs newer.
AZURES := --ignore-glob='tests/contract/*azureml*' --ignore=tests/contract/test_ledger_table.py --deselect=tests/contract/test_pointer.py::TestInStore
test-newest: $(NEWEST_READY) ## what touches MLflow's own code, with the newest MLflow
	@$(NEWEST) -m pytest -n 2 --dist worksteal tests/registry tests/contract tests/gateway $(AZURES)

test-spark: $(SPARK_STARTS) ## the jobs on a real Spark with real Delta; needs Java, or root to install it
	@$(SPARK) -m pytest $(SUITE) tests/spark

lint: $(TEST_READY)
	@$(TEST) -m ruff check --quiet --output-format=concise
	@$(TEST) -m ruff format --check --quiet

types: $(TEST_READY)
	@$(TEST) -m mypy --no-error-summary

imports: $(TEST_READY)
	@.venv-test/bin/lint-imports >.venv-test/imports.log 2>&1 || { cat .venv-test/imports.log; exit 1; }

format: $(TEST_READY) ## sort imports, apply safe fixes, format
	@$(TEST) -m ruff check --quiet --fix-only
	@$(TEST) -m ruff format

audit: $(TEST_READY) ## ask for known vulnerabilities of what the locks pin; 3 where nobody answers
	@$(TEST) -m tests.audit

bench: $(DEMO_READY) ## measure, and print a table
	@$(DEMO) -m benchmarks

bench-azureml: $(FUNCTIONS_READY) ## measure a look at Azure ML with what a function app installs
	@$(FUNCTIONS) -m benchmarks --only azureml

bench-spark: $(SPARK_STARTS) ## measure the batch job and the stream on Spark
	@$(SPARK) -m benchmarks --only spark --only spark_stream

mutation: $(TEST_READY) ## change the rules one by one and see whether a test notices; hours, goes on where it stopped
	@$(TEST) -m mutmut run --max-children 2
	@$(TEST) -m mutmut results

# Every lock is universal: one file for all supported Pythons. What is tested is what is installed elsewhere, hence -c;
# Spark's own suite stands apart because delta-spark holds back what the rest uses.
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
PROJECT = $(COMPILE) $(UPGRADE) pyproject.toml
lock: $(UV_READY) ## compile the locks again from pyproject.toml; UPGRADE=--upgrade takes newer versions
	$(COMPILE) --python-version 3.11 --group bootstrap -o requirements-bootstrap.txt
	$(PROJECT) --extra local --extra functions --extra azureml --extra databricks --extra dev -o requirements-dev.txt
	$(PROJECT) --extra local -c requirements-dev.txt -o requirements-demo.txt
	$(PROJECT) --extra functions --extra azureml --extra databricks -c requirements-dev.txt -o requirements.txt
	$(PROJECT) --extra local --extra spark --extra dev -o requirements-spark.txt
	@# The one pin of pyproject.toml that azureml-mlflow dictates, lifted: a new MLflow is met here before users meet it.
	printf 'mlflow>3.15.0\nmlflow-skinny>3.15.0\n' | \
		$(PROJECT) --extra local --extra dev --overrides - -o requirements-newest.txt

clean: ## remove what was made here
	rm -rf .venv-uv .venv-demo .venv-test .venv-newest .venv-spark .venv-functions .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .azurite mutants dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(UV_READY): requirements-bootstrap.txt
	@[ -n "$(PYTHON)" ] && $(PYTHON) $(SUITABLE) || { \
		echo "Python 3.11, 3.12 or 3.13 is needed and $(or $(PYTHON),python3) is none of them: install one, or name it with 'make PYTHON=/path/to/python3.12'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: install its venv package (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv-uv
	@.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv-%/.ready-$(VERSION): $(UV_READY)
	@echo "installing $(LOCK_$*) into .venv-$* ..."
	@$(UV) venv --quiet --no-config --clear --python .venv-uv/bin/python .venv-$*
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python .venv-$*/bin/python $(LOCK_$*)
	@touch $@

LOCK_demo := requirements-demo.txt
LOCK_test := requirements-dev.txt
LOCK_newest := requirements-newest.txt
LOCK_spark := requirements-spark.txt
LOCK_functions := requirements.txt
$(DEMO_READY): requirements-demo.txt
$(TEST_READY): requirements-dev.txt
$(NEWEST_READY): requirements-newest.txt
$(SPARK_READY): requirements-spark.txt
$(FUNCTIONS_READY): requirements.txt

# Java from the system's packages; the Delta jars from Maven, once.
$(SPARK_STARTS): $(SPARK_READY)
	@java -version >/dev/null 2>&1 || [ -x "$${JAVA_HOME:-/nowhere}/bin/java" ] || { [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && \
		echo "installing Java ..." && apt-get update -qq && \
		{ apt-get install -qq --no-install-recommends openjdk-17-jre-headless || \
		apt-get install -qq --no-install-recommends openjdk-21-jre-headless; } >/dev/null 2>&1; } || { \
		echo "Spark needs Java 17 or 21, and it is neither here nor could it be installed: install it (on Debian and Ubuntu: apt install openjdk-17-jre-headless)." >&2; exit 1; }
	@echo "resolving the Delta jars ..."
	@$(SPARK) -m scoring.spark 2>.venv-spark/starts.log || { tail -n 1 .venv-spark/starts.log >&2; exit 1; }
	@touch $@
