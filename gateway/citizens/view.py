"""What the public page shows, made of notices and figures. Pure: the template only writes it down."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway.cap.area import Area, Places, site_area
from gateway.citizens.figures import AirBand, Figures, Water
from gateway.citizens.notices import WORKS, Notice

USUAL: Final = ("usual", "●", "As usual")
NOTICE: Final = ("notice", "▲", "Notice")
WARNING: Final = ("warning", "◆", "Warning")
"""(class, shape, word): no state is told by its colour alone."""

ALL: Final = "This is an exercise: nothing on this page is real."
SOME: Final = "There is an exercise: what is marked so on this page is not real."


class Item(Struct, frozen=True):
    """A notice, in words."""

    id: str
    state: tuple[str, str, str]
    headline: str
    area: str
    text: str
    advice: str
    when: str


class Card(Struct, frozen=True):
    """An area, in words."""

    name: str
    slug: str
    sort: str
    state: tuple[str, str, str]
    notices: tuple[str, ...]
    air: str
    bars: str
    """The air's class as so many full and empty squares: for eyes alone, `air` says the same."""
    water: str


class View(Struct, frozen=True):
    """The page."""

    title: str
    exercise: str
    """What the banner says; empty where nothing is an exercise."""
    as_of: str
    """Empty where nothing is known yet."""
    trouble: bool
    """What is shown is old: the page says so."""
    now: tuple[Item, ...]
    planned: tuple[Item, ...]
    areas: tuple[Card, ...]
    choices: tuple[tuple[str, str], ...]
    """(slug, name) of what one may be told of."""
    push: bool
    contact: str
    standard: str


def areas_shown(places: Places, sites: Sequence[str], told: Sequence[Notice]) -> tuple[Area, ...]:
    """Zones and streets; a site where there are none, or something is told of the whole of it."""
    of_sites = {each.area.name for each in told if each.area.sort == "site"}
    whole = [site for site in sites if not places.areas or site in of_sites]
    return (*(site_area(site) for site in whole), *places.areas)


def view(
    *,
    title: str,
    contact: str,
    told: Sequence[Notice],
    areas: Sequence[Area],
    figures: Figures,
    now: float,
    zone: ZoneInfo,
    exercise: bool,
    trouble: bool,
) -> View:
    """As of `now` (Unix seconds). `exercise` is of the configuration; a drill among the notices is one, too."""
    current = [each for each in told if not each.over]
    begun = [each for each in current if each.since <= now]
    to_come = [each for each in current if each.since > now]
    return View(
        title=title,
        exercise=ALL if exercise else SOME if any(each.newest.status == "Exercise" for each in current) else "",
        as_of=_moment(now, zone) if now else "",
        trouble=trouble,
        now=tuple(_item(each, now, zone) for each in sorted(begun, key=lambda each: (not each.serious, -each.since))),
        planned=tuple(_item(each, now, zone) for each in sorted(to_come, key=lambda each: each.since)),
        areas=tuple(_card(each, begun, figures, zone) for each in areas),
        choices=tuple((each.slug, each.name) for each in areas),
        push=bool(contact),
        contact=contact.removeprefix("mailto:"),
        standard=next((band.standard for band in figures.air.values()), ""),
    )


def state_of(told: Sequence[Notice]) -> tuple[str, str, str]:
    """The worst of them."""
    if any(each.serious for each in told):
        return WARNING
    return NOTICE if told else USUAL


def _item(notice: Notice, now: float, zone: ZoneInfo) -> Item:
    since, until = _moment(notice.since, zone), notice.until
    when = f"since {since}" if notice.since <= now else f"from {since}"
    if notice.topic == WORKS and until is not None:
        when += f" until {_moment(until, zone)}"
    return Item(notice.id, state_of([notice]), notice.headline, notice.area.name, notice.text, notice.advice, when)


def _card(area: Area, begun: Sequence[Notice], figures: Figures, zone: ZoneInfo) -> Card:
    own = [each for each in begun if each.area.slug == area.slug]
    band = figures.air.get(area.slug)
    return Card(
        name=area.name,
        slug=area.slug,
        sort=area.sort,
        state=state_of(own),
        notices=tuple(dict.fromkeys(each.headline for each in own)),
        air=_air(band, zone) if band else "",
        bars="■" * band.step + "□" * (band.steps - band.step) if band else "",
        water=_water(figures.water[area.slug]) if area.slug in figures.water else "",
    )


def _air(band: AirBand, zone: ZoneInfo) -> str:
    until = datetime.fromtimestamp(band.until, UTC).astimezone(zone)
    number = "" if band.index == band.step else f" (index {band.index})"
    stations = "1 station" if band.stations == 1 else f"{band.stations} stations"
    return f"{band.category}{number}, until {until:%H:%M}, {stations}"


def _water(water: Water) -> str:
    litres = f"{water.litres:,}".replace(",", "\u202f")
    return f"{litres} litres on {water.day.day} {water.day:%B}, {water.homes} homes"


def _moment(time: float, zone: ZoneInfo) -> str:
    when = datetime.fromtimestamp(time, UTC).astimezone(zone)
    return f"{when.day} {when:%B}, {when:%H:%M}"
