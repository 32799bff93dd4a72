# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written about an option is what the code accepts: modules against DOCUMENTATION, roles against defaults."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import alias

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


class Stop(Exception):
    """Raised in place of running a module."""


def load(name: str):
    return importlib.import_module(f"ansible_collections.nvmeof.mptcp.plugins.modules.{name}")


def argument_spec(name: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    caught = {}

    def remember(self, argument_spec, **kwargs):
        caught.update(argument_spec)
        raise Stop

    monkeypatch.setattr(basic.AnsibleModule, "__init__", remember)
    with pytest.raises(Stop):
        load(name).main()
    return caught


def plain(options: dict, nested: str) -> dict:
    """Both spellings of an option tree, reduced to what must be equal."""
    out = {}
    for name, option in (options or {}).items():
        kind = option.get("type", "str")
        out[name] = {
            "type": kind if isinstance(kind, str) else kind.__name__,
            "elements": option.get("elements"),
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "choices": sorted(map(str, option.get("choices") or [])),
            "aliases": option.get("aliases") or [],
            "suboptions": plain(option.get(nested) or {}, nested),
        }
    return out


def documented_options(name: str) -> dict:
    """A module's options with those of its fragments, such as nvmeof.mptcp._attributes.info."""
    documentation = yaml.safe_load(load(name).DOCUMENTATION)
    options = dict(documentation.get("options") or {})
    for fragment in documentation.get("extends_documentation_fragment", []):
        module, _, part = fragment.removeprefix("nvmeof.mptcp.").partition(".")
        found = importlib.import_module(f"ansible_collections.nvmeof.mptcp.plugins.doc_fragments.{module}")
        options |= yaml.safe_load(getattr(found.ModuleDocFragment, part.upper() or "DOCUMENTATION"))["options"]
    return options


@pytest.mark.parametrize("name", [name for name in MODULES if hasattr(load(name), "main")])
def test_module_accepts_exactly_what_it_documents(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documented = documented_options(name)
    assert plain(argument_spec(name, monkeypatch), "options") == plain(documented, "suboptions")


@pytest.mark.parametrize("name", MODULES)
def test_module_documentation_is_complete(name: str) -> None:
    module = load(name)
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert documentation["module"] == name
    assert documentation["short_description"]
    examples = yaml.safe_load(module.EXAMPLES)
    assert any(f"nvmeof.mptcp.{name}" in task for task in examples), "an example uses the module by its FQCN"
    assert yaml.safe_load(module.RETURN)


def undescribed(options: dict, path: str) -> list[str]:
    out = []
    for name, option in (options or {}).items():
        if not option.get("description"):
            out.append(f"{path}{name}")
        if option.get("type") == "list" and not option.get("elements"):
            out.append(f"{path}{name} (elements)")
        out += undescribed(option.get("options") or {}, f"{path}{name}.")
    return out


@pytest.mark.parametrize("role", ROLES)
def test_role_defaults_are_its_argument_specs(role: str) -> None:
    folder = ROOT / "roles" / role
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text()) or {}
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = specs["main"].get("options", {})
    assert set(defaults) <= set(options), "a default without a specification"
    required = {name for name, option in options.items() if option.get("required")}
    assert set(options) - set(defaults) == required, "an option has a default or is required"
    assert undescribed(options, "") == []
    assert all(name.startswith(f"{role}_") for name in options)


def every_option(options: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """Where each option of a tree is, and what is written of it."""
    for name, option in (options or {}).items():
        yield f"{path}{name}", option
        yield from every_option(option.get("options") or {}, f"{path}{name}.")


@pytest.mark.parametrize("role", ROLES)
def test_no_specification_of_a_role_is_a_template(role: str) -> None:
    """Ansible prints the whole of it, templated, for any wrong argument: keys that a default is made of with it."""
    specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    found = [
        path for entry in specs.values() for path, option in every_option(entry["options"]) if "{{" in repr(option)
    ]
    assert found == [], "defaults/main.yml has the template, and the description says where the value is from"


def test_a_default_that_is_no_template_is_written_in_both_places() -> None:
    for role in ROLES:
        folder = ROOT / "roles" / role
        defaults = yaml.safe_load((folder / "defaults/main.yml").read_text()) or {}
        specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
        plain = {name: value for name, value in defaults.items() if "{{" not in repr(value)}
        assert plain == {name: specs[name].get("default") for name in plain}, role


SECRET = re.compile(r"dhchap_(ctrl_)?(key|secret)$")


def secrets_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    return {path: one for path, one in every_option(argument_spec(name, monkeypatch)) if SECRET.search(path)}


@pytest.mark.parametrize("name", [name for name in MODULES if hasattr(load(name), "main")])
def test_a_secret_is_one_under_the_other_end_s_name_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target's dhchap_key is a host's dhchap_secret: an unknown option's value would be shown."""
    for path, option in secrets_of(name, monkeypatch).items():
        assert option.get("no_log") is True, path
        assert option.get("aliases") == [alias(path.rpartition(".")[2])], path


@pytest.mark.parametrize("role", ROLES)
def test_a_role_s_secret_is_one_under_the_other_end_s_name_too(role: str) -> None:
    specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    for entry in specs.values():
        for path, option in every_option(entry["options"]):
            if SECRET.search(path):
                assert option.get("no_log") is True, path
                assert option.get("aliases") == [alias(path.rpartition(".")[2])], path


@pytest.mark.parametrize("role", ROLES)
def test_tasks_see_the_role_s_own_variables_alone(role: str) -> None:
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        assert not re.findall(r"\b(?:fabric_\w+|groups\b)", path.read_text()), (
            f"{path.name}: only defaults may read these"
        )


def test_forbidden_constructs_are_absent() -> None:
    for path in [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]:
        found = re.findall(r"set_fact|ignore_errors|failed_when: false|builtin\.shell|no_log: false", path.read_text())
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_what_security_md_names_is_there() -> None:
    named = set(re.findall(r"`([\w/.-]+\.(?:py|yml|service))`", (ROOT / "SECURITY.md").read_text()))
    folders = ("plugins", "roles", "playbooks", "molecule", "tests")
    there = {path.name for folder in folders for path in (ROOT / folder).rglob("*.*")}
    assert len(named) > 20
    assert sorted(name for name in named if Path(name).name not in there) == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "GLOSSARY.md"])
def test_a_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"`([.\w-]+/[\w/.-]+\.\w+)`", text) + re.findall(r"\]\(([^):]+)\)", text)
    # NAME stands for a new one, a scenario's folder is there while it runs.
    there = [name for name in named if "NAME" not in name and not name.startswith((".lab/", "changelogs/"))]
    assert [name for name in there if not (ROOT / name).exists()] == []
    assert page == "GLOSSARY.md" or len(there) > 8


def test_changelog_md_is_made_of_what_was_released(tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    subprocess.run(
        [tools / "antsibull-changelog", "generate", "--output-format", "md", "--output", tmp_path / "CHANGELOG.md"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        check=True,
    )
    assert (tmp_path / "CHANGELOG.md").read_text() == (ROOT / "CHANGELOG.md").read_text()
