"""Somebody takes note of an incident, through the gateway that runs."""

from typing import Annotated

from msgspec import Meta, Struct


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    by: Annotated[str, Meta(min_length=1, max_length=100)]
    note: Annotated[str, Meta(max_length=1000)] = ""
