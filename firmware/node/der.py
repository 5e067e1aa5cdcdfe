# What a node must write and read of X.509, in DER (X.690): a request for a certificate (RFC 2986), its private key
# (RFC 5915), and of a certificate (RFC 5280) whose it is, until when, and its key. In memory only while it is needed.
#
# Strict: what is not exactly as our own authority writes it is no certificate of ours.

_INTEGER, _BITS, _OCTETS, _OID, _TEXT, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x30, 0x31
_PRINTABLE, _UTC, _TIME = 0x13, 0x17, 0x18
_CURVE = b"\x2a\x86\x48\xce\x3d\x03\x01\x07"  # prime256v1
_EC_KEY = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08" + _CURVE  # AlgorithmIdentifier, ecPublicKey
_ECDSA = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"  # AlgorithmIdentifier, ecdsa-with-SHA256
_COMMON_NAME = b"\x55\x04\x03"
# Extension: basicConstraints, critical, an authority, and none below it.
_AUTHORITY = b"\x30\x12\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x08\x30\x06\x01\x01\xff\x02\x01\x00"
_POINT = 66  # bytes of a BIT STRING with a point


# Writing.


def _wrap(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 0x80:
        head = bytes((tag, n))
    elif n < 0x100:
        head = bytes((tag, 0x81, n))
    else:
        head = bytes((tag, 0x82, n >> 8, n & 0xFF))
    return head + body


def _integer(number):
    data = number.to_bytes(33, "big")
    at = 0
    while at < 32 and not data[at] and data[at + 1] < 0x80:
        at += 1
    return _wrap(_INTEGER, data[at:])


def signature(r, s):
    """ECDSA-Sig-Value (RFC 3279, 2.2.3)."""
    return _wrap(_SEQUENCE, _integer(r), _integer(s))


def request_info(name, point):
    """What is signed of a request: the common name, and the public point of the key."""
    attribute = _wrap(_SEQUENCE, _wrap(_OID, _COMMON_NAME), _wrap(_TEXT, name.encode()))
    key = _wrap(_SEQUENCE, _EC_KEY, _wrap(_BITS, b"\x00", point))
    return _wrap(_SEQUENCE, b"\x02\x01\x00", _wrap(_SEQUENCE, _wrap(_SET, attribute)), key, b"\xa0\x00")


def request(info, signed):
    """PKCS #10 from its info and the `signature` over that."""
    return _wrap(_SEQUENCE, info, _ECDSA, _wrap(_BITS, b"\x00", signed))


def private_key(key, point):
    """ECPrivateKey: 121 bytes."""
    octets = _wrap(_OCTETS, key.to_bytes(32, "big"))
    return _wrap(
        _SEQUENCE, b"\x02\x01\x01", octets, _wrap(0xA0, _wrap(_OID, _CURVE)), _wrap(0xA1, _wrap(_BITS, b"\x00", point))
    )


# Reading. Each takes bytes and where to begin; ValueError for anything that is not as it must be.


def _open(data, at, tag):
    """(where the content begins, where it ends) of the value at `at`, which has this tag."""
    if at + 2 > len(data) or data[at] != tag:
        raise ValueError("DER: %02x was expected at %d" % (tag, at))
    n = data[at + 1]
    at += 2
    if n > 0x7F:
        count = n & 0x7F
        n = int.from_bytes(data[at : at + count], "big")
        # One way to write a length: the shortest.
        if not 1 <= count <= 2 or n < (0x80 if count == 1 else 0x100):
            raise ValueError("DER: bad length at %d" % at)
        at += count
    if at + n > len(data):
        raise ValueError("DER: cut off")
    return at, at + n


def _number(data, at):
    """(what is a positive INTEGER, where it ends)."""
    begin, end = _open(data, at, _INTEGER)
    if begin == end or data[begin] > 0x7F or (end - begin > 1 and not data[begin] and data[begin + 1] < 0x80):
        raise ValueError("DER: bad number at %d" % at)
    return int.from_bytes(data[begin:end], "big"), end


def _seconds(data, at):
    """(a Time as Unix seconds, where it ends)."""
    short = data[at : at + 1] == bytes((_UTC,))
    begin, end = _open(data, at, _UTC if short else _TIME)
    text = data[begin:end]
    if len(text) != (13 if short else 15) or text[-1:] != b"Z" or not all(0x30 <= byte <= 0x39 for byte in text[:-1]):
        raise ValueError("DER: bad time at %d" % at)
    if short:
        text = (b"20" if text[0] < 0x35 else b"19") + text
    year = int(text[:4])
    month, day, hour, minute, second = [int(text[i : i + 2]) for i in range(4, 14, 2)]
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError("DER: bad time at %d" % at)
    # Days since 1970-01-01 of the Gregorian calendar; years that begin in March have their leap day at the end.
    if month < 3:
        year, month = year - 1, month + 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719_469
    return ((days * 24 + hour) * 60 + minute) * 60 + second, end


def _name(data, at):
    """(the common name, which must be all of a Name, where it ends)."""
    begin, end = _open(data, at, _SEQUENCE)
    inner, last = _open(data, begin, _SET)
    pair, also_last = _open(data, inner, _SEQUENCE)
    oid, oid_end = _open(data, pair, _OID)
    text, text_end = _open(data, oid_end, _TEXT if data[oid_end : oid_end + 1] == bytes((_TEXT,)) else _PRINTABLE)
    if not end == last == also_last == text_end or data[oid:oid_end] != _COMMON_NAME:
        raise ValueError("certificate: its subject is more than a common name")
    return str(data[text:text_end], "utf-8"), end


def certificate(data):
    """{"serial", "begins", "ends" (Unix seconds), "name", "point"} of a certificate for a P-256 key."""
    begin, end = _open(data, 0, _SEQUENCE)
    if end != len(data):
        raise ValueError("certificate: something follows it")
    at, body_end = _open(data, begin, _SEQUENCE)
    if data[at : at + 5] != b"\xa0\x03\x02\x01\x02":
        raise ValueError("certificate: not of version 3")
    serial, at = _number(data, at + 5)
    _, at = _open(data, at, _SEQUENCE)  # how it was signed
    _, at = _open(data, at, _SEQUENCE)  # by whom
    inner, at = _open(data, at, _SEQUENCE)
    begins, inner = _seconds(data, inner)
    ends, inner = _seconds(data, inner)
    if inner != at:
        raise ValueError("certificate: bad validity")
    name, at = _name(data, at)
    inner, key_end = _open(data, at, _SEQUENCE)
    if data[inner : inner + len(_EC_KEY)] != _EC_KEY:
        raise ValueError("certificate: not for a key of P-256")
    point, at = _open(data, inner + len(_EC_KEY), _BITS)
    if not at == key_end <= body_end or at - point != _POINT or data[point : point + 2] != b"\x00\x04":
        raise ValueError("certificate: bad key")
    return {"serial": serial, "begins": begins, "ends": ends, "name": name, "point": data[point + 1 : at]}


def signed(data):
    """(what is signed of a certificate, r, s): by ECDSA with SHA-256."""
    begin, end = _open(data, 0, _SEQUENCE)
    _, at = _open(data, begin, _SEQUENCE)
    body = data[begin:at]
    if data[at : at + len(_ECDSA)] != _ECDSA:
        raise ValueError("certificate: not signed by ECDSA with SHA-256")
    at, bits_end = _open(data, at + len(_ECDSA), _BITS)
    if data[at : at + 1] != b"\x00":
        raise ValueError("certificate: bad signature")
    at, inner_end = _open(data, at + 1, _SEQUENCE)
    r, at = _number(data, at)
    s, at = _number(data, at)
    if not at == inner_end == bits_end == end == len(data):
        raise ValueError("certificate: bad signature")
    return body, r, s


def is_authority(data):
    """Whether a certificate is of one who signs others. A node's, which everybody with a board has, is not."""
    at, end = _open(data, _open(data, 0, _SEQUENCE)[0], _SEQUENCE)
    tag = None
    while at < end:
        tag = data[at]
        begin, at = _open(data, at, tag)
    if tag != 0xA3 or at != end:  # the extensions are the last
        return False
    at, end = _open(data, begin, _SEQUENCE)
    while at < end:
        begin = at
        _, at = _open(data, at, _SEQUENCE)
        if data[begin:at] == _AUTHORITY:
            return True
    return False


def first(data):
    """(the first value, what follows it)."""
    _, end = _open(data, 0, _SEQUENCE)
    return data[:end], data[end:]


def scalar(data):
    """The number in a private key (ECPrivateKey) of P-256."""
    begin, end = _open(data, 0, _SEQUENCE)
    if data[begin : begin + 3] != b"\x02\x01\x01" or end != len(data):
        raise ValueError("key: no EC key")
    key, at = _open(data, begin + 3, _OCTETS)
    inner, _ = _open(data, at, 0xA0)
    if at - key != 32 or data[inner : inner + 10] != _wrap(_OID, _CURVE):
        raise ValueError("key: not of P-256")
    return int.from_bytes(data[key:at], "big")
