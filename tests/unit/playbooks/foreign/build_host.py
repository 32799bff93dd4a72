# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A build host on which no program runs: each is written down, and leaves the files that the next step looks for."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any, Callable, Iterator
from unittest import mock

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules
from foreign import answers

#: Names of temporary folders differ from run to run.
_TEMPORARY = re.compile(r"(mmdebstrap|nvmeof-mptcp|gnupg|tmp)-?[a-z0-9_]{8}")
_SOURCES = ("host/fabrics.c", "host/tcp.c", "target/core.c", "target/tcp.c")
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
# The hash and the size of an empty file.
_DISPLAYED = """\
Package: {name}
Version: {version}
Architecture: amd64
Depends: linux-image-{release} (= {version})
Filename: x
SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
Size: 0
"""


class Ended(Exception):
    """The end of a module, with what it answered."""


class BuildHost:
    """Runs modules; what they started is in `started`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.started: list[list[str]] = []
        self._folder, self._active = folder, False
        sys.addaudithook(self._audit)

    @property
    def tree(self) -> pathlib.Path:
        """A kernel's source."""
        return self._folder / "tree"

    def run(self, name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[list[str]]]:
        """What a module answers, and the programs that it started."""
        self.started = []
        shutil.rmtree(self._folder, ignore_errors=True)
        for file in ("Kbuild", "Makefile", ".config", *(f"drivers/nvme/{name}" for name in _SOURCES)):
            (self.tree / file).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / file).touch()
        given = {**arguments, "cache_dir": str(self._folder / "cache"), "mirror": "http://mirror.example/debian"}
        module = importlib.import_module(f"ansible_collections.nvmeof.mptcp.plugins.modules.{name}")
        with self._nothing_runs(), patch_module_args(given):
            try:
                module.main()
            except Ended as ended:
                return ended.args[0], self.started
        raise AssertionError(f"{name} came to no end")

    @contextlib.contextmanager
    def _nothing_runs(self) -> Iterator[None]:
        def end(_module: Any, **answer: Any) -> None:
            raise Ended(answer)

        def fail(_module: Any, msg: str, **_answer: Any) -> None:
            raise Ended({"failed": True, "msg": msg})

        with contextlib.ExitStack() as patched:
            for place, name, new in (
                (AnsibleModule, "exit_json", end),
                (AnsibleModule, "fail_json", fail),
                (mmdebstrap, "check_prerequisites", mock.Mock()),
                (modules, "build_id", mock.Mock(return_value="0" * 40)),
                (subprocess, "Popen", self._program),
            ):
                patched.enter_context(mock.patch.object(place, name, new))
            self._active = True
            try:
                yield
            finally:
                self._active = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._active and event in _STARTS:
            raise AssertionError(f"{event} started a program past the test: {arguments}")

    def _program(self, argv: Any, **options: Any) -> Program:
        words = [str(word) for word in argv]
        self.started.append([_TEMPORARY.sub("X", word) for word in words])
        program = Program(words, options)
        # What make reads decides what it runs.
        for config in self._folder.rglob("linux/.config") if "make" in words else ():
            self.started[-1].append(config.read_text(encoding="utf-8"))
        return program


class Program:
    """A subprocess.Popen that has ended well."""

    def __init__(self, argv: list[str], options: dict[str, Any]) -> None:
        self.args, self.returncode, self._text = argv, 0, bool(options.get("text"))
        said = ""
        for number, word in enumerate(argv):
            effect = _EFFECTS.get(os.path.basename(word))
            if effect is not None:
                at = argv.index("chroot") + 1 if "chroot" in argv[:number] else None
                root = pathlib.Path(argv[at]) if at else pathlib.Path(options.get("cwd") or "/")
                said = effect(root, argv[number:]) or ""
                break
        self._said = said
        self.stdout = io.StringIO(said) if self._text else io.BytesIO(said.encode())

    def communicate(self, input: Any = None, timeout: Any = None) -> tuple[Any, Any]:
        return (self._said, "") if self._text else (self._said.encode(), b"")

    def poll(self) -> int:
        return self.returncode

    wait = kill = poll

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_exception: object) -> None:
        return None


def _below(root: pathlib.Path, path: str) -> pathlib.Path:
    return root / path.lstrip("/")


def _option(argv: list[str], name: str) -> str:
    return next(word.partition("=")[2] for word in argv if word.startswith(name + "="))


def _mmdebstrap_made(_root: pathlib.Path, argv: list[str]) -> None:
    root = pathlib.Path(argv[-2])
    for release in (answers.RELEASE, answers.NEXT):
        source = root / "usr/src" / f"linux-source-{release[:3]}/drivers/nvme"
        for name in ("host", "target"):
            (source / name).mkdir(parents=True)
        headers = root / "usr/src" / f"linux-headers-{release}"
        headers.mkdir(parents=True)
        (headers / ".config").touch()
    for name in ("build", "var/cache", "proc"):
        (root / name).mkdir(parents=True)


def _made(root: pathlib.Path, argv: list[str]) -> None:
    if argv[-1].endswith(".ko"):
        folder = _below(root, _option(argv, "M"))
        for word in argv:
            if word.endswith(".ko"):
                (folder / word).touch()
    if argv[-1] == "bindeb-pkg":
        linux = _below(root, _option(argv, "--directory"))
        (linux.parent / "linux-image-7.3.4-mptcp.01234567_1_amd64.deb").touch()


def _objcopied(root: pathlib.Path, argv: list[str]) -> None:
    if "--dump-section" in argv:
        _below(root, argv[argv.index("--dump-section") + 1].partition("=")[2]).touch()
    if "--only-section=.notes" in argv:
        _below(root, argv[-1]).touch()


def _packed(root: pathlib.Path, argv: list[str]) -> None:
    if "--build" in argv:
        _below(root, argv[-1]).touch()
    if "--raw-extract" in argv:
        for name in ("DEBIAN", "lib/modules/7.3.4-mptcp.01234567"):
            (_below(root, argv[-1]) / name).mkdir(parents=True)


def _shown(_root: pathlib.Path, argv: list[str]) -> str:
    return _DISPLAYED.format(name=argv[-1].partition("=")[0], version="7.3.4-1~bpo13+1", release=answers.NEXT)


def _downloaded(root: pathlib.Path, argv: list[str]) -> None:
    if "download" in argv:
        for word in argv[argv.index("--") + 1 :]:
            (root / f"{word.replace('=', '_')}_amd64.deb").touch()


_EFFECTS: dict[str, Callable[[pathlib.Path, list[str]], str | None]] = {
    "mmdebstrap": _mmdebstrap_made,
    "make": _made,
    "objcopy": _objcopied,
    "dpkg-deb": _packed,
    "apt-cache": _shown,
    "apt-get": _downloaded,
    "dpkg-query": lambda _root, _argv: "gcc-14-x86-64-linux-gnu 14.2.0\n",
    "patch": lambda _root, _argv: None,
}
