# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nvmet's configfs with the kernel's rules, in memory (drivers/nvme/target/configfs.c and fs/configfs of Linux 7.2)."""

from __future__ import annotations

import errno
import itertools
import os
import re
import uuid

ROOT = "/sys/kernel/config/nvmet"
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"
BOOLEAN = {"0", "1"}
ZERO = "00000000-0000-0000-0000-000000000000"

FILES = {
    "": {"discovery_nqn": DISCOVERY},
    "hosts/": {"dhchap_key": "", "dhchap_ctrl_key": "", "dhchap_hash": "hmac(sha256)", "dhchap_dhgroup": "null"},
    "subsystems/": {
        "attr_allow_any_host": "0", "attr_version": "2.1", "attr_serial": "random", "attr_model": "Linux",
        "attr_firmware": "7.2.12", "attr_ieee_oui": "0x000000", "attr_cntlid_min": "1", "attr_cntlid_max": "65519",
        "attr_vendor_id": "0x0", "attr_subsys_vendor_id": "0x0", "attr_qid_max": "128", "attr_pi_enable": "0",
    },
    "namespaces/": {
        "device_path": "(null)", "device_uuid": "random", "device_nguid": ZERO, "ana_grpid": "1", "enable": "0",
        "buffered_io": "0", "resv_enable": "0", "revalidate_size": "",
    },
    "passthru": {
        "device_path": "(null)", "enable": "0", "admin_timeout": "0", "io_timeout": "0", "clear_ids": "0",
    },
    "ports/": {
        "addr_trtype": "", "addr_adrfam": "", "addr_traddr": "", "addr_trsvcid": "", "addr_treq": "not specified",
        "addr_tsas": "", "param_inline_data_size": "-1", "param_max_queue_size": "-1", "param_mdts": "-1",
        "param_pi_enable": "0",
    },
    "ana_groups/": {"ana_state": "inaccessible"},
    "referrals/": {
        "addr_trtype": "", "addr_adrfam": "", "addr_traddr": "", "addr_trsvcid": "", "addr_treq": "not specified",
        "addr_portid": "0", "enable": "0",
    },
}  # fmt: skip
GROUPS = {
    "": ("hosts", "subsystems", "ports"),
    "subsystems/": ("namespaces", "allowed_hosts", "passthru"),
    "ports/": ("subsystems", "referrals", "ana_groups"),
}
LINKED = {"allowed_hosts": "hosts/", "subsystems": "subsystems/"}
VALUES = {
    "addr_trtype": {"mptcp", "tcp", "rdma", "fc", "loop", "pci"},
    "addr_adrfam": {"ipv4", "ipv6", "ib", "fc", "loop", "pci"},
    "addr_treq": {"not specified", "required", "not required"},
    "ana_state": {"optimized", "non-optimized", "inaccessible", "persistent-loss", "change"},
    "dhchap_hash": {"hmac(sha256)", "hmac(sha384)", "hmac(sha512)"},
    "dhchap_dhgroup": {"null", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"},
    **dict.fromkeys(("enable", "buffered_io", "resv_enable", "clear_ids", "attr_pi_enable",
                                  "attr_allow_any_host", "param_pi_enable"), BOOLEAN),
}  # fmt: skip
RANGES = {
    "attr_cntlid_min": (1, 65535), "attr_cntlid_max": (1, 65535), "attr_qid_max": (1, 128), "ana_grpid": (1, 128),
    "param_mdts": (0, 255), "addr_portid": (0, 65535), "attr_vendor_id": (0, 65535), "attr_ieee_oui": (0, 0xFFFFFF),
    "attr_subsys_vendor_id": (0, 65535),
}  # fmt: skip
GATED = {"device_path": errno.EBUSY, "device_uuid": errno.EBUSY, "device_nguid": errno.EBUSY,
         "buffered_io": errno.EINVAL, "resv_enable": errno.EINVAL}  # fmt: skip
FIXED_ONCE_DISCOVERED = ("attr_version", "attr_serial", "attr_model", "attr_firmware", "attr_ieee_oui")


def fail(code: int) -> None:
    raise OSError(code, os.strerror(code))


def need(condition: bool, code: int = errno.EINVAL) -> None:
    if not condition:
        fail(code)


class EmulatedKernel:
    """Objects by path below ROOT; performed counts every change that was let through."""

    def __init__(self, transports=("mptcp", "tcp", "loop"), absent=(), loaded=True, lacks=()) -> None:
        self.objects: dict[str, dict[str, str]] = {}
        self.links: dict[str, str] = {}
        self.inodes: dict[str, int] = {}
        # Of files whose mode is not configfs's own 0644.
        self.modes: dict[str, int] = {}
        self.counter = itertools.count(1)
        self.transports, self.absent, self.lacks = transports, set(absent), set(lacks)
        if loaded:
            self.load()
        self.discovered: set[str] = set()
        self.performed: list = []
        self.tables: list[str] = []
        # Addresses that this machine does not have.
        self.elsewhere: set[str] = set()
        self.looped: set[str] = set()
        self.begun: list[tuple[str, int, str]] | None = None
        self.told: list[tuple[str, str, str]] | None = None
        # Device → bytes, and namespace → bytes that nvmet saw when it last looked.
        self.sizes: dict[str, int] = {}
        self.seen: dict[str, int] = {}

    # What the code under test calls.

    def sockets(self) -> list[str]:
        return self.tables

    def mptcp(self) -> list[tuple[str, int, str]] | None:
        return self.begun

    def loops(self) -> set[str]:
        return self.looped

    def controllers(self) -> list[tuple[str, str, str]] | None:
        return self.told

    def bind(self, address: str) -> None:
        need(address not in self.elsewhere, errno.EADDRNOTAVAIL)

    def is_mounted(self, path: str) -> bool:
        return bool(self.objects)

    def read(self, path: str) -> str:
        path = self.inside(path)
        folder, _, name = path.rpartition("/")
        need(folder in self.objects and name in self.objects[folder], errno.ENOENT)
        if name == "addr_tsas" and self.objects[folder]["addr_trtype"] not in ("tcp", "rdma"):
            return "\n"
        return f"{self.objects[folder][name]}\n"

    def names(self, path: str) -> list[str]:
        path = self.inside(path)
        if path in self.objects:
            return [*self.objects[path], *GROUPS.get(self.kind(path), ())]
        owner, _, group = path.rpartition("/")
        need(owner in self.objects and group in GROUPS.get(self.kind(owner), ()), errno.ENOENT)
        found = [*self.objects, *self.links]
        return [name[len(path) + 1 :] for name in found if re.fullmatch(re.escape(path) + "/[^/]+", name)]

    def mode(self, path: str) -> int:
        path = self.inside(path)
        need(self.is_file(path), errno.ENOENT)
        return self.modes.get(path, 0o644)

    def perform(self, operation) -> None:
        if operation.verb == "run":
            need(operation.argv[0] in ("modprobe", "mount"), errno.EIO)
            self.load()
        else:
            path = self.inside(operation.path)
            if operation.verb == "symlink":
                self.symlink(path, self.inside(operation.value))
            elif operation.verb == "write":
                self.write(path, operation.value)
            elif operation.verb == "chmod":
                need(self.is_file(path), errno.ENOENT)
                self.modes[path] = int(operation.value, 8)
            else:
                getattr(self, operation.verb)(path)
        self.performed.append(operation)

    # The kernel's rules.

    def inside(self, path: str) -> str:
        need(bool(self.objects), errno.ENOENT)
        assert path == ROOT or path.startswith(f"{ROOT}/"), path
        return path[len(ROOT) + 1 :]

    def kind(self, path: str) -> str:
        if not path:
            return ""
        if path.endswith("/passthru"):
            return "passthru"
        return path.split("/")[-2] + "/"

    def is_file(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self.objects.get(folder, {})

    def mkdir(self, path: str) -> None:
        need(path not in self.objects, errno.EEXIST)
        owner, _, group = path.rpartition("/")[0].rpartition("/")
        name = path.rpartition("/")[2]
        need(owner in self.objects and group in GROUPS.get(self.kind(owner), ()), errno.ENOENT)
        if group == "subsystems":
            need(name not in (DISCOVERY, self.objects[""].get("discovery_nqn")))
        if group == "ports":
            need(name.isdigit() and int(name) < 65536)
        if group == "ana_groups":
            need(name.isdigit() and 2 <= int(name) <= 128)
        if group == "namespaces":
            need(name.isdigit() and 0 < int(name) < 0xFFFFFFFF)
            need(self.objects[f"{owner}/passthru"]["enable"] == "0" if f"{owner}/passthru" in self.objects else True)
            need(len(self.names(f"{ROOT}/{owner}/namespaces")) < 1024, errno.ENOMEM)
        self.make(path)

    def load(self) -> None:
        self.objects.setdefault("", {name: value for name, value in FILES[""].items() if name not in self.lacks})

    def make(self, path: str) -> None:
        files = {name: value for name, value in FILES[self.kind(path)].items() if name not in self.lacks}
        for name in ("attr_serial", "device_uuid"):
            if name in files:
                files[name] = str(uuid.uuid4())[:20] if name == "attr_serial" else str(uuid.uuid4())
        self.objects[path], self.inodes[path] = files, next(self.counter)
        if re.fullmatch("subsystems/[^/]+", path) and "passthru" not in self.lacks:
            self.make(f"{path}/passthru")
        if re.fullmatch("ports/[^/]+", path):
            self.make(f"{path}/ana_groups/1")
            self.objects[f"{path}/ana_groups/1"]["ana_state"] = "optimized"

    def builtin(self, path: str) -> bool:
        return path.endswith(("/passthru", "/ana_groups/1")) or not path

    def rmdir(self, path: str) -> None:
        need(path not in GROUPS[""], errno.EPERM)
        need(path in self.objects, errno.ENOENT)
        need(not self.builtin(path), errno.EPERM)
        need(path not in self.links.values(), errno.EBUSY)
        below = [name for name in [*self.objects, *self.links] if name.startswith(f"{path}/")]
        need(all(self.builtin(name) for name in below), errno.ENOTEMPTY)
        for name in [path, *below]:
            for file in self.objects.pop(name):
                self.modes.pop(f"{name}/{file}", None)

    def unlink(self, path: str) -> None:
        need(path in self.links, errno.ENOENT)
        del self.links[path]
        self.inodes.pop(path)

    def symlink(self, path: str, target: str) -> None:
        owner, _, group = path.rpartition("/")[0].rpartition("/")
        need(owner in self.objects and group in LINKED, errno.ENOENT)
        need(target in self.objects, errno.ENOENT)
        need(self.kind(target) == LINKED[group])
        need(path not in self.links, errno.EEXIST)
        if group == "allowed_hosts":
            need(self.objects[owner]["attr_allow_any_host"] == "0")
        elif not self.is_open(owner):
            self.open_port(owner)
        self.links[path], self.inodes[path] = target, next(self.counter)

    def is_open(self, port: str) -> bool:
        return any(link.startswith(f"{port}/subsystems/") for link in self.links)

    def open_port(self, port: str) -> None:
        files = self.objects[port]
        need(files["addr_trtype"] in self.transports)
        if files["addr_trtype"] != "loop":
            need(files["addr_adrfam"] in ("ipv4", "ipv6"))
            need((":" in files["addr_traddr"]) == (files["addr_adrfam"] == "ipv6") and files["addr_traddr"] != "")
            need(files["param_pi_enable"] == "0")
            self.bind(files["addr_traddr"])
            for other in [name for name in self.objects if re.fullmatch("ports/[^/]+", name) and self.is_open(name)]:
                theirs = self.objects[other]
                same = {files["addr_traddr"], theirs["addr_traddr"]}
                if theirs["addr_trtype"] != "loop" and theirs["addr_trsvcid"] == files["addr_trsvcid"]:
                    need(len(same) == 2 and not same & {"0.0.0.0", "::"}, errno.EADDRINUSE)
        for name, value in (("param_inline_data_size", "16384"), ("param_max_queue_size", "128"), ("param_mdts", "0")):
            files[name] = value if files[name] == "-1" else files[name]

    def write(self, path: str, value: str) -> None:
        folder, _, name = path.rpartition("/")
        need(folder in self.objects and name in self.objects[folder], errno.ENOENT)
        need(len(value) <= 4095 and value == value.strip())
        kind, files = self.kind(folder), self.objects[folder]
        if kind == "ports/":
            need(not self.is_open(folder), errno.EACCES)
        if kind == "referrals/" and name != "enable":
            need(files["enable"] == "0", errno.EACCES)
        if name in GATED and files.get("enable") == "1":
            fail(GATED[name])
        need(value in VALUES.get(name, {value}))
        if name in RANGES:
            low, high = RANGES[name]
            need(re.fullmatch("0x[0-9a-f]+|[0-9]+", value) is not None and low <= int(value, 0) <= high)
        self.particular(folder, name, value, files, kind)
        if name == "ana_grpid" and value == "128":
            value = "0"
        ignored = name == "enable" and kind == "namespaces/" and self.passes_through(folder)
        if not ignored and name != "revalidate_size":
            files[name] = value

    def passes_through(self, namespace: str) -> bool:
        subsystem = namespace.rpartition("/namespaces/")[0]
        return self.objects.get(f"{subsystem}/passthru", {}).get("enable") == "1"

    def particular(self, folder: str, name: str, value: str, files: dict, kind: str) -> None:
        """Rules of single attributes."""
        if name == "discovery_nqn":
            need(0 < len(value) < 223 and not any(self.subsystem(path).startswith(value) for path in self.objects))
        elif name == "attr_allow_any_host" and value == "1":
            need(not any(link.startswith(f"{folder}/allowed_hosts/") for link in self.links))
        elif name in FIXED_ONCE_DISCOVERED:
            need(folder not in self.discovered)
            need(value != "" and len(value) <= {"attr_serial": 20, "attr_firmware": 8}.get(name, 40))
        elif name == "attr_cntlid_min":
            need(int(value) <= int(files["attr_cntlid_max"]))
        elif name == "attr_cntlid_max":
            need(int(value) >= int(files["attr_cntlid_min"]))
        elif name in ("device_uuid", "device_nguid"):
            need(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None)
        elif name == "enable" and value == "1" and kind != "referrals/":
            self.enable(folder, files, kind)
            self.look(folder, files)
        elif name == "revalidate_size":
            need(value == "1" and files["enable"] == "1")
            self.look(folder, files)
        else:
            self.plain(name, value, files)

    def plain(self, name: str, value: str, files: dict) -> None:
        """Rules of attributes that concern nothing but their own object."""
        if name in ("dhchap_key", "dhchap_ctrl_key"):
            need(re.fullmatch("DHHC-1:0[0-3]:.+:", value) is not None)
        elif name == "device_path":
            need(value != "")
        elif name == "addr_trtype":
            need(value != "mptcp" or "mptcp" in self.transports)
            files["addr_tsas"] = "none" if value == "tcp" else "connected" if value == "rdma" else ""
        elif name == "addr_tsas":
            need(files["addr_trtype"] in ("tcp", "rdma") and value in ("none", "tls1.3", "connected"))
            need((value == "connected") == (files["addr_trtype"] == "rdma"))
            if value == "tls1.3":
                files["addr_treq"] = "required"
        elif name == "addr_treq":
            need(not (value == "not specified" and files.get("addr_tsas") == "tls1.3"))

    def look(self, folder: str, files: dict) -> None:
        self.seen[folder] = self.sizes.get(files["device_path"], 2**30)

    def subsystem(self, path: str) -> str:
        return path[len("subsystems/") :] if re.fullmatch("subsystems/[^/]+", path) else ""

    def enable(self, folder: str, files: dict, kind: str) -> None:
        need(files["device_path"] != "(null)")
        need(files["device_path"] not in self.absent, errno.ENOENT)
        if kind == "passthru":
            passing = [one for path, one in self.objects.items() if path.endswith("/passthru") and one["enable"] == "1"]
            need(files["device_path"] not in [one["device_path"] for one in passing])
            need(files["enable"] == "0")
            need(not any(name.startswith(f"{folder.rpartition('/')[0]}/namespaces/") for name in self.objects))
