"""What is said of others where it names a node of which everything was deleted. Pure."""

import re
from typing import Final

from msgspec import structs

from gateway.detect.rule import Finding
from gateway.records import Evidence, Incident

DELETED: Final = "(deleted)"
"""Stands for its name."""


def hidden(text: str, node: str) -> str:
    """A text without the name, where it stands as a word of its own."""
    return re.sub(rf"(?<![a-z0-9-]){re.escape(node)}(?![a-z0-9-])", DELETED, text)


def names(incident: Incident, node: str) -> bool:
    """Whether an incident that is not the node's own names it."""
    return incident != without(incident, node)


def without(incident: Incident, node: str) -> Incident:
    """The same, where it does not name the node."""
    return structs.replace(
        incident,
        summary=hidden(incident.summary, node),
        nodes=tuple(each for each in incident.nodes if each != node),
        evidence=_evidence(incident.evidence, node),
        was=tuple(structs.replace(each, summary=hidden(each.summary, node)) for each in incident.was),
    )


def finding_without(finding: Finding, node: str) -> Finding:
    return structs.replace(finding, summary=hidden(finding.summary, node), evidence=_evidence(finding.evidence, node))


def _evidence(evidence: tuple[Evidence, ...], node: str) -> tuple[Evidence, ...]:
    return tuple(structs.replace(each, text=hidden(each.text, node)) for each in evidence)
