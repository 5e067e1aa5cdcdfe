"""What the room of identities shows of itself in `/metrics`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gateway.identity.refusals import KINDS
from gateway.identity.schema import STATES
from gateway.identity.store import Store

ISSUED: Final = ("token", "renewal")
"""How a certificate is asked for at the gateway."""


class Counted:
    """Lives as long as the process; `look` brings what other processes have counted."""

    def __init__(self) -> None:
        self.refused: Mapping[str, int] = dict.fromkeys(KINDS, 0)
        """By the broker, by kind."""
        self.floods = 0
        """How often a node sent more than it may."""
        self.kicked = 0
        """Connections that were taken from nodes which are revoked or on hold."""
        self._states: Mapping[str, int] = dict.fromkeys(STATES, 0)
        self._tokens = 0
        self._kept: Mapping[str, int] = Counter()

    def look(self, store: Store, now: float) -> None:
        """Blocking. Raises ConfigError when the store cannot be read."""
        self._states, self._tokens, self._kept = store.states(), store.waiting(now), Counter(store.counts())

    def collect(self) -> Iterator[Metric]:
        """For Prometheus; each has all of its labels from the start."""
        refused = CounterMetricFamily("ganglion_broker_refused", "Whom the broker refused, by kind", labels=["kind"])
        for kind, number in self.refused.items():
            refused.add_metric([kind], number)
        yield refused
        states = GaugeMetricFamily("ganglion_identities", "Certificates of nodes, by state", labels=["state"])
        for state, number in self._states.items():
            states.add_metric([state], number)
        yield states
        for name, meaning in (
            ("issued", "Certificates that the gateway gave to nodes"),
            ("refused", "Requests for a certificate that it refused"),
        ):
            family = CounterMetricFamily(f"ganglion_identity_{name}", meaning, labels=["how"])
            for how in ISSUED:
                family.add_metric([how], self._kept.get(f"{name}.{how}", 0))
            yield family
        yield GaugeMetricFamily("ganglion_identity_tokens", "Tokens that were not used yet", value=self._tokens)
        yield CounterMetricFamily("ganglion_identity_kicked", "Connections taken from barred nodes", value=self.kicked)
        yield CounterMetricFamily("ganglion_floods", "How often a node sent more than it may", value=self.floods)
