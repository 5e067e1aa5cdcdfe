"""What every way has in common, and which is made of which table."""

from typing import Protocol

from gateway.config import Mqtt
from gateway.notify.settings import Email, Notify, Ntfy, Topic, Webhook
from gateway.notify.targets.mail import EmailTarget
from gateway.notify.targets.mqtt import MqttTarget
from gateway.notify.targets.ntfy import NtfyTarget
from gateway.notify.targets.webhook import Document, WebhookTarget
from gateway.notify.told import Told
from gateway.signing.signer import Signer


class Target(Protocol):
    def deliver(self, told: Told, subject: str, text: str) -> str:
        """Send one message, and return what was answered, in words for people. Blocking, for half a minute at most.

        Raises Passing, Lasting, or Poison when this very message will never be taken.
        """


def make_target(table: Notify, own: Mqtt, cap: Document, signer: Signer | None = None) -> Target:
    """`own` is the gateway's broker, `cap` makes CAP documents, `signer` signs what machines are told.

    Raises ConfigError for secrets that are not set.
    """
    match table:
        case Webhook():
            return WebhookTarget(table, cap, signer=signer)
        case Email():
            return EmailTarget(table)
        case Topic():
            return MqttTarget(table, own, signer)
        case Ntfy():
            return NtfyTarget(table)
