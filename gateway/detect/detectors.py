"""All detectors as one: fed pack by pack, saved and loaded whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from gateway.detect.group import Found
from gateway.detect.plan import Plan
from gateway.detect.rules import RULES
from gateway.detect.site import Minute, Rules, Site
from gateway.detect.stories import Stories
from gateway.errors import ConfigError
from gateway.records import Incident, Pack, Shape
from gateway.shapes import picker

VERSION: Final = 4
"""Of the layout of what is saved."""


class Settings(Struct, frozen=True):
    """What an operator decides."""

    plan: Plan = Plan()
    budget: float = 1.0
    """Alarms a node-month."""


USUAL: Final = Settings()


class Detectors:
    """The same packs in the same order give the same incidents, however they are cut, and saved and loaded between."""

    def __init__(self, settings: Settings = USUAL, rules: Mapping[str, Rules] = RULES) -> None:
        self._settings = settings
        self._rules = rules
        self._sites: dict[str, Site] = {}
        self._stories = Stories()

    @classmethod
    def load(cls, state: bytes | None, settings: Settings = USUAL, rules: Mapping[str, Rules] = RULES) -> "Detectors":
        """From what `save` gave; new ones from None. Raises ConfigError for what another version has saved."""
        self = cls(settings, rules)
        if state is None:
            return self
        try:
            saved = msgspec.msgpack.decode(state)
            version = saved["version"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise ConfigError(f"the detectors' state in the journal cannot be read: {error}") from error
        if version != VERSION:
            raise ConfigError(
                f"the detectors' state in the journal is of version {version}, this program knows {VERSION}"
            )
        try:
            self._take_over(saved)
        except (KeyError, ValueError, TypeError) as error:  # a ValidationError is a ValueError
            raise ConfigError(f"the detectors' state in the journal cannot be read: {error!r}") from error
        return self

    def _take_over(self, saved: Mapping[str, Any]) -> None:
        self._stories = msgspec.convert(saved["stories"], Stories)
        for name, each in saved["sites"].items():
            self._site(name).load(each)

    def save(self) -> bytes:
        sites = {name: site.save() for name, site in self._sites.items()}
        return _encode({"version": VERSION, "stories": self._stories, "sites": sites})

    def feed(self, packs: Iterable[Pack]) -> list[Incident]:
        """Incidents that changed with these packs, each once, in its newest form, in order of change."""
        found: list[Found | Minute] = []
        site: Site | None = None
        for order, whole in enumerate(packs):
            for pack in by_time(whole):
                if site is None or site.name != pack.site:
                    site = self._site(pack.site)
                found += site.feed(order, pack)
        for site in self._sites.values():
            found += site.flush()
        found.sort(key=lambda each: each.order)  # as if each pack had been taken by itself
        return newest(self._told(found))

    def forget(self, site: str, node: str, alias: str) -> None:
        """Nothing of a node is known any more; what there is of its number goes by `alias`, which no node is called."""
        self._stories.forget(site, node)
        if site in self._sites:
            self._sites[site].forget(node, alias)

    def _site(self, name: str) -> Site:
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = Site(name, self._settings.plan, self._rules)
        return site

    def _told(self, found: Iterable[Found | Minute]) -> Iterator[Incident]:
        stories, budget = self._stories, self._settings.budget
        for each in found:
            if isinstance(each, Minute):
                near = self._sites[each.site].near
                yield from stories.tick(each.site, each.time, each.nodes, near, budget, each.gone)
            else:
                near = self._sites[each.place.site].near
                yield from stories.take(each.finding, each.place, near, budget)


_encode = msgspec.msgpack.Encoder().encode


def by_time(pack: Pack) -> Sequence[Pack]:
    """A pack of several times as one for each, in order of time."""
    if not pack.times:
        return (pack,)
    places: dict[int, list[int]] = {}
    for at, time in enumerate(pack.times):
        places.setdefault(time, []).append(at)
    return [
        structs.replace(
            pack,
            shape=_part(pack.shape, tuple(at)),
            time=time,
            values=picker(at)(pack.values),
            times=(),
        )
        for time, at in sorted(places.items())
    ]


@lru_cache(1024)
def _part(shape: Shape, places: tuple[int, ...]) -> Shape:
    return Shape(shape.measurement, tuple(shape.places[at] for at in places))


def newest(changes: Iterable[Incident]) -> list[Incident]:
    """Each incident once, in its newest form, in order of its last change."""
    found: dict[str, Incident] = {}
    for incident in changes:
        found.pop(incident.id, None)
        found[incident.id] = incident
    return list(found.values())
