# Every target is a small script in tools/; all of them can be called without make.
.DEFAULT_GOAL := help
.PHONY: help setup demo lab test lint format bench build clean

PY := .venv/bin/python

help: ## these lines
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## make .venv and build the labextension; the other targets do it by themselves
	@tools/setup

demo: setup ## the debugger at work, in this terminal
	@$(PY) tools/demo.py

lab: setup ## JupyterLab on notebooks/, with the kernel "Python 3 (nbdebug)"
	@$(PY) -m nbdebug install --sys-prefix
	@.venv/bin/jupyter lab notebooks/ $(if $(filter 0,$(shell id -u)),--allow-root)

test: setup ## all tests; make test ARGS="-k breakpoint" for some
	@$(PY) -m pytest $(ARGS)

lint: setup ## ruff, mypy, tsc, eslint
	@tools/lint

format: setup ## let ruff format the Python code and mend what it can
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: setup ## the figures of the README, beside stock debugpy; make bench ARGS=...
	@$(PY) -m benchmarks $(ARGS)

build: setup ## the wheel and the sdist, in dist/
	@tools/build

clean: ## remove all that was made here
	@rm -rf .venv .venvs .build dist artifacts nbdebug/labextension labextension/lib labextension/node_modules
	@rm -f nbdebug/engine/*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
