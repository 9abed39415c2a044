"""Keys: how they are stored, what is refused, and that nothing says the secret."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from models.registry import ArtifactRefused, KeyFileError, PublicKey, Signer, Trust, trust


def test_a_key_comes_back_from_its_file(tmp_path: Path) -> None:
    signer, path = Signer.generate("jane"), tmp_path / "new" / "key.pem"
    signer.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = Signer.read(path)
    assert again.public.raw == signer.public.raw
    assert again.sign(b"x") == signer.sign(b"x")
    with pytest.raises(KeyFileError, match="is there already; a key is never overwritten"):
        Signer.generate("joe").write(path)
    assert Signer.read(path).public.raw == signer.public.raw


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    Signer.generate("jane").write(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"can be read by others \(mode {mode:04o}\): `chmod 600` it"):
        Signer.read(path)


def test_what_is_no_key_is_refused_without_being_told(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(KeyFileError, match=r"no private key at .*key\.pem: `watchfloor models keygen` makes one"):
        Signer.read(path)
    for content in (b"hunter2", b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", b"\xff"):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyFileError, match="holds no private key in PEM") as refused:
            Signer.read(path)
        assert "hunter2" not in str(refused.value)
    path.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(KeyFileError, match="another kind than Ed25519"):
        Signer.read(path)


def test_trusted_keys_come_back_from_their_list(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trusted-keys"
    one, two = Signer.generate("jane, on the build server").public, Signer.generate("joe").public
    assert Trust.read(path).keys == {}
    for key in (one, two, one):
        trust(path, key)
    path.write_text("# ours\n\n" + path.read_text().rstrip("\n"))
    three = Signer.generate("ann").public
    trust(path, three)
    assert Trust.read(path).keys == {key.id: key for key in (one, two, three)}
    assert len(path.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rsa AAAA joe", "line 2: expected `ed25519 KEY NAME`, got 'rsa' first"),
        ("ed25519 !! joe", "line 2: the key is not base64"),
        ("ed25519 AAAA joe", "line 2: a key has 32 bytes, this one 3"),
    ],
)
def test_a_line_that_is_no_key_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "trusted-keys"
    path.write_text(f"# ours\n{line}\n")
    with pytest.raises(KeyFileError, match=message):
        Trust.read(path)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 101])
def test_a_name_is_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="a key's name must be"):
        Signer.generate(name)


def test_a_signature_is_for_one_manifest_and_one_key() -> None:
    jane, joe = Signer.generate("jane"), Signer.generate("joe")
    both = Trust((jane.public, joe.public), "this test")
    signature = jane.sign(b"manifest")
    assert both.check(b"manifest", signature) == jane.public
    with pytest.raises(ArtifactRefused, match="the signature does not fit"):
        both.check(b"Manifest", signature)
    forged = signature.decode().replace(jane.public.id, joe.public.id).encode()
    with pytest.raises(ArtifactRefused, match="the signature does not fit"):
        both.check(b"manifest", forged)


def test_neither_signers_nor_lists_show_the_secret(tmp_path: Path) -> None:
    signer = Signer.generate("jane")
    path = tmp_path / "key.pem"
    signer.write(path)
    secret = "".join(path.read_text().splitlines()[1:-1])
    trust(tmp_path / "trusted", signer.public)
    shown = repr(signer) + str(vars(signer)) + (tmp_path / "trusted").read_text() + signer.sign(b"x").decode()
    assert secret not in shown
    assert PublicKey.parse(signer.public.line) == signer.public
