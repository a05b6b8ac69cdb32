"""Who gets the cores first: a release that serves, before one that is being loaded.

Linux shares cores between sessions (`sched_autogroup_enabled`, sched(7)), and a session may give way without any
privilege, but never take that back. So releases load in the session of the zygote, which gives way, and leave it when
they are ready. Where the kernel does not share so, as in most containers, nothing changes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LOADING = 5
"""Nice value of the session in which releases load: about a third of what one that serves gets where both want all."""


def give_way() -> None:
    """Let this session stand behind others. Only its leader may: the session may be a person's terminal."""
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(LOADING))


def stand_alone() -> None:
    """Leave the session, and with it its place behind others; nothing where this process leads one."""
    with contextlib.suppress(PermissionError):
        os.setsid()
