"""The whole gateway tells: over kills, with dead targets beside living ones, by its commands and by a changed file."""

import json
import time
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.notify.state import who_was_told
from gateway.records import Incident
from sim_hardware.servers import Mosquitto, free_port, wait_until
from tests.gateway.commandline import sentence
from tests.gateway.hooked import Hook, Mailbox, mail_server
from tests.system.gateway_process import SECONDS, GatewayProcess, Publisher
from tests.system.test_gateway_promises import message


def tell(gateway: GatewayProcess, *tables: str) -> None:
    """Write these `[[notify]]` tables into the configuration, in place of those that were there."""
    text = gateway.config.read_text().partition("[[notify]]")[0]
    gateway.write_config(text + "".join(f"[[notify]]\n{table}\n" for table in tables))


def hook_table(name: str, url: str, more: str = "") -> str:
    return f'name = "{name}"\nvia = "webhook"\nurl = "{url}"\n{more}'


def invoke(gateway: GatewayProcess, *words: str) -> Result:
    """A command, in this process: a start of its own for each takes longer than all else."""
    return CliRunner().invoke(make_app(), words, env={"GANGLION_CONFIG": str(gateway.config)})  # type: ignore[return-value]


def drill(gateway: GatewayProcess, *words: str) -> str:
    """Its id."""
    done = invoke(gateway, "incidents", "drill", *words)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def stand(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    found = map(json.loads, invoke(gateway, "notify", "--json").stdout.splitlines())
    return next(each for each in found if each["name"] == name)


def metric(gateway: GatewayProcess, name: str, target: str, value: float) -> Callable[[], bool]:
    return lambda: f'ganglion_notify_{name}{{target="{target}"}} {value}' in gateway.get("/metrics")[1].splitlines()


def test_a_gateway_that_is_killed_between_accept_and_delivery_tells_all_the_same(gateway: GatewayProcess) -> None:
    """One that is away, one that has taken the message and not answered, and a living one that is told once."""
    away = free_port()
    with Hook() as living, Hook() as hanging:
        hanging.silent.set()
        tell(
            gateway,
            hook_table("away", f"http://127.0.0.1:{away}"),
            hook_table("hanging", hanging.url),
            hook_table("living", living.url),
        )
        wait_until(metric(gateway, "waiting", "living", 0.0), SECONDS, "the changed configuration")
        name = drill(gateway, "burst", "--site", "riverside")
        wait_until(lambda: len(living.posted) == 1, SECONDS, "the living one is told")
        wait_until(metric(gateway, "sent_total", "living", 1.0), SECONDS, "that is kept")
        wait_until(hanging.held.is_set, SECONDS, "the other has it and does not answer")
        wait_until(metric(gateway, "failing", "away", 1.0), SECONDS, "the one that is away is noticed")
        assert stand(gateway, "away")["waiting"] == 1
        gateway.kill()
        hanging.silent.clear()
        with Hook(away) as back:
            gateway.start()
            wait_until(lambda: len(back.posted) == len(hanging.posted) == 1, SECONDS, "all are told")
            assert invoke(gateway, "incidents", "end", name).exit_code == 0
            hooks = (living, hanging, back)
            wait_until(lambda: all(len(each.posted) == 2 for each in hooks), SECONDS, "and that it is over")
            for hook in hooks:
                assert hook.told() == [("incident.opened", [name]), ("incident.closed", [name])]
                assert all(each.json["data"]["exercise"] for each in hook.posted)
    assert gateway.stop() == 0


def test_people_are_told_by_mail_of_what_nodes_measure(gateway: GatewayProcess, broker: Mosquitto) -> None:
    """A real incident, from the node's packs to the mailbox."""
    box = Mailbox()
    with mail_server(box) as port:
        tell(
            gateway,
            f'name = "duty"\nvia = "email"\nto = ["duty@city.example"]\nfrom = "g@city.example"\nhost = "127.0.0.1"\n'
            f'port = {port}\nsecurity = "none"\nkinds = ["tamper"]\n',
        )
        wait_until(metric(gateway, "waiting", "duty", 0.0), SECONDS, "the changed configuration")
        now = int(time.time())
        with Publisher(broker) as publisher:
            publisher.send([message(1, 0, time_=now)])
            publisher.send([tampered(now)])
        wait_until(lambda: len(box.mails) == 1, SECONDS, "a mail")
        mail: EmailMessage = box.mails[0]
        assert mail["Subject"] == "Housing open (warning): air-0001, riverside"
        assert f"tamper.riverside.air-0001.{now}" in mail.get_content()
    journal = gateway.journal()
    found: list[Incident] = journal.incidents()
    journal.close()
    assert [each.kind for each in found] == ["tamper"]


def tampered(now: int) -> tuple[str, bytes]:
    body = (
        f'[{{"bn":"riverside/air-0001/","bt":{now},"n":"boot","v":1}},{{"n":"seq","v":1}},{{"n":"tamper","vb":true}}]'
    )
    return "ganglion/v1/riverside/air-0001/event", body.encode()


def test_the_commands_of_the_one_who_is_told(gateway: GatewayProcess) -> None:
    """With and without a gateway that runs."""
    assert "there is no [[notify]] table" in invoke(gateway, "notify").stdout
    with Hook() as hook:
        dead = f"http://127.0.0.1:{free_port()}"
        tell(gateway, hook_table("duty", hook.url), hook_table("dead", dead))
        wait_until(metric(gateway, "waiting", "duty", 0.0), SECONDS, "the changed configuration")
        for _ in range(2):
            done = invoke(gateway, "notify", "test", "duty")
            assert (done.exit_code, done.stdout) == (0, "duty is told: 204\n")
            done = invoke(gateway, "notify", "test", "dead")
            assert done.exit_code == 1
            assert f"dead is not told: {dead} does not answer: Connection refused" in done.stdout
            done = invoke(gateway, "notify", "test", "dut")
            assert sentence(done) == "notify: there is no 'dut'; the nearest is duty"
            assert (stand(gateway, "duty")["via"], stand(gateway, "duty")["sent"]) == ("webhook", 0)
            if gateway.process is not None:
                gateway.stop()
        assert [each.json["type"] for each in hook.posted] == ["test", "test"]
        # A drill that is made while no gateway runs is told by the next one.
        name = drill(gateway, "jam", "--site", "riverside", "--minutes", "5", "--severity", "critical")
        shown = invoke(gateway, "incidents", "show", name).stdout
        assert "exercise" in shown
        assert "jam, critical" in shown
        done = invoke(gateway, "incidents", "drill", "jamm", "--site", "riverside")
        assert sentence(done) == "kind: there is no 'jamm'; the nearest is jam"
        gateway.start()
        wait_until(lambda: len(hook.posted) == 3, SECONDS, "the drill is told")
        assert hook.told()[2] == ("incident.opened", [name])


def test_who_was_told_of_what(gateway: GatewayProcess) -> None:
    """By the way and the name of each target, for reports; of one that nobody is told of there is nothing."""
    with Hook() as duty:
        tell(gateway, hook_table("duty", duty.url, 'kinds = ["burst"]\n'))
        wait_until(metric(gateway, "waiting", "duty", 0.0), SECONDS, "the gateway to know the target")
        name = drill(gateway, "burst", "--site", "riverside")
        other = drill(gateway, "jam", "--site", "riverside")
        wait_until(lambda: bool(duty.posted), SECONDS, "the message")
        told = who_was_told(gateway.folder / "data")
        assert told[name] == ("webhook to duty",)
        assert other not in told
