"""`ganglion pki token`, `inventory`, `hold`, `release`, and `revoke --config`: identities at a running gateway."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, show_json, show_table
from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.near import hint
from gateway.pki.authority import Identity, PkiError
from gateway.pki.names import why_no_node

if TYPE_CHECKING:
    from gateway.identity.store import Store
    from gateway.records import NodeView

_Name = Annotated[str, typer.Argument(help="The node, such as riverside/water-0007.", metavar="SITE/NODE")]


def token(
    *,
    site: Annotated[str, typer.Option(help="The node's site.")],
    node: Annotated[str, typer.Option(help="The node's name.")],
    hours: Annotated[float, typer.Option(min=0.1, max=24 * 30, help="How long it may be used.")] = 24,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """A token by which a node in the field fetches a certificate, once. It is shown now and never again.

    Example: ganglion pki token --site riverside --node water-0007
    """
    settings, store = _opened(config)
    assert settings.identity is not None
    if site not in settings.sites:
        raise PkiError(f"there is no site {site} here{hint(site, settings.sites)}")
    if why := why_no_node(site, node):
        raise PkiError(why)
    if not settings.identity.listen:
        raise ConfigError(f"{config}: identity.listen: is missing, so no node could use a token; name an address")
    name, port = f"{site}/{node}", settings.identity.listen.rpartition(":")[2]
    host = _host(Path(settings.identity.cert))
    at_shell(Path(settings.data_dir)).asks("identity.token", name, {"hours": hours})
    fresh = store.token(name, hours * 3600, time.time())
    typer.echo(f"For {name}, once, until {moment(time.time() + hours * 3600)}. In its config.json, below mqtt.tls:")
    enrol = {"url": f"https://{f'[{host}]' if ':' in host else host}:{port}", "token": fresh}
    typer.echo(f'"enrol": {msgspec.json.encode(enrol).decode()}')
    if settings.identity.nodes:
        typer.echo(f"Its broker, mqtt.host and mqtt.port, is {settings.identity.nodes}.")


def inventory(
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    learn: Annotated[
        Path | None,
        typer.Option(help="First take note of what the authority signed: `ganglion pki list --json`.", metavar="FILE"),
    ] = None,
) -> None:
    """Which node has which certificate, until when, and what somebody should look at.

    Example: ganglion pki inventory --json
    """
    from gateway.identity import lists
    from gateway.identity.inventory import inventory as lines_of

    settings, store = _opened(config)
    assert settings.identity is not None
    if learn is not None:
        typer.echo(f"{store.learn(_read(learn), time.time())} were not known", err=True)
    listed = lists.serials(lists.read(Path(settings.identity.ca_crl)))
    lines = lines_of(store.certificates(), store.barred(), _views(settings), listed, time.time())
    if json:
        show_json(lines)
        return
    show_table(
        ["node", "state", "how", "ends", "used", "last heard", "serial", "note"],
        [
            [
                each.name, each.state, each.how or "-", moment(each.ends), "yes" if each.used else "-",
                moment(each.seen), each.serial or "-", each.note,
            ]
            for each in lines
        ],
        "no certificate is known, and no node was heard",
    )  # fmt: skip


def hold(
    name: _Name,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="For how long; without it until released.")] = None,
    why: Annotated[str, typer.Option(help="For the inventory and the audit log.")] = "by hand",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Keep a node out for a while. Its connection is ended within a minute.

    Example: ganglion pki hold riverside/water-0007 --minutes 60
    """
    from gateway.identity.service import hold as hold_it

    settings, store = _opened(config)
    views = _views(settings)
    _known(name, store, views)
    at_shell(Path(settings.data_dir)).asks("identity.hold", name, {"why": why, "minutes": minutes})
    hold_it(store, views, name, None if minutes is None else minutes * 60, why)
    typer.echo(f"{name} is on hold {'until it is released' if minutes is None else f'for {minutes:g} min'}")
    _advise(settings, store, name)


