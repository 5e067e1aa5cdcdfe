"""All detectors as one: fed pack by pack, saved and loaded whole."""

from collections.abc import Iterable, Iterator
from typing import Self

import msgspec
from msgspec import Struct

from gateway.detect.air_episode import AirEpisode
from gateway.detect.burst import Burst
from gateway.detect.jam import Jam
from gateway.detect.spell import Cases, windows
from gateway.detect.stuck import Stuck
from gateway.errors import ConfigError
from gateway.records import Incident, Pack


class Detectors(Struct, kw_only=True):
    """Their whole memory. The same packs in the same order give the same incidents, saved and loaded between or not."""

    version: int = 1
    """Of this layout; a detector that joins needs a default here, not a new version."""
    burst: Burst = msgspec.field(default_factory=lambda: Burst(Cases()))
    jam: Jam = msgspec.field(default_factory=lambda: Jam(Cases()))
    air_episode: AirEpisode = msgspec.field(default_factory=lambda: AirEpisode(Cases()))
    stuck: Stuck = msgspec.field(default_factory=lambda: Stuck(Cases(), Cases()))

    @classmethod
    def load(cls, state: bytes | None) -> Self:
        """From what `save` gave; new ones from None. Raises ConfigError for what another version has saved."""
        if state is None:
            return cls()
        try:
            detectors = msgspec.msgpack.decode(state, type=cls)
        except msgspec.DecodeError as error:
            raise ConfigError(f"the detectors' state in the journal cannot be read: {error}") from error
        if detectors.version != cls().version:
            raise ConfigError(
                f"the detectors' state in the journal is of version {detectors.version}, this program knows "
                f"{cls().version}: use the program that wrote it"
            )
        return detectors

    def save(self) -> bytes:
        return msgspec.msgpack.encode(self)

    def feed(self, packs: Iterable[Pack]) -> list[Incident]:
        """Incidents that opened or closed with these packs, each once, in its newest form, in order of change."""
        return newest(self._changes(packs))

    def _changes(self, packs: Iterable[Pack]) -> Iterator[Incident]:
        for pack in packs:
            detectors = self._of(pack.shape.measurement)
            if not detectors:
                continue
            found = windows(pack)
            for detector in detectors:
                yield from detector.feed(pack, found)

    def _of(self, measurement: str) -> tuple[Burst | Jam | AirEpisode | Stuck, ...]:
        match measurement:
            case "water":
                return (self.burst,)
            case "traffic":
                return (self.jam, self.stuck)
            case "air":
                return (self.air_episode, self.stuck)
            case _:
                return ()


def newest(changes: Iterable[Incident]) -> list[Incident]:
    """Each incident once, in its newest form, in order of its last change."""
    found: dict[str, Incident] = {}
    for incident in changes:
        found.pop(incident.id, None)
        found[incident.id] = incident
    return list(found.values())
