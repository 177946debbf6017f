"""The keys of a release: ed25519 in PEM files. The root key stays offline; the online key may be an environment secret.

Devices verify with pure Python, which knows ed25519 only, so no other kind is taken.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from pipeline.system import files
from pipeline.system.errors import InputError, Missing
from runners.edge import durable

ONLINE_KEY = "EDGEPROOF_ONLINE_KEY"  # the PEM itself
MOST_BYTES = 1 << 14

Ask = Callable[[Path], str]  # for the password of an encrypted key


def check_new(path: Path, *, may_exist: bool = False) -> None:
    """See to it that a new key can be written there, or lies there already where it may.

    Raises:
        InputError: something is there, there is no such folder or it takes no files, or it belongs to a Git repository,
            where keys get committed.
    """
    if os.path.lexists(path) and not may_exist:
        raise InputError(f"{path}: exists already; name a new file, a key is never overwritten")
    parents = path.resolve().parents
    if inside := next((folder for folder in parents if (folder / ".git").exists()), None):
        raise InputError(f"{path}: lies in the Git repository {inside}, where keys get committed; keep it elsewhere")
    if not parents[0].is_dir():  # a key for a stick that is not there would lie on this machine's disk
        raise InputError(f"{path}: there is no folder {parents[0]}; make it, or mount what it is on")
    files.check_place(path)


def make(path: Path, password: str = "") -> CryptoSigner:
    """A new private key in a file of mode 600, encrypted where there is a password.

    Raises:
        InputError: see `check_new`, or it cannot be written.
    """
    check_new(path)
    key = Ed25519PrivateKey.generate()
    kept = serialization.BestAvailableEncryption(os.fsencode(password)) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)
    beside = path.with_name(path.name + durable.PART)  # a stick may know no links, by which a name could be claimed
    try:
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        beside.rename(path)
        durable.sync(str(path.parent))
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise InputError(f"{path}: no key can be written there ({error.strerror})") from error
    return CryptoSigner(key)


def load(path: Path, ask: Ask) -> CryptoSigner:
    """The private key in a file; `ask` is called where it is encrypted.

    Raises:
        InputError: there is none, it is another kind of key, or the password is wrong.
    """
    pem = _read(path)
    password = ask(path) if b"ENCRYPTED" in pem else ""
    return _private(pem, password, str(path))


def online(path: Path | None, ask: Ask) -> CryptoSigner:
    """The online key, in a file or in the variable EDGEPROOF_ONLINE_KEY.

    Raises:
        InputError: there is none, or it is no such key.
    """
    if path is not None:
        return load(path, ask)
    if not (pem := os.environ.get(ONLINE_KEY, "")).strip():
        raise Missing(f"no online key: give --online-key FILE, or the key itself in the variable {ONLINE_KEY}")
    return _private(os.fsencode(pem.strip()) + b"\n", "", ONLINE_KEY)


def public(path: Path, ask: Ask) -> SSlibKey:
    """The public half of the key in a file, which may hold that half alone.

    Raises:
        InputError: there is none.
    """
    pem = _read(path)
    if b"PUBLIC KEY" not in pem:
        return load(path, ask).public_key
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise InputError(f"{path}: no key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: no ed25519 key, which is the only kind that every device can verify")
    return SSlibKey.from_crypto(key)


def is_private(path: Path) -> bool:
    """Whether a key's file holds more than its public half."""
    return b"PRIVATE KEY" in _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES)
    except OSError as error:
        raise Missing(f"{path}: no key can be read there ({error.strerror})") from error


def _private(pem: bytes, password: str, where: str) -> CryptoSigner:
    try:
        key = serialization.load_pem_private_key(pem, os.fsencode(password) or None)
    except (ValueError, TypeError) as error:
        why = "the password is wrong, or the file is damaged" if password else "no private key in PEM"
        raise InputError(f"{where}: {why}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{where}: no ed25519 key, which is the only kind that every device can verify")
    return CryptoSigner(key)
