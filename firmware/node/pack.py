# Packs as SenML JSON (RFC 8428). The head is written when the pack leaves, because only then its time is sure to be
# known; the body is written when the window closes.

from micropython import const

MESSAGE_MAX = const(4096)
HEAD_MAX = const(160)  # of the longest names and numbers


# By the type of the value: without a unit, and with one. Seven digits are what the board's float32 has; more would be
# noise of the decimal system.
_RECORDS = {
    bool: ('{"n":"%s","vb":%s}', '{"n":"%s","u":"%s","vb":%s}'),
    int: ('{"n":"%s","v":%d}', '{"n":"%s","u":"%s","v":%d}'),
    float: ('{"n":"%s","v":%.7g}', '{"n":"%s","u":"%s","v":%.7g}'),
}


def body(readings):
    """Readings are (name, unit, value); a value that is None is absent, never 0."""
    records = []
    for name, unit, value in readings:
        if value is None:
            continue
        bare, whole = _RECORDS[type(value)]
        said = ("true" if value else "false") if isinstance(value, bool) else value
        # One string for each record: the interpreter looks each up among all names.
        records.append(whole % (name, unit, said) if unit else bare % (name, said))
    return ",".join(records)


def message(site, node, packs):
    """Packs one after another, in bytes; each is (boot, seq, Unix seconds, body). Base fields hold until given anew."""
    parts = []
    head = '[{"bn":"%s/%s/",' % (site, node)
    for boot, seq, time, body in packs:
        parts.append(('%s"bt":%d,"n":"boot","v":%d},{"n":"seq","v":%d}' % (head, time, boot, seq)).encode())
        if body:
            parts.append(b",")
            parts.append(body)
        head = ",{"
    parts.append(b"]")
    return b"".join(parts)
