"""`ganglion update`: new firmware, from the source to the nodes."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, show_json, show_table
from gateway.config import NAME, Config, load, secret
from gateway.journal.store import Journal
from gateway.update import keys, offer
from gateway.update.errors import UpdateError
from gateway.update.package import Package
from gateway.update.store import Store

app = typer.Typer(
    help="Update nodes over the air: keygen once, then pack, sign and publish; status tells how far they are.",
    no_args_is_help=True,
)

PackageArgument = Annotated[Path, typer.Argument(help="A package of `ganglion update pack`.", metavar="FILE")]
NodeOption = Annotated[str, typer.Option(help="This node.")]
AllOption = Annotated[bool, typer.Option("--all", help="All nodes of the site.")]
SiteOption = Annotated[str, typer.Option(help="The site; may be left out where the gateway has one.")]
PassphraseOption = Annotated[
    str, typer.Option(help="Environment variable with the passphrase of the private key.", metavar="NAME")
]


@app.command()
def keygen(
    private: Annotated[Path, typer.Argument(help="Where the private key goes.", metavar="FILE")],
    public: Annotated[Path, typer.Option(help="Where the public part goes, which boards get.", metavar="FILE")] = Path(
        "update.key"
    ),
    passphrase_env: PassphraseOption = "",
) -> None:
    """Make the key pair that says who may update the boards. Keep the private part off the network.

    Example: ganglion update keygen update-private.pem --public update.key
    """
    for path in (private, public):
        if path.exists():
            raise UpdateError(f"{path} exists: boards may depend on that key; name another file")
    key = keys.generate()
    keys.save_private(key, private, secret(passphrase_env))
    keys.save_public(key.public_key(), public)
    typer.echo(f"{private} signs updates: keep it off the network, and a copy of it safe")
    typer.echo(f"{public} belongs on every board, as update.key")


@app.command()
def pack(
    board: Annotated[list[str], typer.Option(help="A board that it is for, such as esp32-devkit; may be repeated.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The package.", metavar="FILE")],
    source: Annotated[Path, typer.Option(help="The folder of the firmware.", metavar="DIR")] = Path("firmware"),
) -> None:
    """Compile firmware and pack it, not signed yet. The same source gives the same bytes.

    Example: ganglion update pack --source firmware --board esp32-devkit -o ganglion-0.2.1.update
    """
    package = Package.of_source(source, tuple(board))
    package.save(output)
    manifest = package.manifest
    typer.echo(f"{output}: version {manifest.version}, {manifest.size} bytes, sha256 {manifest.sha256}; not signed")


@app.command()
def sign(
    package: PackageArgument,
    key: Annotated[Path, typer.Option(help="The private key.", metavar="FILE")],
    passphrase_env: PassphraseOption = "",
) -> None:
    """Sign a package, in place. Needs no network and no gateway.

    Example: ganglion update sign ganglion-0.2.1.update --key update-private.pem
    """
    signed = keys.sign(Package.load(package), keys.load_private(key, secret(passphrase_env)))
    signed.save(package)
    typer.echo(f"{package} is signed: version {signed.manifest.version} for {', '.join(signed.manifest.boards)}")


@app.command()
def publish(
    package: PackageArgument,
    node: NodeOption = "",
    everyone: AllOption = False,
    site: SiteOption = "",
    public: Annotated[
        Path | None, typer.Option(help="Refuse what boards with this update.key would refuse.", metavar="FILE")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Offer a signed package to a node, or to all of a site whose board it is for. The gateway serves it from then on.

    Example: ganglion update publish ganglion-0.2.1.update --node air-0007 --site riverside
    """
    settings = load(config)
    site = _site(settings, site)
    _one_of(node, everyone)
    loaded = Package.load(package)
    manifest = loaded.manifest
    if not manifest.signature:
        raise UpdateError(f"{package} is not signed: `ganglion update sign` does it")
    if public is not None and not keys.is_signed(manifest, keys.load_public(public)):
        raise UpdateError(f"{package} was not signed with the private key that belongs to {public}")
    nodes = [(site, node)] if node else _fitting(settings, site, manifest.boards)
    for forgotten in Store(Path(settings.data_dir)).add(loaded):
        typer.echo(f"{forgotten} is forgotten: only the newest are kept")
    count = asyncio.run(offer.publish(settings.mqtt, manifest, nodes, at_shell(Path(settings.data_dir))))
    typer.echo(f"version {manifest.version} is offered to {count} node{'s' if count > 1 else ''} of {site}")


@app.command()
def status(
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """How far each node is that is offered an update, or has reported on one.

    Example: ganglion update status --site riverside
    """
    settings = load(config)
    found = asyncio.run(offer.standings(settings.mqtt, [site] if site else settings.sites))
    if json:
        show_json(found)
        return
    online = {True: "yes", False: "no", None: "?"}
    show_table(
        ["node", "online", "runs", "offered", "about", "state", "reason"],
        [
            [f"{each.site}/{each.node}", online[each.online]]
            + [text or "-" for text in (each.firmware, each.wanted, each.version, each.state, each.reason)]
            for each in found
        ],
        "no node is offered an update or has reported on one",
    )


@app.command()
def withdraw(
    node: NodeOption = "",
    everyone: AllOption = False,
    site: SiteOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take an offer back. A node that is fetching stops; one that runs the update keeps it.

    Example: ganglion update withdraw --all --site riverside
    """
    settings = load(config)
    site = _site(settings, site)
    _one_of(node, everyone)
    asker = at_shell(Path(settings.data_dir))
    found = asyncio.run(offer.withdraw(settings.mqtt, site, node or "+", asker))
    if not found:
        raise UpdateError(f"nothing is offered to {node or 'any node'} of {site}")
    for each in found:
        typer.echo(f"{'/'.join(each)} is offered nothing any more")


def _one_of(node: str, everyone: bool) -> None:
    if bool(node) == everyone:
        raise UpdateError("say for whom: --node NAME, or --all")
    if node and not re.fullmatch(NAME, node):
        raise UpdateError(f"--node {node}: a node is named with 1 to 32 of a-z, 0-9 and -")


def _site(settings: Config, site: str) -> str:
    if not site and len(settings.sites) == 1:
        return settings.sites[0]
    if site not in settings.sites:
        raise UpdateError(f"--site must be one of the gateway's: {', '.join(settings.sites)}")
    return site


def _fitting(settings: Config, site: str, boards: tuple[str, ...]) -> list[tuple[str, str]]:
    """All nodes of a site that the gateway has heard of, and whose board is one of these."""
    data_dir = Path(settings.data_dir)
    journal = Journal.open(data_dir, settings.journal.max_bytes, read_only=True)
    try:
        views = [view for view in journal.nodes() if view.site == site]
    finally:
        journal.close()
    fitting = [(site, view.node) for view in views if view.board in boards]
    if not fitting:
        raise UpdateError(f"no node with {' or '.join(boards)} was heard of at {site}; name one with --node")
    for view in views:
        if view.board not in boards:
            typer.echo(f"{site}/{view.node} is left out: its board is {view.board or 'not known'}", err=True)
    return fitting
