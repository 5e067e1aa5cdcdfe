"""`ganglion update`: new firmware, from the source to the nodes."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.audit.asker import at_shell
from gateway.cli.flash import FIRMWARE
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, show_json, show_table
from gateway.config import A_NAME, NAME, Config, load
from gateway.journal.store import Journal
from gateway.secret import secret, secret_in
from gateway.update import keys, offer
from gateway.update.delegation import MAX_SERIAL, Delegation
from gateway.update.errors import UpdateError
from gateway.update.package import Manifest, Package
from gateway.update.store import Store

app = typer.Typer(
    help="Update nodes over the air: keygen and delegate once, then pack, sign and publish; status tells how far.",
    no_args_is_help=True,
)

PackageArgument = Annotated[Path, typer.Argument(help="A package of `ganglion update pack`.", metavar="FILE")]
NodeOption = Annotated[str, typer.Option(help="This node.")]
AllOption = Annotated[bool, typer.Option("--all", help="All nodes of the site.")]
SiteOption = Annotated[str, typer.Option(help="The site; may be left out where the gateway has one.")]
PassphraseOption = Annotated[
    str, typer.Option(help="Environment variable with the passphrase of the private key.", metavar="NAME")
]
PassphraseFileOption = Annotated[
    Path | None, typer.Option(help="File with that passphrase, which only you may read.", metavar="FILE")
]


@app.command()
def keygen(
    private: Annotated[Path, typer.Argument(help="Where the private key goes.", metavar="FILE")],
    public: Annotated[Path, typer.Option(help="Where the public part goes.", metavar="FILE")] = Path("update.key"),
    passphrase_env: PassphraseOption = "",
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Make a key pair: the anchor, whose public part boards hold as update.key, or a signing key to be delegated to.

    Example: ganglion update keygen anchor.pem --public update.key --passphrase-file anchor.pass
    """
    for path in (private, public):
        if path.exists():
            raise UpdateError(f"{path} exists: boards may depend on that key; name another file")
    passphrase = _passphrase(passphrase_env, passphrase_file)
    key = keys.generate()
    keys.save_private(key, private, passphrase)
    keys.save_public(key.public_key(), public)
    typer.echo(f"{private} signs: keep it off the network, and a copy of it safe")
    typer.echo(f"{public} is its public part: an anchor's goes onto every board, a signing key's to `update delegate`")
    if not passphrase:
        typer.echo(f"{private} has no passphrase: whoever reads the file can sign", err=True)


@app.command()
def delegate(
    anchor: Annotated[Path, typer.Option(help="The anchor's private key.", metavar="FILE")],
    serial: Annotated[
        int, typer.Option(min=1, max=MAX_SERIAL, help="Higher than that of every delegation before.", metavar="N")
    ],
    key: Annotated[Path, typer.Option(help="The public part of the signing key.", metavar="FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The delegation.", metavar="FILE")],
    passphrase_env: PassphraseOption = "",
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Let a signing key sign updates, and end those before it. Done where the anchor is: off-line, needs no gateway.

    A board that has seen this delegation in use refuses all with a lower serial.

    Example: ganglion update delegate --anchor anchor.pem --serial 2 --key signing-2.pub -o signing-2.delegation
    """
    secret_key = keys.load_private(anchor, _passphrase(passphrase_env, passphrase_file))
    made = keys.delegate(secret_key, serial, keys.load_public(key))
    made.save(output)
    typer.echo(f"{output}: delegation {serial} to {key}. It is no secret; write its number down beside the anchor")


@app.command()
def pack(
    board: Annotated[list[str], typer.Option(help="A board that it is for, such as esp32-devkit; may be repeated.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The package.", metavar="FILE")],
    source: Annotated[
        Path, typer.Option(help="The folder of the firmware.", metavar="DIR", show_default="this project's")
    ] = FIRMWARE,
) -> None:
    """Compile firmware and pack it, not signed yet. The same source gives the same bytes.

    Example: ganglion update pack --board esp32-devkit -o ganglion-0.2.1.update
    """
    package = Package.of_source(source, tuple(board))
    package.save(output)
    manifest = package.manifest
    typer.echo(f"{output}: version {manifest.version}, {manifest.size} bytes, sha256 {manifest.sha256}; not signed")


@app.command()
def sign(
    package: PackageArgument,
    key: Annotated[Path, typer.Option(help="The private key.", metavar="FILE")],
    delegation: Annotated[
        Path | None, typer.Option(help="What the anchor says of this key; none for the anchor itself.", metavar="FILE")
    ] = None,
    passphrase_env: PassphraseOption = "",
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Sign a package, in place. Needs no network and no gateway.

    Example: ganglion update sign ganglion-0.2.1.update --key signing-2.pem --delegation signing-2.delegation
    """
    by = Delegation.load(delegation) if delegation else None
    private = keys.load_private(key, _passphrase(passphrase_env, passphrase_file))
    signed = keys.sign(Package.load(package), private, by)
    signed.save(package)
    whose = f"delegation {by.serial}" if by else "the anchor"
    manifest = signed.manifest
    typer.echo(f"{package} is signed by {whose}: version {manifest.version} for {', '.join(manifest.boards)}")


@app.command()
def verify(
    package: PackageArgument,
    public: Annotated[Path, typer.Option(help="The boards' update.key.", metavar="FILE")] = Path("update.key"),
) -> None:
    """Say whether boards with this update.key would believe a package. Needs no gateway.

    Example: ganglion update verify ganglion-0.2.1.update --public update.key
    """
    manifest = Package.load(package).manifest
    _believed(package, manifest, public)
    whose = f"delegation {manifest.by.serial}" if manifest.by else "the anchor itself"
    typer.echo(f"{package}: version {manifest.version} for {', '.join(manifest.boards)}, signed by {whose}")


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
    store = Store(Path(settings.data_dir))
    if public is not None:
        anchor = _believed(package, manifest, public)
        newest = keys.newest_serial(store.manifests(), anchor)
        if manifest.by and manifest.by.serial < newest:
            raise UpdateError(
                f"{package} is signed by delegation {manifest.by.serial}, and boards have been offered {newest}, "
                "after which they refuse it: sign it with the newest key"
            )
    nodes = [(site, node)] if node else _fitting(settings, site, manifest.boards)
    for forgotten in store.add(loaded):
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


def _passphrase(variable: str, file: Path | None) -> str:
    """Of a private key; empty when none is named. Raises UpdateError, ConfigError."""
    if variable and file is not None:
        raise UpdateError("give --passphrase-env or --passphrase-file, not both")
    return secret(variable) if file is None else secret_in(file)


def _believed(package: Path, manifest: Manifest, public: Path) -> RSAPublicKey:
    """The anchor, when it would take the manifest. Raises UpdateError."""
    anchor = keys.load_public(public)
    if refusal := keys.refusal(manifest, anchor):
        raise UpdateError(f"boards with {public} would refuse {package}: {refusal}")
    return anchor


def _one_of(node: str, everyone: bool) -> None:
    if bool(node) == everyone:
        raise UpdateError("say for whom: --node NAME, or --all")
    if node and not re.fullmatch(NAME, node):
        raise UpdateError(f"--node {node}: a node is named with {A_NAME}")


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
