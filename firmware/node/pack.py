# A pack as SenML JSON (RFC 8428). The head is written when the pack leaves, because only then its time is sure to be
# known; the body is written when the window closes.

import json


def body(readings):
    """Readings are (name, unit, value); a value that is None is absent, never 0."""
    records = []
    for name, unit, value in readings:
        if value is None:
            continue
        key = "vb" if isinstance(value, bool) else "v"
        text = '{"n":"' + name + '",'
        if unit:
            text += '"u":"' + unit + '",'
        # Seven digits are what the board's float32 has; more would be noise of the decimal system.
        said = "%.7g" % value if isinstance(value, float) else json.dumps(value)
        records.append(text + '"' + key + '":' + said + "}")
    return ",".join(records)


def pack(site, node, time, boot, seq, body):
    head = '[{"bn":"%s/%s/","bt":%d,"n":"boot","v":%d},{"n":"seq","v":%d}' % (site, node, time, boot, seq)
    return (head + ("," + body if body else "") + "]").encode()
