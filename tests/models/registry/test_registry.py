"""Stored models: published whole or not at all, and refused when anything about them is not as it was signed."""

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.registry import (
    EVERYONE,
    MANIFEST,
    SIGNATURE,
    Artifact,
    ArtifactRefused,
    Manifest,
    Mark,
    NoSuchVersion,
    Place,
    Registry,
    Signer,
    StorageError,
    Trust,
    VersionExists,
    version_at,
)
from models.registry.storage import PARTIAL, Storage

SIGNER = Signer.generate("tests")
TRUST = Trust((SIGNER.public,), "this test")
PLACE = Place("example", "acme", "web-1")
BEGIN = datetime(2026, 3, 1, 6, 0, 0, tzinfo=UTC)
FIRST = version_at(BEGIN)
FILES = {"model.bin": bytes(range(256)), "model.json": b'{"a": 1}'}


def manifest(version: str = FIRST, place: Place = PLACE, files: dict[str, bytes] = FILES) -> Manifest:
    return Manifest(
        place=place,
        version=version,
        feature_set="example-1",
        features=("one", "two"),
        training={"first_ms": 0, "where": "here, ä"},
        metrics={"pr_auc": 0.7},
        libraries={"python": "3.11"},
        files={name: Mark.of(content) for name, content in files.items()},
    )


def at(number: int) -> str:
    return version_at(BEGIN + timedelta(minutes=number))


