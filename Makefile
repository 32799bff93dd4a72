# SPDX-License-Identifier: GPL-3.0-or-later
# Two commands matter: `make lab` and `make test`. Each does all of its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ROOT    := $(CURDIR)
VENV    := .venv
BIN     := $(ROOT)/$(VENV)/bin
STAMP   := $(VENV)/.requirements.sha256

export ANSIBLE_CONFIG := $(ROOT)/ansible.cfg
export ANSIBLE_FORCE_COLOR ?= $(if $(CI),,$(shell test -t 1 && echo 1))
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(BIN):$(PATH)
unexport PYTHONPATH
