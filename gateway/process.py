"""What the gateway and its pages take from themselves before they do anything: rights that they never need."""

import ctypes
import os
import resource
from typing import Final

UMASK: Final = 0o077
"""What they write is theirs alone, whatever else is said."""
FILES: Final = 4096
"""Open at once, where the machine allows it."""
_PR_SET_NO_NEW_PRIVS: Final = 38


def confine() -> None:
    """For this process and all it starts: files for their owner alone, no image of the memory (and the secrets in it)
    on the disk when it crashes, no more rights by starting another program (prctl(2), PR_SET_NO_NEW_PRIVS), and as many
    open files as there may be, since everybody who looks takes one."""
    os.umask(UMASK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
