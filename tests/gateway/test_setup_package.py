"""The Debian package, built and installed for real: in a Debian of its own, which only root can make."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and the Debian package mmdebstrap"
    ),
]

CHECK = """
set -eux
# A network that leads nowhere, but to itself.
python3 -c 'import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 65))'
dpkg -i /ganglion.deb
ganglion --help >/dev/null
test "$(stat -c %U:%G:%a /etc/ganglion)" = root:ganglion:750
test -e /lib/systemd/system/ganglion-gateway.service
test -e /usr/share/doc/ganglion/ganglion.cdx.json
test -e /lib/systemd/system/ganglion-broker.path
test -e /lib/systemd/system/ganglion-broker.service
test "$(stat -c %U:%G:%a /var/lib/ganglion-crl)" = ganglion:ganglion:755
test -e /usr/share/ganglion/grafana/dashboards/city.json
test -e /usr/share/ganglion/grafana/provisioning/datasources/ganglion.yaml
sed -i 's/riverside/hill/; s/#port = 1883/port = 9/' /etc/ganglion/ganglion.toml
install -d -o ganglion /var/lib/ganglion
su -s /bin/sh ganglion -c 'timeout -s TERM 20 ganglion gateway --config /etc/ganglion/ganglion.toml' 2>/said &
gateway=$!
until test -e /var/lib/ganglion/journal.sqlite3; do kill -0 $gateway; sleep 0.2; done
until ganglion ledger --config /etc/ganglion/ganglion.toml; do kill -0 $gateway; sleep 0.2; done
wait $gateway || test $? = 124
# Looking as root leaves nothing that the service could not open.
test -z "$(find /var/lib/ganglion ! -user ganglion)"
dpkg -i /ganglion.deb
grep -q hill /etc/ganglion/ganglion.toml
dpkg --verify ganglion | grep -v ' c /etc/ganglion/ganglion.toml' && exit 1
dpkg --remove ganglion
test -e /etc/ganglion/ganglion.toml
test -e /var/lib/ganglion/journal.sqlite3
dpkg --purge ganglion
test ! -e /etc/ganglion
test ! -e /var/lib/ganglion
test ! -e /var/lib/ganglion-crl
test ! -e /usr/lib/ganglion
! id ganglion
"""


def test_from_the_package_to_a_running_gateway_and_back(tmp_path: Path) -> None:
    """Built; installed on a bare Debian without a network; run; upgraded, which keeps what a person changed; removed,
    which keeps the data; purged, which keeps nothing."""
    subprocess.run([ROOT / "gateway/setup/deb/build"], check=True, timeout=SECONDS)
    (package,) = (ROOT / "dist").glob("ganglion_*.deb")
    (tmp_path / "check").write_text(CHECK)
    suite = next(
        line.partition("=")[2]
        for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    done = subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,adduser"),
            f"--customize-hook=copy-in {tmp_path / 'check'} /",
            f"--customize-hook=upload {package} /ganglion.deb",
            '--customize-hook=unshare --net chroot "$1" sh /check',
            *(suite, "/dev/null"),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
