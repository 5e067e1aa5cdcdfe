"""A mail, by SMTP: plain text, one thread for each incident."""

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from gateway.errors import Lasting, Passing, Poison, TargetError
from gateway.notify.settings import Email
from gateway.notify.told import Told
from gateway.secret import redacted, secret_of

SECONDS: Final = 10.0
"""For each word of the server's."""


class EmailTarget:
    def __init__(self, table: Email) -> None:
        """Raises ConfigError for a password that is not set."""
        self._table = table
        self._password = secret_of(table, "password")
        self._where = f"{table.host}:{table.port}"

    def deliver(self, told: Told, subject: str, text: str) -> str:
        message = compose(self._table, told, subject, text)
        try:
            with self._connected() as server:
                refused = server.send_message(message, self._table.sender, self._table.to)
        except smtplib.SMTPException as error:
            raise judge(self._where, error) from error
        except ssl.SSLError as error:
            raise Lasting(f"{self._where}: TLS fails: {error}; to do: check security, port and ca") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be a host's
            words = getattr(error, "strerror", None) or str(error)
            raise Passing(f"{self._where} does not answer: {words}; to do: check host and port") from error
        taken = [each for each in self._table.to if each not in refused]
        return f"{self._where} took it for {', '.join(taken)}" + "".join(
            f"; refused for {each}: {_words(code, said)}" for each, (code, said) in refused.items()
        )

    def _connected(self) -> smtplib.SMTP:
        table = self._table
        context = ssl.create_default_context(cafile=table.ca or None)
        server = (
            smtplib.SMTP_SSL(table.host, table.port, timeout=SECONDS, context=context)
            if table.security == "tls"
            else smtplib.SMTP(table.host, table.port, timeout=SECONDS)
        )
        try:
            if table.security == "starttls":
                server.starttls(context=context)
            if table.username:
                server.login(table.username, self._password)
        except BaseException:
            server.close()
            raise
        return server


def compose(table: Email, told: Told, subject: str, text: str) -> EmailMessage:
    """The mail; the same for the same message, so that whoever gets it twice sees that."""
    domain = table.sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["From"] = table.sender
    message["To"] = ", ".join(table.to)
    message["Subject"] = " ".join(subject.split())  # a line break would begin another header
    message["Date"] = format_datetime(datetime.fromtimestamp(told.time, UTC))
    message["Message-ID"] = f"<{told.key}@{domain}>"
    if told.thread:
        message["In-Reply-To"] = message["References"] = f"<{told.thread}@{domain}>"
    message["List-Id"] = f"Ganglion {told.target} <{told.target}.ganglion.{domain}>"
    message["List-Unsubscribe"] = f"<mailto:{table.sender}?subject=unsubscribe%20{told.target}>"
    message["Auto-Submitted"] = "auto-generated"
    if told.severity == "critical" and told.event not in ("closed", "acknowledged"):
        message["Importance"] = "high"
    message.set_content(text, cte="quoted-printable")
    return message


def judge(where: str, error: smtplib.SMTPException) -> TargetError:
    """What a server's refusal means: 4yz passes; 5yz of the text is this message's fault, of all else a person's
    (RFC 5321 §4.2.1)."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code = min(code for code, _ in refused.values())
            said = "no recipient: " + "; ".join(f"{each}: {_words(*words)}" for each, words in refused.items())
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=words):
            said = _words(code, words)
        case smtplib.SMTPServerDisconnected():
            code, said = 421, str(error)
        case _:
            code, said = 500, str(error)
    if 400 <= code < 500:
        return Passing(f"{where} says: {said}; to do: nothing, it is tried again")
    if isinstance(error, smtplib.SMTPDataError):
        return Poison(f"{where} says: {said}; to do: see why it does not take this message", rest_written=False)
    return Lasting(f"{where} says: {said}; to do: check to, from, username, the password and security")


def _words(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return redacted(" ".join(f"{code} {text}".split()))[:300]
