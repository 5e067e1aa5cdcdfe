"""Who asks for something, and that this is in the log before it is done."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.audit.entry import JSON, digest
from gateway.audit.log import record
from gateway.control.token import user_name
from gateway.errors import GanglionError

log = logging.getLogger(__name__)

LOGIN: Final = Path("/proc/self/loginuid")
"""As whom a person logged in at this machine, whatever they have become since (the kernel's, proc(5))."""
NOBODY: Final = 2**32 - 1


class AuditError(GanglionError):
    """The log cannot be written, so what was asked for is not done."""


class Asker(Struct, frozen=True):
    """Somebody, as the log knows them."""

    data_dir: Path
    who: str
    came: str = ""

    def asks(
        self, act: str, of: str = "", detail: Mapping[str, JSON] | None = None, messages: Iterable[bytes] = ()
    ) -> None:
        """Write it down before it is done. `messages` are what is then published: by their hashes the gateway, which
        hears them pass the broker, knows that they were asked for.

        On a machine without the gateway's `data_dir` there is no log: that is said, and the gateway will tell of what
        it hears as `unasked`. Raises AuditError.
        """
        hashes = [digest(each) for each in messages]
        whole = {**(detail or {}), **({"messages": hashes} if hashes else {})}
        try:
            record(self.data_dir, act, who=self.who, of=of, came=self.came, detail=whole)
        except FileNotFoundError:
            log.warning("there is no %s here: no audit log says who asked for this", self.data_dir)
        except OSError as error:
            raise AuditError(
                f"the audit log in {self.data_dir} cannot be written: {error.strerror}; run this as the gateway's "
                "user, or free its disk: nothing was done"
            ) from error

    async def will(
        self, act: str, of: str = "", detail: Mapping[str, JSON] | None = None, messages: Iterable[bytes] = ()
    ) -> None:
        """`asks`, beside an event loop."""
        await asyncio.to_thread(self.asks, act, of, detail, list(messages))


def at_shell(data_dir: Path) -> Asker:
    """Who runs this program: `user@host cli`; who they logged in as, where that is another, is where they came from."""
    number = os.geteuid()
    try:
        login = int(LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        login = NOBODY
    came = f"login {user_name(login)}" if login not in (NOBODY, number) else ""
    return Asker(data_dir, f"{user_name(number)}@{socket.gethostname()} cli", came)
