"""The CURVE key pair of tcp: one a user for loopback, made at first use; a file of the operator's beyond it.

Every node and every client of a user reads the same pair, and only its holders are let in: no set-up on one machine,
and no frame of another local user gets in. Between machines the operator copies one file (`--keys FILE`) to each.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from regrove.node.process.folders import FolderError, default_state_root, private_folder
from regrove.transport.keys import Z85, Curve

KEY_CHARACTERS: Final = 40  # 32 bytes in Z85


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Public and secret key, Z85."""

    public: str
    secret: str

    def curve(self) -> Curve:
        """For a transport: who holds the same pair is let in."""
        return Curve(self.public, self.secret, lambda key: key == self.public)

    def __repr__(self) -> str:
        return f"<key pair {self.public}>"  # never the secret


def loopback_file(environ: Mapping[str, str]) -> Path:
    """Where a user's pair for loopback is kept."""
    root = Path(environ["REGROVE_STATE_DIR"]) if environ.get("REGROVE_STATE_DIR") else default_state_root(environ)[0]
    return root / "loopback.key"


def loopback_keys(environ: Mapping[str, str] | None = None) -> KeyPair:
    """The user's pair for loopback, made now if there is none; raises FolderError."""
    path = loopback_file(os.environ if environ is None else environ)
    private_folder(path.parent, "state folder")
    if not path.exists():
        make_keys(path)
    return read_keys(path)


def make_keys(path: Path) -> None:
    """Write a fresh pair (0600) unless somebody else just did; raises FolderError."""
    from regrove.transport.zeromq import new_key_pair

    public, secret = new_key_pair()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as stream:
            stream.write(f"public {public}\nsecret {secret}\n")
        try:
            os.link(fresh, path)  # the first of two that start at once wins, and both then read its file
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    except OSError as problem:
        raise FolderError(f"the key file {path} cannot be written: {problem.strerror}; mend its folder") from problem


def read_keys(path: Path) -> KeyPair:
    """Read a pair; raises FolderError for a file that is missing, damaged, or readable by others."""
    try:
        facts = path.stat()
        lines = dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line)
    except (OSError, UnicodeDecodeError) as problem:
        raise FolderError(f"the key file {path} cannot be read: {problem}; copy it from another node") from problem
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise FolderError(
            f"the key file {path} is open to others (mode {stat.S_IMODE(facts.st_mode):04o}, user {facts.st_uid}); "
            "run chmod 600 on it as its owner"
        )
    pair = KeyPair(lines.get("public", ""), lines.get("secret", ""))
    if not _is_key(pair.public) or not _is_key(pair.secret):
        raise FolderError(
            f"the key file {path} is damaged: it has no `public` and `secret` of 40 characters; remake it"
        )
    return pair


def _is_key(text: str) -> bool:
    return len(text) == KEY_CHARACTERS and all(character in Z85 for character in text)
