"""`ganglion pki`: the city's own certificate authority, and an identity for whoever talks with the broker."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import identities
from gateway.cli.options import JsonOption, moment, show_json, show_table
from gateway.pki.authority import DAYS, Authority, Identity, PkiError
from gateway.pki.broker import Broker, Fleet
from gateway.pki.brokerfolder import PLACE, check_folder, checked, make

app = typer.Typer(
    help="Identities: the city's own certificate authority, and certificates for broker, gateway and nodes.",
    no_args_is_help=True,
)

for _command in (identities.token, identities.inventory, identities.hold, identities.release):
    app.command()(_command)

DirOption = Annotated[
    Path, typer.Option("--dir", envvar="GANGLION_PKI", help="The authority's folder.", metavar="FOLDER")
]
DEFAULT_DIR = Path("pki")
RenewOption = Annotated[bool, typer.Option("--renew", help="A new key and certificate in place of what there is.")]
_STOCK = Broker()
_Port = typer.Option(min=1, max=65_535)
_Days = typer.Option(min=1, max=36_500, help="How long the certificate holds.")


@app.command()
def init(
    folder: DirOption = DEFAULT_DIR,
    name: Annotated[str, typer.Option(help="What the authority is called.")] = "Ganglion authority",
    days: Annotated[int, _Days] = DAYS["ca"],
) -> None:
    """Make the authority and its issuer. Keep the folder off the broker, and keep a copy: whoever has it is anybody.

    Example: ganglion pki init --dir pki --name "City of Riverside"
    """
    if not 1 <= len(name) <= 64:
        raise PkiError("the name of an authority has 1 to 64 characters")
    authority = Authority.create(folder, name, days)
    typer.echo(f"{authority.folder}/ca.pem is for everybody, {authority.folder}/ca.key for nobody.")


@app.command()
def server(
    *,
    name: Annotated[list[str] | None, typer.Option(help="A name of the broker; may be given again.")] = None,
    ip: Annotated[list[str] | None, typer.Option(help="An address of the broker; may be given again.")] = None,
    folder: DirOption = DEFAULT_DIR,
    days: Annotated[int, _Days] = DAYS["server"],
    renew: RenewOption = False,
) -> None:
    """An identity for a broker. Nodes accept it under these names and addresses alone.

    Example: ganglion pki server --name broker.example --ip 192.168.1.10
    """
    _tell(Authority(folder).server([*(name or ()), *(ip or ())], days, renew=renew))


@app.command()
def node(
    *,
    site: Annotated[str, typer.Option(help="The node's site.")],
    node: Annotated[str, typer.Option(help="The node's name.")],
    folder: DirOption = DEFAULT_DIR,
    days: Annotated[int, _Days] = DAYS["node"],
    renew: RenewOption = False,
) -> None:
    """An identity for a node, by the issuer: what ends in .der goes onto the board, and nowhere else.

    Example: ganglion pki node --site riverside --node water-0007
    """
    _tell(Authority(folder).node(site, node, days, renew=renew))


@app.command()
def gateway(
    *,
    name: Annotated[str, typer.Option(help="Its user name at the broker.")] = "gateway",
    folder: DirOption = DEFAULT_DIR,
    days: Annotated[int, _Days] = DAYS["gateway"],
    renew: RenewOption = False,
) -> None:
    """An identity for the gateway, or for another program that may see the whole city.

    Example: ganglion pki gateway
    """
    _tell(Authority(folder).gateway(name, days, renew=renew))


@app.command()
def signer(
    *,
    name: Annotated[str, typer.Option(help="What it is called in signatures.")] = "incidents",
    folder: DirOption = DEFAULT_DIR,
    days: Annotated[int, _Days] = DAYS["signer"],
    renew: RenewOption = False,
) -> None:
    """An identity that signs incidents, for the gateway's table `signing`: whoever has ca.pem can check them.

    Example: ganglion pki signer
    """
    _tell(Authority(folder).signer(name, days, renew=renew))


@app.command()
def issuer(
    *,
    folder: DirOption = DEFAULT_DIR,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="How long it holds; else as long as the authority.")
    ] = None,
    renew: RenewOption = False,
) -> None:
    """Another issuer: the second authority, that signs nodes and nothing else that anybody believes. `init` made one.

    Example: ganglion pki issuer --renew
    """
    _tell(Authority(folder).issuer(days, renew=renew))


@app.command()
def broker(
    *,
    output: Annotated[Path, typer.Option(help="The folder to make.", metavar="FOLDER")],
    folder: DirOption = DEFAULT_DIR,
    server: Annotated[str, typer.Option(help="Which identity it has, where there are several.")] = "",
    nodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many nodes are expected.")] = _STOCK.nodes,
    listen: Annotated[str, typer.Option(help="Address for nodes; all, if not given.")] = _STOCK.nodes_listen,
    nodes_port: Annotated[int, _Port] = _STOCK.nodes_port,
    gateways_listen: Annotated[
        str, typer.Option(help="Address for gateways; if they are on another machine, firewall it to them.")
    ] = _STOCK.gateways_listen,
    gateways_port: Annotated[int, _Port] = _STOCK.gateways_port,
    queue: Annotated[int, typer.Option(min=1, help="MiB of messages that may wait for a gateway.")] = _STOCK.queue_mib,
    data: Annotated[str, typer.Option(help="Where the broker keeps what waits.")] = _STOCK.data,
    crl: Annotated[str, typer.Option(help="Where it finds what holds no more, if a gateway writes that.")] = _STOCK.crl,
    place: Annotated[str, typer.Option(help="Where the folder will lie on the broker.")] = PLACE,
    gateway: Annotated[list[str] | None, typer.Option(help="A gateway's name; may be given again.")] = None,
    also_write: Annotated[
        list[str] | None, typer.Option(help="A topic gateways write too; may be given again.")
    ] = None,
    fleet: Annotated[
        list[str] | None, typer.Option(help="Who speaks for all nodes of a site: NAME or NAME=SITE.", metavar="NAME")
    ] = None,
    reader: Annotated[list[str] | None, typer.Option(help="Who hears readings and says nothing.")] = None,
    home_assistant: Annotated[str, typer.Option(help="Home Assistant's name, if it is at this broker.")] = "",
    renew: Annotated[bool, typer.Option("--renew", help="Bring a folder up to date; its data stays.")] = False,
) -> None:
    """All that Mosquitto needs: its configuration with every limit, who may do what, whom it believes, who it is.

    The names are those of identities made by `ganglion pki gateway --name`.

    Example: ganglion pki broker --dir pki --output broker --nodes 300
    """
    settings = checked(
        Broker(
            nodes=nodes,
            nodes_listen=listen,
            nodes_port=nodes_port,
            gateways_listen=gateways_listen,
            gateways_port=gateways_port,
            queue_mib=queue,
            data=data,
            crl=crl,
            gateways=tuple(gateway or _STOCK.gateways),
            also_write=tuple(also_write or ()),
            fleets=tuple(Fleet(*each.split("=", 1)) for each in fleet or ()),
            readers=tuple(reader or ()),
            home_assistant=home_assistant,
        )
    )
    who = make(Authority(folder), settings, output, server=server, place=place, renew=renew)
    typer.echo(f"{output}: for {' '.join(who.hosts)}; {output}/mosquitto.service.conf says how it is started.")


@app.command()
def check(
    *,
    broker: Annotated[Path, typer.Option(help="The broker's folder.", metavar="FOLDER")],
    crl: Annotated[
        Path | None, typer.Option(help="Its list, if not the one that its mosquitto.conf names.", metavar="FILE")
    ] = None,
) -> None:
    """Whether the broker may read its list of what holds no more again: with a damaged one it lets in who was shut out.

    Example: ganglion pki check --broker /etc/mosquitto/ganglion
    """
    typer.echo(f"{check_folder(broker, crl)} holds a list of each authority, and may be read")


@app.command("list")
def list_(folder: DirOption = DEFAULT_DIR, json: JsonOption = False) -> None:
    """Everything that was signed, and whether it holds.

    Example: ganglion pki list --json
    """
    signed = Authority(folder).identities()
    if json:
        show_json(signed)
        return
    show_table(
        ["kind", "name", "hosts", "state", "ends", "serial"],
        [[each.kind, each.name, " ".join(each.hosts), each.state, moment(each.ends), each.serial] for each in signed],
        "nothing was signed yet",
    )


@app.command()
def revoke(
    context: typer.Context,
    who: Annotated[str, typer.Argument(help="A name, such as riverside/water-0007, or a serial number.")],
    folder: DirOption = DEFAULT_DIR,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="GANGLION_CONFIG",
            help="At a gateway with the table `identity` instead, within a minute.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Take an identity back: of a node that was stolen, or a key that was seen.

    At the authority crl.pem has to be given to the broker afterwards; a gateway does all by itself.

    Examples: ganglion pki revoke riverside/water-0007 --dir pki

    ganglion pki revoke riverside/water-0007 --config /etc/ganglion/ganglion.toml
    """
    typed = [name for name in ("folder", "config") if _typed(context, name)]
    if "folder" in typed:
        if "config" in typed:
            raise PkiError("--dir takes back at the authority, --config at a gateway: name one of them")
        config = None
    if config is None and not (folder / "ca.pem").exists():
        raise PkiError(f"{folder} holds no authority: name its folder by --dir, or a gateway's file by --config")
    if config is not None:
        identities.revoke(who, config)
        return
    revoked = Authority(folder).revoke(who)
    for each in revoked:
        typer.echo(f"revoked {each.kind} {each.name}, serial {each.serial}")
    if any(each.kind == "issuer" for each in revoked):
        typer.echo("All nodes that it signed are out with it: they need new identities.")
        typer.echo("Make the broker's folder again, `ganglion pki broker --renew`, and restart the broker with it.")
    else:
        typer.echo(f"Give {folder}/crl.pem to the broker and have it reload: until then nothing has changed there.")


def _typed(context: typer.Context, parameter: str) -> bool:
    """Whether it was given on the command line: the environment's may be meant for another command."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _tell(identity: Identity) -> None:
    typer.echo(f"{identity.kind} {identity.name}: {identity.folder}, holds until {moment(identity.ends)}")
