"""What proves: the audit log's chain, and the identity that signs."""

from collections.abc import Iterator
from typing import Final

from gateway.audit.reading import last_of, verify
from gateway.doctor.context import Context
from gateway.doctor.finding import Said, fault, ok, warning
from gateway.doctor.installation import ends
from gateway.signing.signer import signer_of

DAY_SECONDS: Final = 86_400
MOST: Final = 1000
UNASKED: Final = ("unasked", "found")


def audit(context: Context) -> Iterator[Said]:
    """The chain, and what was said to nodes that nobody here asked for."""
    verdict = verify(context.folder)
    if not verdict.entries:
        yield ok("there is no audit log yet")
        return
    if verdict.faults:
        first = verdict.faults[0]
        yield fault(
            f"the audit log does not hold at {len(verdict.faults)} places, first {first.where}: {first.why}",
            "find out who may write there: `ganglion audit verify` names every place; keep a copy of the folder",
        )
    else:
        yield ok(f"the audit log holds: entries {verdict.first} to {verdict.entries}")
    since = context.clock() - DAY_SECONDS
    strange = [each for each in last_of(context.folder, MOST, since=since) if each.act.split(".")[-1] in UNASKED]
    if strange:
        yield warning(
            f"{len(strange)} messages to nodes within a day that nobody asked for here, the last to {strange[-1].of}",
            "see `ganglion audit show --since 24h`; who may write there is in the broker's acl_file",
        )


def signing(context: Context) -> Iterator[Said]:
    """The identity of `[signing]`."""
    signer = signer_of(context.config)
    if signer is None:
        yield ok("incidents are not signed: there is no [signing]")
        return
    yield ends("the certificate of signing.cert", signer.ends, context.clock(), "`ganglion pki signer --renew`")