def release(name: _Name, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let a node in again that was on hold. A certificate that was revoked stays so.

    Example: ganglion pki release riverside/water-0007
    """
    settings, store = _opened(config)
    if name not in {each.name for each in store.barred()}:
        raise PkiError(f"{name} is not on hold: see `ganglion pki inventory`")
    at_shell(Path(settings.data_dir)).asks("identity.release", name)
    store.release(name)
    typer.echo(f"{name} may connect again by any certificate that is not revoked")


def revoke(who: str, config: Path) -> None:
    """At the gateway: see `ganglion pki revoke`."""
    from gateway.identity.service import claims

    settings, store = _opened(config)
    views = _views(settings)
    if "/" in who:
        _known(who, store, views)
        if who in (said := claims(views)):
            store.hear(who, *said[who], time.time())
    elif who not in {each.serial for each in store.certificates()}:
        raise PkiError(f"{who} is neither SITE/NODE nor a serial number known here: see `ganglion pki inventory`")
    at_shell(Path(settings.data_dir)).asks("identity.revoke", who)
    for each in store.revoke(who, time.time()):
        typer.echo(f"revoked node {each.name}, serial {each.serial}")
    typer.echo("The gateway tells the broker, and ends the connection, within a minute.")
    _advise(settings, store, who)


def _opened(path: Path) -> "tuple[Config, Store]":
    from gateway.identity.store import Store

    settings = load(path, None)
    if settings.identity is None:
        raise ConfigError(f"{path}: there is no [identity], so this gateway issues and revokes nothing: add the table")
    return settings, Store(Path(settings.data_dir))


def _views(settings: Config) -> "list[NodeView]":
    from gateway.journal.store import Journal

    try:
        journal = Journal.open(Path(settings.data_dir), settings.journal.max_bytes, read_only=True)
    except ConfigError:  # no gateway has run yet
        return []
    try:
        return journal.nodes()
    finally:
        journal.close()


def _known(name: str, store: "Store", views: "list[NodeView]") -> None:
    names = {each.name for each in store.certificates()} | {f"{view.site}/{view.node}" for view in views}
    if name not in names:
        raise PkiError(f"there is no node {name}{hint(name, names)}")


def _advise(settings: Config, store: "Store", who: str) -> None:
    """What the issuer cannot take back."""
    assert settings.identity is not None
    known = [each for each in store.certificates() if who in (each.name, each.serial)]
    if all(each.how == "said" for each in known):
        word = ", only what the node itself says" if known else ""
        typer.echo(
            f"No certificate of it is known for certain{word}. Whatever it has, the broker may go on taking it, and "
            "the gateway throws it out each time: say what was signed by `ganglion pki inventory --learn`, then repeat."
        )
    elif any(each.how in ("flash", "said") for each in known):
        typer.echo(
            "One of its certificates was not issued here. If a former issuer signed it, the broker goes on taking it, "
            "and the gateway throws the node out each time, until the authority's list has it: "
            f"`ganglion pki revoke {who} --dir ...`, then copy crl.pem to {settings.identity.ca_crl}."
        )


def _host(certificate: Path) -> str:
    """The first name that a server's certificate bears."""
    from cryptography import x509

    from gateway.pki.certificates import hosts_of

    try:
        return hosts_of(x509.load_pem_x509_certificate(certificate.read_bytes()))[0]
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"{certificate} is no readable certificate of a server: see identity.cert") from error


def _read(path: Path) -> list[tuple[str, str, int]]:
    """(serial, name, end) of the nodes' certificates that hold, of what `ganglion pki list --json` says."""
    try:
        identities = [msgspec.json.decode(line, type=Identity) for line in path.read_bytes().splitlines() if line]
    except (OSError, msgspec.DecodeError) as error:
        raise PkiError(f"{path} is not what `ganglion pki list --json` says: {error}") from error
    return [
        (each.serial, each.name, each.ends)
        for each in identities
        if each.kind == "node" and each.state in ("valid", "renewed")
    ]
