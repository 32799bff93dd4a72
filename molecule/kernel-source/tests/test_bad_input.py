# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be built is one clear error each, before anything changes on a machine."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import PATCH, REPOSITORY, TAG, arguments, build, role, text

GIT = {"git": f"file://{REPOSITORY}", "ref": TAG}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (GIT, rf"nothing holds {TAG} of file://\S+ to its content.*git ls-remote -- file://\S+ {TAG} "),
        ({**GIT, "ref": "--upload-pack=touch /tmp/x;git-upload-pack", "commit": "0" * 40}, r"no git ref"),
        (
            {**GIT, "ref": "nvme-mptpc", "commit": "0" * 40},
            r"has no tag, branch or commit 'nvme-mptpc': there is nvme-mptcp",
        ),
        ({**GIT, "commit": "0" * 40}, r"nvme-mptcp of file://\S+ is commit [0-9a-f]{40}, not 0{40}"),
        ({"tarball": str(PATCH), "sha256": "0" * 64}, r"nvme-mptcp.patch has sha256 [0-9a-f]{64}, not 0{64}"),
        ({"tree": "/usr/src"}, r"/usr/src on the build host does not have a kernel's source in it"),
    ],
)
def test_a_source_that_is_not_what_it_should_be(source: dict[str, str], said: str) -> None:
    result = role(nvme_kernel_source=source)
    assert result.returncode != 0
    assert re.search(said, " ".join(result.stdout.split()))
    assert not re.search(r"changed=[1-9]", result.stdout)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"patches": [text(PATCH)]},
            r"nvme-mptcp.patch does not apply to the source: drivers/nvme/host/fabrics.c hunk 1 ",
        ),
        (
            {"config_fragments": [*arguments()["config_fragments"], {"name": "mine", "text": "CONFIG_NO_SUCH=y"}]},
            r"the configuration did not take CONFIG_NO_SUCH: mine wants y, got n\.",
        ),
        ({"architecture": "aarch64"}, r"a kernel for 'aarch64' cannot be built"),
    ],
)
def test_what_cannot_be_built(changed: dict[str, Any], said: str) -> None:
    built = build(**changed)
    assert re.search(said, built["msg"])
