"""The name that somebody may have meant by one that is not known."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The most similar of the known names; empty where there is none at all."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), "")


def hint(name: str, known: Iterable[str]) -> str:
    """The half sentence with it that ends a message."""
    near = nearest(name, known)
    return f"; the nearest is {near}" if near else ""
