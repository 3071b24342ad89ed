"""CURVE keys (RFC 26): pairs in Z85 (RFC 32), files only their owner can read, and the list of who may dial.

    keys/node.key             secret and public key of this end, mode 0600
    allowed/NAME.key          one peer: its public key, its role, the node name it is bound to

All files are lines of `name = value`; lines that begin with # are skipped. A file that is a symbolic link, belongs to
somebody else, or can be read (allow-list: written) by others is refused with the chmod that mends it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from regrove.records import dataclass
from regrove.transport.endpoints import private_folder
from regrove.transport.greeting import Admission
from regrove.transport.handshake import Identity

KEY_BYTES: Final = 32
KEY_CHARACTERS: Final = 40
FILE_BYTES_MAX: Final = 4096
ROLES: Final = ("member", "observer", "client")
LOOPBACK: Final = "loopback.key"
ANY_NODE: Final = "*"  # the binding of the loopback pair, which all nodes of one user share
Z85: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

_FIELD: Final = re.compile(r"(\w+)\s*=\s*(\S.*)")


class KeyProblem(Exception):
    """A key or a key file that cannot be used; the text names the file and the mend."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE pair as Z85 texts of 40 characters. The secret never shows in a repr."""

    public: str
    secret: str

    def __post_init__(self) -> None:
        check_key(self.public, "public key")
        check_key(self.secret, "secret key")

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r}, secret=<hidden>)"


@dataclass(frozen=True, slots=True)
class Curve:
    """The key pair (Z85) that all tcp of one end uses, and who may dial it: `allowed(public key) -> bool`."""

    pair: KeyPair
    allowed: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Allowed:
    """One key on the list: `role` member, observer or client; `node` is the name it is bound to, "" for any."""

    name: str
    public: str
    role: str
    node: str = ""

    def __post_init__(self) -> None:
        check_key(self.public, "public key")
        if self.role not in ROLES:
            raise KeyProblem(f"role is one of {', '.join(ROLES)}, got {self.role!r}")
        if self.role == "member" and not self.node:
            raise KeyProblem("a member's key is bound to the name of its node: add node = name@host")


@dataclass(frozen=True, slots=True)
class AllowList:
    """Who may dial, by public key. Several keys may be bound to one node while they are rotated."""

    by_key: Mapping[str, Allowed]

    def __contains__(self, public: object) -> bool:
        return public in self.by_key

    def refusal(self, public: str, identity: Identity) -> str:
        """Why the holder of `public` may not be `identity`, or "". Members may be anything; others only clients."""
        entry = self.by_key.get(public)
        if entry is None:
            return f"key: {public or 'none'} is not on the allow-list; give both ends one key file (--keys)"
        if entry.role != "member" and identity.role != "client":
            return f"role: key {entry.name} is of role {entry.role} and may not be a {identity.role}"
        if entry.node not in ("", ANY_NODE, identity.peer[0]) and identity.role != "client":
            return f"key: {entry.name} is bound to node {entry.node}, not to {identity.peer[0]}"
        return ""

    def admit(self, public: str, identity: Identity) -> Admission:
        """The admission for `LinkTable(admit=...)`. Where nothing is proved (ipc, insecure) everybody is a member."""
        if not public:
            return Admission()
        refusal = self.refusal(public, identity)
        return Admission(refusal) if refusal else Admission(rights=self.by_key[public].role)


def loopback_list(pair: KeyPair) -> AllowList:
    """The allow-list of loopback: whoever holds the user's own pair is a member of any name."""
    return AllowList({pair.public: Allowed("loopback", pair.public, "member", ANY_NODE)})


def check_key(key: str, what: str) -> str:
    """Give `key` back when it is a Z85 key. Raises KeyProblem without showing it."""
    if len(key) != KEY_CHARACTERS or not all(character in Z85 for character in key):
        raise KeyProblem(f"a {what} is {KEY_CHARACTERS} characters of Z85, got {len(key)} characters")
    return key


def store_pair(pair: KeyPair, path: Path) -> None:
    """Write a new key file, mode 0600. Raises KeyProblem when one is there: keys are retired, not overwritten."""
    text = f"# regrove key pair: keep it secret\npublic = {pair.public}\nsecret = {pair.secret}\n"
    _write_new(path, text, 0o600)


def load_pair(path: Path) -> KeyPair:
    """Read a key file that only its owner can read. Raises KeyProblem."""
    fields = _fields(path, forbidden=0o077, mend=f"chmod 600 {path}")
    try:
        return KeyPair(public=fields.get("public", ""), secret=fields.get("secret", ""))
    except KeyProblem as problem:
        raise KeyProblem(f"{path}: {problem}; make a new pair with regrove keygen") from None


