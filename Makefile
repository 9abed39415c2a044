# Everything a person starts from a checkout. `make` alone lists it.

SHELL := /bin/sh
PYTHON := .venv/bin/python
SUITES ?= tests

.DEFAULT_GOAL := help
.PHONY: help setup setup-jdk demo test lint bench faults quality lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

setup: ## make this checkout ready to run (the others do it themselves)
	@deploy/setup.sh

setup-jdk:
	@deploy/setup.sh --jdk

demo: setup ## from nothing to a real alert, tickets and advice; DEMO_SECONDS=60 makes it end by itself
	@.venv/bin/watchfloor demo

test: setup ## all tests; SUITES=tests/schemas for some
	@deploy/test.sh $(SUITES)

lint: setup ## style, formatting and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

bench: setup-jdk ## throughput and latency beside peers, on this machine
	@$(PYTHON) -m benchmarks all

faults: setup ## the long list of faults; the short one is part of make test
	@$(PYTHON) -m tests.faults

quality: setup ## detectors on public and made series and a made month; models of fraud and OCR (20 minutes)
	@$(PYTHON) -m benchmarks.quality

lock: setup ## pin the newest versions of all dependencies in requirements.lock
	@.venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --group dev --no-header \
		--no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml

clean: ## remove what set-up, tests and instances made here
	rm -rf .venv .watchfloor build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .setup.lock
	find schemas models streams sinks -name '_compiled*.so' -exec rm -f {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
