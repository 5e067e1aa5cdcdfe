# TLS to the broker: who we are, and whom we believe.
#
# The dates of certificates are checked against the board's clock, which says 2000 until somebody has told it the time:
# the certificates of `ganglion pki` are valid from then on, so that a board can connect to be told.

import asyncio
import ssl

from node.files import ConfigError


def stranger(settings):
    """An SSLContext of who has no certificate, out of the table `mqtt.tls`.

    It believes no server whose certificate is not signed by `ca`. Raises ConfigError naming the key.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED  # the module's own default is to believe anybody
    ca = _read("ca", settings["ca"])
    try:
        made.load_verify_locations(cadata=ca)
    except (OSError, ValueError) as error:
        raise _unusable("ca", settings, error) from None
    return made


def context(settings, pair=None):
    """An SSLContext with `pair`, a key and its certificate, or else with the files that `mqtt.tls` names.

    In DER, or in PEM where the port of MicroPython knows that. Raises ConfigError naming the key.
    """
    made = stranger(settings)
    key, cert = pair or [_read(name, settings[name]) for name in ("key", "cert")]
    try:
        made.load_cert_chain(cert, key)
    except (OSError, ValueError) as error:
        # "invalid key" or "invalid cert" says which of the two files it was.
        raise _unusable("key" if "key" in str(error) else "cert", settings, error) from None
    return made


def _read(name, path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as error:
        raise ConfigError("mqtt.tls.%s: %s cannot be read, error %d" % (name, path, error.errno)) from None


def _unusable(name, settings, error):
    return ConfigError("mqtt.tls.%s: %s cannot be used: %s" % (name, settings[name], error))


class _Stream(asyncio.StreamReader):
    """Over a TLS socket. That one forgets the socket below it when the handshake fails, so both are closed."""

    def __init__(self, sock, below):
        super().__init__(sock)
        self._below = below

    async def wait_closed(self):
        self.s.close()
        self._below.close()


async def open_connection(host, port, made, name):
    """Reader and writer, with the context `made`, of a server that has a certificate for `name`.

    As `asyncio.open_connection`, but the memory for TLS is taken only when there is a connection below it, and no
    socket is left open. The handshake comes with the first write or read. That raises ValueError, in words, when the
    server's certificate is not to be believed, OSError when anything else is wrong, and waits for ever for a server
    that is silent.
    """
    reader, _ = await asyncio.open_connection(host, port)
    below = reader.s
    try:
        sock = made.wrap_socket(below, server_hostname=name, do_handshake_on_connect=False)
    except BaseException:
        below.close()
        raise
    stream = _Stream(sock, below)
    return stream, stream
