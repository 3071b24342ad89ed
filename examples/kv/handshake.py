"""What a connection answers by itself: greetings, names, configuration, introspection. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from examples.kv.commands import SPECS, answer_command, bad_subcommand, find, wrong_arity
from examples.kv.glob import compile_pattern, matches
from examples.kv.operations import NOT_INTEGER
from examples.kv.resp import OK, array, bulk, error, integer, number, pairs, shown, simple
from examples.kv.transaction import Transaction

REDIS_VERSION: Final = "7.0.15"  # whose answers ours are compared with
VERSION: Final = "0.1.0"

NO_PASSWORD: Final = error(
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
_BAD_NAME: Final = error("ERR Client names cannot contain spaces, newlines or special characters.")


@dataclass(slots=True)
class Session:
    """What a connection knows of its client. `protocol` is 2 or 3, `closing`: no more is read after this answer."""

    number: int = 1
    peer: str = ""
    name: bytes = b""
    protocol: int = 2
    closing: bool = False
    sync: bool = False
    transaction: Transaction = field(default_factory=Transaction)

    def answer(self, name: str, words: list[bytes]) -> bytes:
        """Answer one of the commands that run HERE; its arity is checked."""
        match name:
            case "ping":
                return _ping(words)
            case "echo":
                return bulk(words[1])
            case "quit":
                self.closing = True
                return OK
            case "select":
                return _select(words[1])
            case "hello":
                return self._hello(words)
            case "auth":
                return NO_PASSWORD if len(words) == 2 else _login(words)
            case "reset":
                self.protocol = 2
                self.name = b""
                self.transaction.reset()
                return simple("RESET")
            case "command":
                return self._with_subcommand(name, words)
            case "client" | "config":
                return self._with_subcommand(name, words)
            case _:
                raise AssertionError(f"{name} is not answered here")

    def _with_subcommand(self, name: str, words: list[bytes]) -> bytes:
        spec = find(name.encode())
        assert spec is not None
        if len(words) > 1:
            problem = bad_subcommand(spec, words)
            if problem is not None:
                return problem
        if name == "command":
            return answer_command(words, self.protocol)
        return self._config(words) if name == "config" else self._client(words)

    def _client(self, words: list[bytes]) -> bytes:
        match words[1].lower():
            case b"id":
                return number(self.number)
            case b"getname":
                return bulk(self.name) if self.name else b"$-1\r\n"
            case b"setname":
                return self._set_name(words[2])
            case b"info":
                text = f"id={self.number} addr={self.peer} name={shown(self.name)} db=0 resp={self.protocol}\n"
                return bulk(text.encode("utf-8", "surrogateescape"))
            case _:
                return OK  # SETINFO: what library it is tells us nothing

    def _set_name(self, name: bytes) -> bytes:
        if any(not 33 <= byte <= 126 for byte in name):
            return _BAD_NAME
        self.name = name
        return OK

    def _config(self, words: list[bytes]) -> bytes:
        found: list[bytes] = []
        for name, value in self._parameters():
            if any(matches(compile_pattern(pattern.lower()), name) for pattern in words[2:]):
                found += [bulk(name), bulk(value)]
        return pairs(found, self.protocol)

    def _parameters(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"appendfsync", b"always" if self.sync else b"everysec"),
            (b"appendonly", b"yes"),
            (b"databases", b"1"),
            (b"maxmemory", b"0"),
            (b"save", b""),
        ]

    def _hello(self, words: list[bytes]) -> bytes:
        if len(words) > 1:
            version = integer(words[1])
            if version is None:
                return error("ERR Protocol version is not an integer or out of range")
            if version not in (2, 3):
                return error("NOPROTO unsupported protocol version")
            problem = self._hello_options(words[2:])
            if problem is not None:
                return problem
            self.protocol = version
        facts = [
            *(bulk(b"server"), bulk(b"redis"), bulk(b"version"), bulk(REDIS_VERSION.encode())),
            *(bulk(b"proto"), number(self.protocol), bulk(b"id"), number(self.number)),
            *(bulk(b"mode"), bulk(b"standalone"), bulk(b"role"), bulk(b"master"), bulk(b"modules"), array([])),
        ]
        return pairs(facts, self.protocol)

    def _hello_options(self, words: list[bytes]) -> bytes | None:
        position = 0
        while position < len(words):
            option = words[position].lower()
            if option == b"auth" and position + 2 < len(words):
                answer = _login([b"auth", *words[position + 1 : position + 3]])
                if answer != OK:
                    return answer
                position += 3
            elif option == b"setname" and position + 1 < len(words):
                answer = self._set_name(words[position + 1])
                if answer != OK:
                    return answer
                position += 2
            else:
                return error(f"ERR Syntax error in HELLO option '{shown(words[position])}'")
        return None


def _ping(words: list[bytes]) -> bytes:
    if len(words) == 1:
        return b"+PONG\r\n"
    return bulk(words[1]) if len(words) == 2 else wrong_arity("ping")


def _select(word: bytes) -> bytes:
    index = integer(word)
    if index is None:
        return NOT_INTEGER
    return OK if index == 0 else error("ERR DB index is out of range")


def _login(words: list[bytes]) -> bytes:
    if len(words) > 3:
        return error("ERR syntax error")
    if words[1] == b"default":
        return OK  # Redis' default user takes any password
    return error("WRONGPASS invalid username-password pair or user is disabled.")


def info_text(shards: list[list[int]], cores: int, sync: bool, sections: list[bytes]) -> str:
    """Return the text of INFO; `shards` are the numbers each shard gave (`operations.info`)."""
    keys, expires, left, commands = (sum(column) for column in zip(*shards, strict=True))
    blocks: dict[str, dict[str, object]] = {
        "server": {"redis_version": REDIS_VERSION, "redis_mode": "standalone", "regrove_kv_version": VERSION},
        "persistence": {"aof_enabled": 1, "appendfsync": "always" if sync else "everysec"},
        "stats": {"total_commands_processed": commands},
        "cluster": {"cluster_enabled": 0},
        "regrove": {"cores": cores, "commands": len(SPECS)},
        "keyspace": {"db0": f"keys={keys},expires={expires},avg_ttl={left // len(shards)}"} if keys else {},
    }
    wanted = [section.decode("utf-8", "replace").lower() for section in sections] or ["default"]
    every = any(word in ("default", "all", "everything") for word in wanted)
    texts = []
    for title, facts in blocks.items():
        if every or title in wanted:
            lines = [f"{name}:{value}\r\n" for name, value in facts.items()]
            texts.append(f"# {title.capitalize()}\r\n{''.join(lines)}")
    return "\r\n".join(texts)
