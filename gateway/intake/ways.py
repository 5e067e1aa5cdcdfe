"""Ways in for the parts of a file: through the gateway that runs, or into the journal when none does. Blocking."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Final, Protocol
from urllib.parse import urlencode

import msgspec
import urllib3

from gateway import control
from gateway.config import Config
from gateway.errors import Passing
from gateway.forward.answers import retry_after, server_words, unreachable
from gateway.forward.patience import USUAL
from gateway.forward.server import make_http
from gateway.intake.reader import Cut, Imported, Kinds, Options, read
from gateway.intake.table import IntakeError
from gateway.journal.schema import FILE_NAME
from gateway.journal.store import Journal

PATIENCE_SECONDS: Final = 120.0
"""How long a gateway that does not answer is waited for: it may be starting anew."""

Told = Callable[[str], None]
"""Hears, in words, what is waited for; empty when nothing is any more."""


class Way(Protocol):
    def take(self, part: Cut) -> Imported:
        """Returns when all of the part is on disk. Raises GanglionError; then the part may be taken again."""


class ByGateway:
    """Over HTTP to a gateway on this machine. Waits while its journal is full, for as long as that takes."""

    def __init__(self, config: Config, options: Options, told: Told, patience: float = PATIENCE_SECONDS) -> None:
        host, port = config.http.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v1/import"
        self._folder = Path(config.data_dir)
        self._fields = {name: str(value) for name, value in msgspec.structs.asdict(options).items() if value != ""}
        self._told = told
        self._patience = patience
        self._http = make_http()
        self._dice = Random()

    def take(self, part: Cut) -> Imported:
        failures = 0
        unanswered_since: float | None = None
        while True:
            # Read each time: the gateway may have been started anew meanwhile, with a new token.
            headers = {"Authorization": f"Bearer {control.token(self._folder)}"}
            fields = self._fields | {"offset": str(part.offset)}
            url = f"{self._url}?{urlencode(fields)}"
            failures += 1
            try:
                answer = self._http.request("POST", url, body=part.data, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                passing = unreachable(self._url, error)
                unanswered_since = unanswered_since or time.monotonic()
                if time.monotonic() - unanswered_since > self._patience:
                    raise IntakeError(
                        f"the gateway that holds {self._folder} does not answer at {self._url}: check http.listen"
                    ) from error
                self._told("the gateway does not answer")
            else:
                if answer.status == 200:
                    self._told("")
                    return msgspec.json.decode(answer.data, type=Imported)
                words = server_words(answer.headers, answer.data)
                if answer.status != 503:
                    raise IntakeError(f"{self._url} answered {answer.status}: {words}")
                unanswered_since = None
                passing = Passing(words, retry_after(answer.headers))
                self._told("the journal is full")
            time.sleep(USUAL.wait(passing, failures, self._dice))


class ByJournal:
    """Straight into the journal, which nobody else holds open."""

    def __init__(self, journal: Journal, options: Options) -> None:
        self._journal = journal
        self._options = options

    def take(self, part: Cut) -> Imported:
        now = time.time()
        found = read(part.data, _at(self._options, part), now, lambda: kinds_in(self._journal))
        if found.packs or found.letters:
            self._journal.take(found.packs, found.letters, now)
        return Imported.of(found)


class Nowhere:
    """Checks only. Kinds are those that the journal knows, where there is one."""

    def __init__(self, config: Config, options: Options) -> None:
        self._options = options
        self._kinds = cache(lambda: _kinds_beside(config))

    def take(self, part: Cut) -> Imported:
        return Imported.of(read(part.data, _at(self._options, part), time.time(), self._kinds))


def kinds_in(journal: Journal) -> Kinds:
    return {(view.site, view.node): view.kind for view in journal.nodes()}


def _kinds_beside(config: Config) -> Kinds:
    folder = Path(config.data_dir)
    if not (folder / FILE_NAME).exists():
        return {}
    journal = Journal.open(folder, config.journal.max_bytes, read_only=True)
    try:
        return kinds_in(journal)
    finally:
        journal.close()


def _at(options: Options, part: Cut) -> Options:
    return msgspec.structs.replace(options, offset=part.offset)
