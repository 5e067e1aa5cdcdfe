"""Asks a running gateway of this machine over HTTP, and waits while its journal is full. Blocking."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlencode

import urllib3

from gateway.audit.asker import Asker, at_shell
from gateway.config import Config
from gateway.control import token as tokens
from gateway.control.door import told_by
from gateway.errors import GanglionError, Passing
from gateway.forward.answers import retry_after, server_words, unreachable
from gateway.forward.patience import USUAL
from gateway.forward.server import CONNECT_SECONDS, READ_SECONDS
from gateway.tls import local_pool

TIMEOUT: Final = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
PATIENCE_SECONDS: Final = 120.0
"""How long a gateway that does not answer is waited for: it may be starting anew."""

Told = Callable[[str], None]
"""Hears, in words, what is waited for; empty when nothing is any more."""


class ControlError(GanglionError):
    """The gateway does not answer, or does not take what it was asked."""


class Caller:
    def __init__(
        self,
        config: Config,
        told: Told,
        patience: float = PATIENCE_SECONDS,
        full_patience: float = math.inf,
        asker: Asker | None = None,
    ) -> None:
        """`patience` (seconds) is for a gateway that does not answer, `full_patience` for one whose journal is full.
        `asker` is for its audit log; without one it is who runs this program."""
        self._settings = config.http
        self._url = config.http.url
        self._folder = Path(config.data_dir)
        self._asker = asker or at_shell(self._folder)
        self._told = told
        self._patience = patience
        self._full_patience = full_patience
        self._dice = Random()

    def post(self, path: str, body: bytes, fields: Mapping[str, str] | None = None) -> bytes:
        """The body of the good answer. What is asked must be the same when asked twice. Raises ControlError."""
        url = f"{self._url}{path}{f'?{urlencode(fields)}' if fields else ''}"
        failures = 0
        unanswered_since: float | None = None
        full_since: float | None = None
        while True:
            # Read each time: the gateway may have been started anew meanwhile, with a new token.
            headers = {"Authorization": f"Bearer {tokens.token(self._folder)}", **told_by(self._asker)}
            failures += 1
            try:
                # Anew as well: so may its certificate be.
                with local_pool(self._settings, TIMEOUT) as http:
                    answer = http.request("POST", url, body=body, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                passing = unreachable(self._url, error)
                full_since = None
                unanswered_since = unanswered_since or time.monotonic()
                if time.monotonic() - unanswered_since > self._patience:
                    raise ControlError(
                        f"the gateway that holds {self._folder} does not answer at {self._url}: check http.listen"
                    ) from error
                self._told("the gateway does not answer")
            else:
                if answer.status == 200:
                    self._told("")
                    return answer.data
                words = server_words(answer.headers, answer.data)
                if answer.status == 400:  # about what was asked, not about who answers
                    raise ControlError(words)
                if answer.status != 503:
                    raise ControlError(f"{self._url}{path} answered {answer.status}: {words}")
                unanswered_since = None
                full_since = full_since or time.monotonic()
                if time.monotonic() - full_since > self._full_patience:
                    raise ControlError(f"the gateway cannot keep it: {words}")
                passing = Passing(words, retry_after(answer.headers))
                self._told("the journal is full")
            time.sleep(USUAL.wait(passing, failures, self._dice))