@pytest.fixture(params=["local", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry in a local folder, and in a store without folders, renames and links."""
    return Registry(
        str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}{tmp_path.parent.name}", TRUST
    )


def test_what_is_published_comes_back(registry: Registry) -> None:
    registry.publish(manifest(), FILES, SIGNER)
    assert registry.load(PLACE, FIRST) == Artifact(manifest(), "tests", FILES)
    assert registry.manifest(PLACE, FIRST) == (manifest(), "tests")
    assert (list(registry.places()), registry.versions(PLACE)) == ([PLACE], [FIRST])


def test_places_do_not_mix(registry: Registry) -> None:
    hosts = ("", "@all", "_", "..", ".", "a/b", "a", "%2E", "wëb 1", "x" * 200, "*")
    places = [Place("example", tenant, host) for tenant in ("acme", EVERYONE) for host in hosts]
    for place in places:
        registry.publish(manifest(place=place), FILES, SIGNER)
    assert sorted(registry.places()) == sorted(places)
    for place in places:
        assert registry.load(place, FIRST).manifest.place == place


@given(tenant=st.text(min_size=1, max_size=20), subject=st.text(max_size=20))
def test_every_name_has_a_folder_of_its_own_below_the_registry(tenant: str, subject: str) -> None:
    place = Place("example", tenant, subject)
    assert Place.at(place.path) == place
    assert not {"", ".", ".."} & set(place.path.split("/"))
    assert len(place.path.split("/")) == 3


@pytest.mark.parametrize(
    ("model", "tenant", "subject"), [("../x", "acme", ""), ("example", "", ""), ("m", "a", "é" * 121)]
)
def test_names_that_are_none_are_refused(model: str, tenant: str, subject: str) -> None:
    with pytest.raises(ValueError, match=r"must match|must not be empty|too long"):
        Place(model, tenant, subject)


def test_the_files_of_others_are_left_alone(registry: Registry) -> None:
    registry.storage.create("README", b"")
    registry.storage.create("example/acme/web-1/notes/x", b"")
    registry.storage.create("example/x", b"")
    registry.storage.create("Example/acme/web-1/v20260301_060000/manifest.json", b"")
    assert list(registry.places()) == []
    registry.publish(manifest(), FILES, SIGNER)
    assert list(registry.places()) == [PLACE]
    assert registry.versions(PLACE) == [FIRST]


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    registry = Registry(str(tmp_path_factory.mktemp("published")), TRUST)
    registry.publish(manifest(), FILES, SIGNER)
    return registry


def stored(registry: Registry, name: str) -> Path:
    return Path(registry.storage.url) / PLACE.path / FIRST / name


def refused(registry: Registry, name: str, content: bytes) -> str:
    """Why the version is refused with another content of one of its files."""
    path = stored(registry, name)
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(ArtifactRefused) as found:
            registry.load(PLACE, FIRST)
    finally:
        path.write_bytes(before)
    assert str(found.value).startswith(f"example of acme, web-1, {FIRST}: ")
    return str(found.value)


EVERY = (MANIFEST, SIGNATURE, *FILES)


@pytest.mark.parametrize("name", EVERY)
def test_any_flipped_byte_is_refused(published: Registry, name: str) -> None:
    raw = stored(published, name).read_bytes()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << place % 8
        refused(published, name, bytes(changed))


@settings(max_examples=100)
@given(data=st.data(), name=st.sampled_from(EVERY))
def test_any_other_content_is_refused(published: Registry, data: st.DataObject, name: str) -> None:
    raw = stored(published, name).read_bytes()
    cut = data.draw(st.integers(0, len(raw)))
    skip = data.draw(st.integers(0, len(raw) - cut))
    changed = raw[:cut] + data.draw(st.binary(max_size=40)) + raw[cut + skip :]
    if changed != raw:
        refused(published, name, changed)


def test_each_refusal_says_why(published: Registry) -> None:
    assert "model.bin was cut off: it has 100 bytes, expected 256" in refused(published, "model.bin", bytes(100))
    assert "model.bin was changed: it is longer than the 256 bytes" in refused(published, "model.bin", bytes(257))
    assert "model.bin was changed: its SHA-256 is" in refused(published, "model.bin", bytes(256))
    raw = stored(published, MANIFEST).read_bytes()
    said = refused(published, MANIFEST, raw.replace(b"0.7", b"0.9"))
    assert "the signature does not fit: manifest.json or manifest.sig was changed" in said
    assert "manifest.sig is no signature, or was cut off" in refused(published, SIGNATURE, b"")
    assert "manifest.sig is no signature of ed25519" in refused(published, SIGNATURE, b"ed25519 abc 00\n")


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_file_is_refused(published: Registry, name: str) -> None:
    path = stored(published, name)
    before = path.read_bytes()
    path.unlink()
    try:
        if name == MANIFEST:
            with pytest.raises(NoSuchVersion, match=f"example of acme, web-1 has no version {FIRST}; there are: none"):
                published.load(PLACE, FIRST)
        else:
            with pytest.raises(ArtifactRefused, match=f"{name} is missing"):
                published.load(PLACE, FIRST)
    finally:
        path.write_bytes(before)


def test_only_trusted_keys_count(published: Registry) -> None:
    other = Signer.generate("mallory")
    reader = Registry(published.storage.url, Trust((other.public,), "a list"))
    with pytest.raises(ArtifactRefused) as unknown:
        reader.load(PLACE, FIRST)
    assert f"signed with key {SIGNER.public.id}, which is not trusted here; trusted keys in a list: " in str(
        unknown.value
    )
    assert f"{other.public.id} (mallory)" in str(unknown.value)
    with pytest.raises(ArtifactRefused, match=r"trusted keys in nowhere: none"):
        Registry(published.storage.url, Trust((), "nowhere")).load(PLACE, FIRST)


def test_a_signature_of_a_stranger_under_a_trusted_id_is_refused(published: Registry) -> None:
    raw = stored(published, MANIFEST).read_bytes()
    mallory = Signer.generate("mallory")
    theirs = mallory.sign(raw).decode().replace(mallory.public.id, SIGNER.public.id)
    said = refused(published, SIGNATURE, theirs.encode())
    assert f"or key {SIGNER.public.id} (tests) never signed it" in said


def test_a_version_that_was_moved_is_refused(registry: Registry) -> None:
    """An old version that somebody calls new, or that of another host, is signed and whole."""
    registry.publish(manifest(), FILES, SIGNER)
    other = Place("example", "acme", "db-1")
    for place, version in ((PLACE, at(1)), (other, FIRST)):
        for name in EVERY:
            content = registry.storage.read(f"{PLACE.path}/{FIRST}/{name}", 10_000)
            registry.storage.create(f"{place.path}/{version}/{name}", content)
        with pytest.raises(ArtifactRefused, match=f"it was signed as example of acme, web-1, {FIRST}, and moved here"):
            registry.load(place, version)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"format": 1', '"format": 2'), "has format 2; this release reads format 1"),
        (lambda text: text.replace('"features"', '"fetures"'), "manifest.json has no features, or another type"),
        (lambda text: text.replace(FIRST, "newest"), "manifest.json is no manifest: a version must look like"),
        (lambda text: text.replace("model.bin", "../model.bin"), "a file's name must match"),
        (lambda text: text.replace('"bytes": 256', '"bytes": "many"'), "is no manifest: invalid literal"),
        (lambda text: text[:-10], "manifest.json is not JSON"),
    ],
)
def test_a_signed_manifest_that_is_none_is_refused(
    registry: Registry, change: Callable[[str], str], message: str
) -> None:
    raw = change(manifest().encode().decode()).encode()
    registry.storage.create(f"{PLACE.path}/{FIRST}/{MANIFEST}", raw)
    registry.storage.create(f"{PLACE.path}/{FIRST}/{SIGNATURE}", SIGNER.sign(raw))
    with pytest.raises(ArtifactRefused, match=message):
        registry.load(PLACE, FIRST)


def test_other_features_are_refused(published: Registry) -> None:
    artifact = published.load(PLACE, FIRST)
    artifact.require("example-1", ("one", "two"))
    for feature_set, features in (("example-2", ("one", "two")), ("example-1", ("two", "one"))):
        with pytest.raises(ArtifactRefused, match=r"trained on feature set example-1 \(one, two\); expected example-"):
            artifact.require(feature_set, features)


# -- publishing ---------------------------------------------------------------------------------------------


def test_a_version_never_changes(registry: Registry) -> None:
    registry.publish(manifest(), FILES, SIGNER)
    other = {"model.bin": b"other"}
    with pytest.raises(VersionExists, match=f"example of acme, web-1 has a version {FIRST} already"):
        registry.publish(manifest(files=other), other, SIGNER)
    assert registry.load(PLACE, FIRST).files == FILES


def test_other_files_than_those_of_the_manifest_are_not_published(registry: Registry) -> None:
    with pytest.raises(ValueError, match="not those that the manifest names"):
        registry.publish(manifest(), {**FILES, "model.bin": b""}, SIGNER)
    with pytest.raises(ValueError, match="JSON compliant"):
        registry.publish(replace(manifest(), metrics={"pr_auc": float("nan")}), FILES, SIGNER)
    assert registry.versions(PLACE) == []


@pytest.mark.parametrize("done", range(len(EVERY)))
def test_a_version_that_was_cut_off_while_it_was_published_is_none(
    registry: Registry, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, made = registry.storage.create, []

    def failing(path: str, content: bytes) -> None:
        if len(made) == done:
            raise StorageError("no space left")
        made.append(path)
        create(path, content)

    monkeypatch.setattr(registry.storage, "create", failing)
    with pytest.raises(StorageError):
        registry.publish(manifest(), FILES, SIGNER)
    monkeypatch.undo()
    assert (list(registry.places()), registry.versions(PLACE)) == ([], [])
    with pytest.raises(NoSuchVersion):
        registry.load(PLACE, FIRST)
    # It is cleared away once it must have been given up.
    registry.publish(manifest(at(59)), FILES, SIGNER)
    registry.prune(PLACE)
    assert registry.storage.names(PLACE.path) == [*([FIRST] if done else []), at(59)]
    registry.publish(manifest(at(61)), FILES, SIGNER)
    registry.prune(PLACE)
    assert registry.storage.names(PLACE.path) == [at(59), at(61)]


def test_a_local_file_is_never_seen_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    link, seen = os.link, list[list[str]]()

    def looking(source: str, target: Path) -> None:
        seen.append(storage.names("a"))
        assert Path(source).read_bytes() in (b"whole", b"other")
        link(source, target)

    monkeypatch.setattr(os, "link", looking)
    storage.create("a/b", b"whole")
    assert seen == [[]]
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o640
    with pytest.raises(FileExistsError):
        storage.create("a/b", b"other")
    assert (tmp_path / "a" / "b").read_bytes() == b"whole"
    assert not [name for name in os.listdir(tmp_path / "a") if name.startswith(PARTIAL)]


def test_one_of_several_publishers_of_a_version_wins(tmp_path: Path) -> None:
    for turn in range(10):
        start = threading.Barrier(4)

        def publish(number: int, turn: int = turn, start: threading.Barrier = start) -> bool:
            registry = Registry(str(tmp_path), TRUST)
            files = {"model.bin": bytes([number]) * 1000}
            start.wait(10)
            try:
                registry.publish(manifest(at(turn), files=files), files, SIGNER)
            except VersionExists:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(publish, range(4)))
        assert won.count(True) == 1
        found = Registry(str(tmp_path), TRUST).load(PLACE, at(turn))
        assert found.files["model.bin"][0] == won.index(True)


def test_what_is_seen_is_whole_while_others_publish_and_clear_away(tmp_path: Path) -> None:
    files = {"model.bin": os.urandom(200_000)}
    ended = threading.Event()

    def publish(number: int) -> None:
        registry = Registry(str(tmp_path), TRUST)
        for turn in range(12):
            registry.publish(manifest(at(3 * turn + number), files=files), files, SIGNER)
            registry.prune(PLACE, keep=2)

    def read() -> int:
        """Loads whatever is there; a version may be gone when it is asked for, or while it is read."""
        registry, loaded = Registry(str(tmp_path), TRUST), 0
        while not ended.is_set() or not loaded:
            for version in registry.versions(PLACE)[-2:]:
                try:
                    assert registry.load(PLACE, version).files == files
                    loaded += 1
                except NoSuchVersion:
                    continue
        return loaded

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for writer in [pool.submit(publish, number) for number in range(3)]:
            writer.result(60)
        ended.set()
        assert all(reader.result(60) for reader in readers)
    assert Registry(str(tmp_path), TRUST).versions(PLACE)[-2:] == [at(34), at(35)]


@given(
    made=st.sets(st.integers(0, 40), max_size=12),
    keep=st.integers(1, 7),
    spare=st.sets(st.integers(0, 40), max_size=3),
)
def test_the_newest_are_kept_and_those_that_are_spared(made: set[int], keep: int, spare: set[int]) -> None:
    registry = Registry(f"memory://pruned-{abs(hash((frozenset(made), keep, frozenset(spare))))}", TRUST)
    registry.storage.delete("example")
    for number in made:
        registry.publish(manifest(at(number)), FILES, SIGNER)
    gone = registry.prune(PLACE, keep, {at(number) for number in spare})
    left = set(sorted(made)[-keep:]) | (made & spare)
    assert registry.versions(PLACE) == [at(number) for number in sorted(left)]
    assert gone == [at(number) for number in sorted(made - left)]


def test_five_are_kept_of_each_place(registry: Registry) -> None:
    for number in range(7):
        registry.publish(manifest(at(number)), FILES, SIGNER)
    other = Place("example", "acme")
    registry.publish(manifest(place=other), FILES, SIGNER)
    assert registry.prune(PLACE) == [at(0), at(1)]
    assert (len(registry.versions(PLACE)), registry.versions(other)) == (5, [FIRST])
    assert registry.load(PLACE, at(6)).files == FILES
    with pytest.raises(ValueError, match="at least one version is kept"):
        registry.prune(PLACE, 0)


def test_a_storage_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="models cannot be stored at nowhere://x: Protocol not known"):
        Registry("nowhere://x", TRUST)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file: "):
        Registry(str(tmp_path / "file"), TRUST).publish(manifest(), FILES, SIGNER)
