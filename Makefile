# SPDX-License-Identifier: GPL-3.0-or-later
# Two commands matter: `make lab` and `make test`. Each does all of its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := $(CURDIR)/.venv
# The distribution's own: ansible-core needs 3.11 to 3.13, which Debian 12 and 13 have.
PYTHON := /usr/bin/python3

export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(VENV)/bin:$(PATH)
unexport PYTHONPATH

.PHONY: help lab lab-down shell test test-all scenario property bench lint venv
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# Images and packages take root: without it these run again under sudo.
ifneq ($(shell id -u),0)
lab lab-down shell test test-all scenario property bench venv:
	@command -v sudo >/dev/null || { echo "make: this needs root (it installs packages), and sudo is not installed: run it as root" >&2; exit 1; }
	exec sudo --preserve-env=LAB_DIR,LAB_KERNEL_SERIES,CI,TESTS,SEED $(MAKE) --no-print-directory $@ M='$(M)' S='$(S)' B='$(B)' PAIRS='$(PAIRS)'
else
lab: venv ## Two machines, four MPTCP links, one namespace, and the proof
	@ansible-playbook playbooks/lab.yml
	ansible-playbook playbooks/site.yml

lab-down: venv ## Stop the lab's machines; the image and the snapshots stay in the cache
	@ansible-playbook playbooks/lab.yml --extra-vars lab_state=absent

shell: ## A root shell on a machine: make shell M=host1; on a scenario's: make shell M=host1 LAB_DIR=.lab/fabric
	@lab=$${LAB_DIR:-.lab/lab}
	if [ ! -e "$$lab/ssh_config" ]; then
	  machines=$$(sed -n 's/^  - name: //p' inventories/lab/group_vars/all/lab.yml)
	  echo "make: no lab is up in $$lab; 'make lab' starts one in .lab/lab, with" $$machines >&2
	  exit 1
	fi
	machines=$$(awk '$$1 == "Host" { print $$2 }' "$$lab/ssh_config")
	grep -qxF -e "$${M:-}" <<< "$$machines" || { echo "make: there is no machine '$${M:-}' in $$lab: say make shell M= and one of" $$machines >&2; exit 1; }
	ssh -t -F "$$lab/ssh_config" -o ConnectTimeout=5 "$$M" || [ $$? != 255 ] || {
	  echo "make: $$M in $$lab does not answer: $$lab/$$M/console.log says why; 'make lab-down lab' makes it anew, with" $$machines >&2
	  exit 1
	}

test: lint ## Lint, unit and property tests, the scenarios on real kernels: more than an hour
	@pytest --capture=no --durations=10 tests/unit tests/scenarios

test-all: ## The same with each scenario whole: every kind of outage, every rail, whole kernels
	@TESTS=all $(MAKE) --no-print-directory test

scenario: venv ## One molecule scenario, whole, with all its set-up: make scenario S=fabric
	@: "$${S:?say which: make scenario S=fabric}"
	[ -f molecule/$(S)/molecule.yml ] || { echo "make: no scenario $(S); there are $$(cd molecule && echo */molecule.yml | sed 's,/molecule.yml,,g')" >&2; exit 1; }
	TESTS=all python tests/scenarios/scenario.py $(S)

property: ## Random pairs of trees on a real nvmet: make property PAIRS=500
	@PAIRS='$(or $(PAIRS),60)' $(MAKE) --no-print-directory scenario S=nvmet

bench: venv ## One benchmark, its last line one JSON object: make bench B=bandwidth
	@: "$${B:?say which: make bench B=bandwidth}"
	[ -f tests/benchmarks/$(B).yml ] || { echo "make: no benchmark $(B); there are $$(cd tests/benchmarks && echo *.yml | sed 's,\.yml,,g')" >&2; exit 1; }
	python tests/benchmarks/$(B).py

# The stamp names the lock that the environment was made from, so a changed lock makes it anew.
venv:
	@wanted=$$(sha256sum < requirements.txt)
	if [ "$$(cat $(VENV)/.lock 2>/dev/null || true)" != "$$wanted" ]; then
	  case "$$(uname -sm)" in "Linux x86_64") ;; *) echo "make: the lab needs Linux on x86-64, this is $$(uname -sm)" >&2; exit 1 ;; esac
	  if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then
	    command -v apt-get >/dev/null || { echo "make: no apt-get here: the lab needs Debian 12 or 13 (or python3 with venv)" >&2; exit 1; }
	    echo "Installing python3-venv"
	    apt-get -qq update
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-venv >/dev/null
	  fi
	  echo "Installing the pinned tools into .venv (about a minute, once)"
	  rm -rf $(VENV)
	  $(PYTHON) -m venv $(VENV)
	  $(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	  echo "$$wanted" > $(VENV)/.lock
	fi
endif

lint: venv ## ansible-lint (production), yamllint, ruff, mypy --strict, REUSE, the changelog's fragments
	@ruff check plugins tests molecule
	ruff format --check --quiet plugins tests molecule
	mypy plugins
	yamllint --strict .
	reuse --suppress-deprecation lint --quiet
	antsibull-changelog lint
	ansible-lint
