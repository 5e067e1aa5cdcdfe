"""Keys of a table that there are not: refused by name, with the nearest that there is."""

from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct

from gateway.errors import ConfigError
from gateway.near import hint, nearest


def refuse_unknown(table: dict[str, Any], kind: type[Struct], prefix: str = "") -> None:
    """Raises ConfigError for a key that `kind`, or a table in it, does not have; names the nearest that it has."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    if tag := kind.__struct_config__.tag_field:
        fields[tag] = str
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{prefix}{key}: there is no such key; the nearest is {prefix}{nearest(key, fields)}")
        of = fields[key]
        if get_origin(of) is tuple or type(None) in get_args(of):
            of = get_args(of)[0]
        kinds = [each for each in (of, *get_args(of)) if isinstance(each, type) and issubclass(each, Struct)]
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and (one := _of_kinds(each, kinds, f"{prefix}{key}.")):
                refuse_unknown(each, one, f"{prefix}{key}.")


def _of_kinds(table: dict[str, Any], kinds: list[type[Struct]], prefix: str) -> type[Struct] | None:
    """Which of these a table is; where there are several, by the key that tells them apart. None where it is not said,
    which is refused later. Raises ConfigError for one that there is not."""
    tagged = {kind.__struct_config__.tag: kind for kind in kinds}
    which = kinds[0].__struct_config__.tag_field if len(kinds) > 1 else None
    if which is None or not isinstance(tag := table.get(which), str):
        return kinds[0] if len(kinds) == 1 else None
    if tag not in tagged:
        raise ConfigError(f"{prefix}{which}: there is no {tag!r}{hint(tag, map(str, tagged))}")
    return tagged[tag]