def loopback_pair(state_folder: Path, make: Callable[[], KeyPair]) -> KeyPair:
    """The pair that all ends of this user share on loopback, made at first use in the user's 0700 state folder.

    Two processes that start at once agree on one pair. `make` draws a pair. Raises KeyProblem or TransportError.
    """
    path = private_folder(state_folder, make=True) / LOOPBACK
    if not os.path.lexists(path):
        fresh = path.with_name(f"{LOOPBACK}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        store_pair(make(), fresh)
        try:
            os.link(fresh, path)  # fails when another process was first: its pair counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return load_pair(path)


def store_allowed(entry: Allowed, folder: Path) -> Path:
    """Add one peer to an allow-list directory as `NAME.key`. Raises KeyProblem when the name is taken or unusable."""
    if not re.fullmatch(r"[\w@.+-]+", entry.name) or entry.name.startswith("."):
        raise KeyProblem(f"{entry.name!r} is no name for a file: use letters, digits and @ . + - _")
    text = f"public = {entry.public}\nrole = {entry.role}\n" + (f"node = {entry.node}\n" if entry.node else "")
    path = folder / f"{entry.name}.key"
    _write_new(path, text, 0o644)
    return path


def load_allowed(folder: Path) -> AllowList:
    """Read an allow-list directory. Raises KeyProblem naming the file that is wrong; nothing is skipped silently."""
    entries: dict[str, Allowed] = {}
    try:
        _check_writable_by_owner_only(folder, folder.lstat())
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".key")
    except OSError as error:
        raise KeyProblem(f"cannot read the allow-list {folder}: {error.strerror}; make it with mkdir") from None
    for path in paths:
        fields = _fields(path, forbidden=0o022, mend=f"chmod go-w {path}")
        try:
            entry = Allowed(path.stem, fields.get("public", ""), fields.get("role", ""), fields.get("node", ""))
        except KeyProblem as problem:
            raise KeyProblem(f"{path}: {problem}") from None
        known = entries.setdefault(entry.public, entry)
        if known is not entry:
            raise KeyProblem(f"{path} holds the same key as {known.name}.key: remove one")
    return AllowList(entries)


def _fields(path: Path, forbidden: int, mend: str) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise KeyProblem(f"{path} is a symbolic link: put the file itself there") from None
        raise KeyProblem(f"cannot read {path}: {error.strerror}; give a key file that `regrove keygen` made") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyProblem(f"{path} is no regular file")
        if found.st_uid not in (os.geteuid(), 0):
            raise KeyProblem(f"{path} belongs to user {found.st_uid}: chown it to {os.geteuid()}")
        if stat.S_IMODE(found.st_mode) & forbidden:
            raise KeyProblem(f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, open to others: {mend}")
        raw = os.read(descriptor, FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(raw) > FILE_BYTES_MAX:
        raise KeyProblem(f"{path} is over {FILE_BYTES_MAX} bytes: that is no key file")
    return _read_fields(path, raw.decode("utf-8", "replace"))


def _read_fields(path: Path, text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _FIELD.fullmatch(line)
        if match is None or match[1] in fields:
            raise KeyProblem(f"{path}, line {number}: a key file has lines of name = value, each name once")
        fields[match[1]] = match[2]
    return fields


def _check_writable_by_owner_only(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise KeyProblem(f"{path} is no folder")
    if found.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(found.st_mode) & 0o022:
        raise KeyProblem(f"{path} can be written by others, who could let themselves in: chmod go-w {path}")


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise KeyProblem(f"{path} is there already: name another file, or retire that key first") from None
    except OSError as error:
        raise KeyProblem(f"cannot write {path}: {error.strerror}; name a file in a folder you may write to") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key file would be taken for a key that must be retired
        raise KeyProblem(f"cannot write {path}: {error.strerror}; make room there, or name another file") from None


def z85(raw: bytes) -> str:
    """32 bytes as 40 characters."""
    text = ""
    for at in range(0, len(raw), 4):
        value = int.from_bytes(raw[at : at + 4], "big")
        text += "".join(Z85[value // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return text


def zap_answer(request: list[bytes], allowed: Callable[[str], bool]) -> list[bytes]:
    """The answer to a request of ZAP (RFC 27): 200 with the public key as User-Id, else 400 and why."""
    version, number = (*request, b"", b"")[:2]
    if version != b"1.0" or len(request) != 7 or request[5] != b"CURVE" or len(request[6]) != KEY_BYTES:
        return [version, number, b"400", b"only CURVE is served", b"", b""]
    key = z85(request[6])
    if not allowed(key):
        return [version, number, b"400", b"key not on the allow-list", b"", b""]
    return [version, number, b"200", b"OK", key.encode(), b""]
