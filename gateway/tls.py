"""HTTPS on the gateway's own ports: the certificate that is shown, and how programs of this machine know it again."""

import asyncio
import hashlib
import logging
import ssl
from pathlib import Path
from typing import Final

import urllib3

from gateway.config import Http
from gateway.errors import ConfigError
from gateway.files import stamp

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""How often the files are looked at, so that a renewed certificate is shown without a restart."""
HANDSHAKE_SECONDS: Final = 10.0
"""For a handshake, after which nobody holds a connection by one that never ends."""


class Identity:
    """Certificate and key of one port."""

    def __init__(self, settings: Http, key: str) -> None:
        """`key` is the table of the settings. Raises ConfigError for files that cannot be used."""
        self._files = Path(settings.cert), Path(settings.key)
        self._stamp = stamp(*self._files)
        try:
            self.context = self._context()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{key}.cert, {key}.key: {settings.cert} and {settings.key} cannot be used: {_words(error)}; give a "
                "certificate and its key, both PEM, the key without a password"
            ) from error

    async def watch(self) -> None:
        """Take the files anew when they have changed, until cancelled. What cannot be used is logged and not taken."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = stamp(*self._files)
            if found == self._stamp:
                continue
            self._stamp = found
            try:
                self._context()  # first beside the one in use, which a certificate without its key would spoil
                self._load(self.context)
            except (OSError, ValueError) as error:
                log.error("the changed %s cannot be used, the one before goes on: %s", self._files[0], _words(error))
            else:
                log.warning("the changed certificate of %s is taken", self._files[0])

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # TLS 1.2: keys of their own for each connection, and no mode that has been broken.
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(*self._files, password="")


def local_pool(settings: Http, timeout: urllib3.Timeout | float) -> urllib3.PoolManager:
    """For programs of this machine that ask `settings.url`. They believe the very certificate that is configured,
    whatever its names and whoever signed it. Without retries and redirects. Raises ConfigError where it cannot be
    read."""
    if not settings.cert:
        return urllib3.PoolManager(maxsize=1, retries=False, timeout=timeout)
    known = _fingerprint(settings.cert)
    return urllib3.PoolManager(
        maxsize=1, retries=False, timeout=timeout, cert_reqs=ssl.CERT_NONE, assert_fingerprint=known
    )


def _fingerprint(file: str) -> str:
    """SHA-256 of the first certificate, in hex."""
    try:
        text = Path(file).read_text(encoding="ascii")
        begin = text.index("-----BEGIN CERTIFICATE-----")
        end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end])).hexdigest()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is no readable PEM certificate: {_words(error)}; check http.cert") from error


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
