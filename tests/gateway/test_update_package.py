"""Archives, packages, keys and the store of packages."""

import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.update import archive, keys
from gateway.update.compile import ImageError, compile_tree
from gateway.update.errors import UpdateError
from gateway.update.package import Manifest, Package, slot_mark, source_version
from gateway.update.store import MOST_PACKAGES, Store
from tests.firmware.packages import key, other_key

MAIN = b"M\x06\x00\x1f"
BOARDS = ("esp32-devkit",)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/".join(names) + ".mpy")


def make(version: str = "1.2.3", **more: bytes) -> Package:
    return Package.make({"main.mpy": MAIN, **{f"{name}.mpy": data for name, data in more.items()}}, version, BOARDS)


@given(st.dictionaries(PATHS, st.binary(max_size=300), min_size=1, max_size=20))
def test_an_archive_gives_back_what_was_packed(files: dict[str, bytes]) -> None:
    packed = archive.pack(files)
    assert archive.unpack(packed) == files
    assert archive.pack(dict(reversed(files.items()))) == packed, "the same files give the same bytes"


@given(st.binary(max_size=200), st.data())
def test_a_damaged_archive_is_refused(data: bytes, choice: st.DataObject) -> None:
    packed = archive.pack({"a.mpy": data, "b.mpy": b"b"})
    cut = choice.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(UpdateError):
        archive.unpack(packed[:cut])
    with pytest.raises(UpdateError):
        archive.unpack(packed + b"\0")
    if data:
        at = packed.index(data, 15)
        with pytest.raises(UpdateError):
            archive.unpack(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :])


@pytest.mark.parametrize(
    "files", [{}, {f"f{i}.mpy": b"" for i in range(257)}, {"big.mpy": bytes(1 << 20)}], ids=["none", "many", "large"]
)
def test_what_no_node_would_take_is_not_packed(files: dict[str, bytes]) -> None:
    with pytest.raises(UpdateError):
        archive.pack(files)


def test_flash_is_counted_in_whole_blocks() -> None:
    assert archive.flash_bytes({"main.mpy": b"x"}) == 4096 + 8192
    assert archive.flash_bytes({"a/b/x.mpy": bytes(4097), "a/y.mpy": b"x"}) == 3 * 4096 + 3 * 8192


def test_a_package_comes_back_from_its_file(tmp_path: Path) -> None:
    package = keys.sign(make(), key())
    package.save(tmp_path / "x.update")
    assert Package.load(tmp_path / "x.update") == package
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.update"]
    assert slot_mark(package)[0] == "slot.json"
    assert msgspec.json.decode(slot_mark(package)[1]) == {"version": "1.2.3", "sha256": package.manifest.sha256}


def test_a_file_that_is_no_package_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.update"
    whole = make().encode()
    for data in (
        b"",
        b"{}",
        b"\n",
        whole[:-1],
        whole + b"x",
        whole.replace(b"M\x06", b"M\x05"),
        whole[:50],
        whole.replace(b"1.2.3", b"1.2.\xff"),
        bytes(1 << 21),
    ):
        path.write_bytes(data)
        with pytest.raises(UpdateError, match=r"x\.update is no package"):
            Package.load(path)
    with pytest.raises(UpdateError, match="cannot be read"):
        Package.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("version", "boards"),
    [("1.2", BOARDS), ("v1.2.3", BOARDS), ("1.2.3\n", BOARDS), ("1.2.3", ()), ("1.2.3", ("a b",)), ("1.2.3", ("A",))],
)
def test_a_wrong_version_or_board_is_refused(version: str, boards: tuple[str, ...]) -> None:
    with pytest.raises(UpdateError):
        Package.make({"main.mpy": MAIN}, version, boards)


def test_a_tree_is_compiled_but_for_its_loader(tmp_path: Path) -> None:
    for name in ("main.py", "loader.py", "manifest.py", "node/loader.py", "node/x.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    found = compile_tree(tmp_path)
    assert list(found) == ["main.mpy", "node/loader.mpy", "node/x.mpy"]
    assert all(content.startswith(b"M\x06") for content in found.values())
    (tmp_path / "node/x.py").write_text("x =\n")
    with pytest.raises(ImageError, match=r"(?s)x\.py does not compile.*SyntaxError"):
        compile_tree(tmp_path)
    with pytest.raises(ImageError, match="holds no firmware"):
        compile_tree(tmp_path / "nowhere")


def test_the_version_is_read_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    path = tmp_path / "node/version.py"
    path.write_text('# A comment.\nVERSION = "3.2.1"\n')
    assert source_version(tmp_path) == "3.2.1"
    for text in ("VERSION = 3\n", "VERSION =\n", ""):
        path.write_text(text)
        with pytest.raises(UpdateError, match=r"version\.py"):
            source_version(tmp_path)


def test_keys_go_to_files_and_come_back(tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "update.key"
    keys.save_private(key(), private, "a secret")
    keys.save_public(key().public_key(), public)
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o600
    assert len(public.read_text().strip()) == 768
    package = keys.sign(make(), keys.load_private(private, "a secret"))
    assert keys.is_signed(package.manifest, keys.load_public(public))
    for wrong in ("", "another"):
        with pytest.raises(UpdateError, match="can be opened"):
            keys.load_private(private, wrong)
    for path in (private, public):
        with pytest.raises(UpdateError, match="exists"):
            keys.save_public(key().public_key(), path)
    with pytest.raises(UpdateError, match="no public key"):
        keys.load_public(private)


def test_a_manifest_that_was_changed_is_not_signed() -> None:
    manifest = keys.sign(make(), key()).manifest
    changes = {"version": "9.9.9", "boards": ("x",), "mpy": 5, "size": 1, "needs": 1, "sha256": "0" * 64}
    assert set(changes) == set(Manifest.__struct_fields__) - {"signature", "by"}
    for name, value in changes.items():
        assert not keys.is_signed(msgspec.structs.replace(manifest, **{name: value}), key().public_key()), name
    for signature in ("", "%", manifest.signature[:-4], manifest.signature + "AAAA"):
        assert not keys.is_signed(msgspec.structs.replace(manifest, signature=signature), key().public_key())
    assert not keys.is_signed(manifest, other_key().public_key())


def test_the_store_keeps_the_newest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    packages = [make(f"1.0.{i}", x=bytes([i])) for i in range(MOST_PACKAGES + 2)]
    for i, package in enumerate(packages):
        forgotten = store.add(package)
        assert len(forgotten) == (1 if i >= MOST_PACKAGES else 0)
        path = tmp_path / "updates" / f"{package.manifest.sha256}.update"
        os.utime(path, (i, i))
    served = [Store(tmp_path).archive(package.manifest.sha256) for package in packages]
    assert served == [None, None, *(package.archive for package in packages[2:])]


def test_the_store_serves_nothing_damaged(tmp_path: Path) -> None:
    store, package, other = Store(tmp_path), make(), make("2.0.0", x=b"x")
    store.add(package)
    path = tmp_path / "updates" / f"{package.manifest.sha256}.update"
    for data in (package.encode()[:-1], other.encode(), b""):
        path.write_bytes(data)
        assert Store(tmp_path).archive(package.manifest.sha256) is None
    path.write_bytes(package.encode())
    assert Store(tmp_path).archive(package.manifest.sha256) == package.archive
