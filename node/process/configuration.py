"""A node's configuration: flags over `REGROVE_*` over the TOML file over defaults, each value with its origin.

The TOML file holds the same keys at its top level, and the application's settings as the table `[settings]`:

    app = "shop.app:app"
    cores = 4
    join = ["10.0.0.2:7400"]
    core_restarts = "3/30s"
    [settings]
    port = 6380

A variable is `REGROVE_` and the key in capitals (`REGROVE_DRAIN_LIMIT=5s`; lists by commas); `REGROVE_CONFIG` names the
file. Settings are merged key by key. The runtime folder's root also comes from where services get theirs: `folders.py`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from regrove.node.core.errors import Misuse
from regrove.node.process import folders, machine, values
from regrove.node.process.budget import SECOND, Policy, RestartBudget
from regrove.records import dataclass, fields

STALL_KILL: Final = 5.0  # seconds without progress until a core is replaced
START_KILL: Final = 60.0  # seconds from spawn to up
DRAIN_LIMIT: Final = 20.0  # seconds; Kubernetes' 30 s of grace leave room for the rest of a stop


class ConfigError(Misuse):
    """A value that cannot be used: `key`, `value`, the `rule` it breaks, the `mend`, and its `origin`."""

    def __init__(self, key: str, value: object, rule: str, mend: str, origin: str = "") -> None:
        self.key = key
        self.value = value
        self.rule = rule
        self.mend = mend
        self.origin = origin
        where = f" (from {origin})" if origin else ""
        super().__init__(f"{key} = {value!r}{where}: {rule}; {mend}")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything a manager is started with. Times in seconds, sizes in bytes; texts empty when not given.

    `data_ports` is a range of tcp ports or None (the kernel chooses); `memory` is the limit of one core or None;
    `stall_kill` and `start_kill` of 0 kill nothing; `pin` is `auto`, `off` or CPU numbers such as `0-3,8`;
    `keys` is the file with the key pair of the cluster's tcp links beyond loopback; `import_path` are folders put first
    on the import path of the cores (empty: the working folder).
    """

    app: str
    name: str
    cores: int = 1
    roles: tuple[tuple[str, int], ...] = ()
    listen: str = ""
    advertise: str = ""
    data_ports: tuple[int, int] | None = None
    cluster: str = "regrove"
    join: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    runtime_dir: str = ""
    state_dir: str = ""
    data_dir: str = ""
    drain_limit: float = DRAIN_LIMIT
    core_restarts: str = "3/30s"
    log_format: str = "auto"
    log_level: str = "info"
    keys: str = ""
    memory: int | None = None
    stall_kill: float = STALL_KILL
    start_kill: float = START_KILL
    quarantine: str = "retry"
    pin: str = "auto"
    debug: bool = False
    insecure: bool = False
    import_path: tuple[str, ...] = ()

    @property
    def budget(self) -> RestartBudget:
        """`core_restarts` as numbers."""
        return RestartBudget.parse(self.core_restarts)

    @property
    def stall_limit(self) -> int | None:
        """`stall_kill` in ns; None when nothing is killed for standing still."""
        return None if self.debug or not self.stall_kill else int(self.stall_kill * SECOND)

    @property
    def start_limit(self) -> int | None:
        """`start_kill` in ns; None when a start may take for ever."""
        return None if self.debug or not self.start_kill else int(self.start_kill * SECOND)

    @property
    def policy(self) -> Policy:
        """`quarantine` as the manager takes it."""
        match self.quarantine:
            case "stay" | "exit" as policy:
                return policy
            case _:
                return "retry"

    def role_of(self, core: int) -> str:
        """The role of a core: the first role's count from core 0 on, then the next; the rest have none."""
        first = 0
        for role, count in self.roles:
            if first <= core < first + count:
                return role
            first += count
        return ""

    @property
    def named_folders(self) -> tuple[str, ...]:
        """Folders the operator named in settings (`--set dir=/var/lib/kv`): files of isolates may live there too."""
        return tuple(value for _, value in self.settings if value.startswith("/"))

    def plain(self) -> dict[str, Any]:
        """As plain values for another process; `from_plain` reads them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> NodeConfig:
        """The inverse of `plain`; lists (from msgpack) become tuples again."""
        return cls(**{key: _frozen(value) for key, value in plain.items()})


@dataclass(frozen=True, slots=True)
class Resolved:
    """A configuration and, by key, where each value came from: `--cores`, `REGROVE_CORES`, the file, `default`."""

    config: NodeConfig
    origins: Mapping[str, str]
    file: Path | None = None
    again: Callable[[], Resolved] | None = None  # the same flags and variables over the file as it is then

    def rows(self) -> list[dict[str, Any]]:
        """For `regrove config`: key, value and origin, in the order of the fields."""
        plain = self.config.plain()
        return [{"key": key, "value": plain[key], "origin": self.origins.get(key, "default")} for key in plain]


@dataclass(frozen=True, slots=True)
class _Raw:
    value: object
    origin: str


READERS: Final[Mapping[str, Callable[[object], Any]]] = MappingProxyType(
    {
        "app": values.text,
        "name": values.node_name,
        "cores": values.count,
        "roles": values.roles,
        "listen": values.address,
        "advertise": values.address,
        "data_ports": values.ports,
        "cluster": values.word,
        "join": values.addresses,
        "settings": values.settings,
        "runtime_dir": values.text,
        "state_dir": values.text,
        "data_dir": values.text,
        "drain_limit": values.seconds,
        "core_restarts": values.restarts,
        "log_format": values.choice("auto", "json", "console"),
        "log_level": values.choice("debug", "info", "warning", "error"),
        "keys": values.text,
        "memory": values.size,
        "stall_kill": values.seconds,
        "start_kill": values.seconds,
        "quarantine": values.choice("retry", "stay", "exit"),
        "pin": values.pin,
        "debug": values.flag,
        "insecure": values.flag,
        "import_path": values.texts,
    }
)


def resolve(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | Path | None = None,
    named: Callable[[str], str] | None = None,
) -> Resolved:
    """Put a node's configuration together; a flag of None was not given. Raises ConfigError.

    `environ` is `os.environ` when None; `file` wins over `REGROVE_CONFIG`. `named` gives the words of whoever gave the
    flags for a key (default: those of the command line).
    """
    environ = os.environ if environ is None else environ
    named = named or flag_name
    raws = _gather(flags or {}, environ, file, named)
    found = {key: _read(key, raw) for key, raw in raws.items() if key != "settings"}
    origins = {key: raw.origin for key, raw in raws.items()}
    found["settings"], origins["settings"] = _settings(raws.get("settings"), flags or {}, environ, file, named)
    if "app" not in found:
        raise ConfigError("app", "", "the application is missing", "write for example `regrove start shop:app`")
    _fill_defaults(found, origins, environ)
    config = NodeConfig(**found)
    _check_together(config, origins)
    path = file if file is not None else environ.get("REGROVE_CONFIG") or None
    kept = dict(environ)
    return Resolved(
        config,
        MappingProxyType(origins),
        None if path is None else Path(path),
        lambda: resolve(flags, kept, file, named),
    )


def _gather(
    flags: Mapping[str, object], environ: Mapping[str, str], file: str | Path | None, named: Callable[[str], str]
) -> dict[str, _Raw]:
    """The winning raw value of each key that was given anywhere."""
    raws: dict[str, _Raw] = {}
    path = file if file is not None else environ.get("REGROVE_CONFIG") or None
    if path is not None:
        for key, value in _toml(Path(path)).items():
            if key not in READERS:
                raise ConfigError(key, value, "there is no such key", f"use one of {', '.join(READERS)}", str(path))
            raws[key] = _Raw(value, str(path))
    for key in READERS:
        variable = f"REGROVE_{key.upper()}"
        if environ.get(variable):
            raws[key] = _Raw(environ[variable], variable)
    for key, given in flags.items():
        if key not in READERS:
            raise ConfigError(key, given, "there is no such key", f"use one of {', '.join(READERS)}")
        if given is not None and given not in ((), [], {}):
            raws[key] = _Raw(given, named(key))
    return raws


def flag_name(key: str) -> str:
    """The command line's word for a key: `data_ports` -> `--data-ports`."""
    special = {"app": "APP", "settings": "--set", "roles": "--role", "import_path": "the caller"}
    return special.get(key, f"--{key.replace('_', '-')}")


def _toml(path: Path) -> dict[str, Any]:
    mend = "give the path of a TOML file with --config"
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise ConfigError("config", str(path), "there is no such file", mend) from None
    except OSError as problem:
        raise ConfigError("config", str(path), f"it cannot be read: {problem.strerror}", mend) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError("config", str(path), f"it is not TOML: {problem}", "mend that line") from problem


def _read(key: str, raw: _Raw) -> Any:
    try:
        return READERS[key](raw.value)
    except values.BadValue as problem:
        raise ConfigError(key, raw.value, problem.rule, problem.mend, raw.origin) from None


def _settings(
    winner: _Raw | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: str | Path | None,
    named: Callable[[str], str],
) -> tuple[tuple[tuple[str, str], ...], str]:
    """Settings are merged key by key: file, then `REGROVE_SETTINGS`, then flags."""
    if winner is None:
        return (), "default"
    path = file if file is not None else environ.get("REGROVE_CONFIG") or None
    layers = [
        _Raw(_toml(Path(path)).get("settings") if path is not None else None, str(path)),
        _Raw(environ.get("REGROVE_SETTINGS") or None, "REGROVE_SETTINGS"),
        _Raw(flags.get("settings") or None, named("settings")),
    ]
    merged: dict[str, str] = {}
    origins: list[str] = []
    for layer in layers:
        if layer.value is not None:
            merged.update(_read("settings", layer))
            origins.append(layer.origin)
    return tuple(sorted(merged.items())), " over ".join(reversed(origins))


def _fill_defaults(found: dict[str, Any], origins: dict[str, str], environ: Mapping[str, str]) -> None:
    """The values that depend on the machine and the user."""
    if "name" not in found:
        found["name"], origins["name"] = f"node@{machine.host_name()}", "default: node@ and the host's name"
    if "cores" not in found:
        found["cores"], origins["cores"] = machine.usable_cores(), "default: affinity set and cgroup quota"
    if "runtime_dir" not in found:
        root, origin = folders.default_runtime_root(environ)
        found["runtime_dir"], origins["runtime_dir"] = str(root), origin
    if "state_dir" not in found:
        root, origin = folders.default_state_root(environ)
        found["state_dir"], origins["state_dir"] = str(root), origin
    if "data_dir" not in found:
        found["data_dir"] = str(Path(found["state_dir"]) / "data" / found["name"])
        origins["data_dir"] = "default: under state_dir"
    if found.get("join") and "listen" not in found and all(is_loopback(host) for host in found["join"]):
        found["listen"], origins["listen"] = "127.0.0.1:0", "default: join is on loopback"
    for key in ("runtime_dir", "state_dir", "data_dir", *(["keys"] if found.get("keys") else [])):
        found[key] = os.path.abspath(os.path.expanduser(found[key]))


def _check_together(config: NodeConfig, origins: Mapping[str, str]) -> None:
    """Rules between values."""

    def refuse(key: str, rule: str, mend: str) -> None:
        raise ConfigError(key, getattr(config, key), rule, mend, origins.get(key, "default"))

    if config.join and not config.listen:
        refuse("join", "other nodes must be able to reach this one", "give --listen HOST:PORT too")
    if config.advertise and not config.listen:
        refuse("advertise", "it says how others reach --listen", "give --listen HOST:PORT too")
    if config.listen and not config.advertise and _any_host(config.listen):
        refuse("listen", "it is every interface, which others cannot dial", "give --advertise HOST:PORT too")
    beyond = config.listen and not (is_loopback(config.listen) and all(map(is_loopback, config.join)))
    if beyond and not config.keys and not config.insecure:
        refuse("listen", "links beyond loopback need keys", "give --keys FILE, or --insecure to go without")
    if config.pin not in ("auto", "off") and len(values.cpu_numbers(config.pin)) < config.cores:
        refuse("pin", f"each of the {config.cores} cores needs a CPU of its own", "name as many CPUs, or write auto")
    if sum(count for _, count in config.roles) > config.cores:
        refuse("roles", f"there are only {config.cores} cores", "raise --cores or lower the counts")
    if config.data_ports is not None and config.data_ports[1] - config.data_ports[0] + 1 < config.cores:
        refuse("data_ports", f"each of the {config.cores} cores needs one port", "widen the range")


def is_loopback(host_port: str) -> bool:
    """Tell whether `HOST:PORT` stays on this machine."""
    host = host_port.rpartition(":")[0].strip("[]")
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _any_host(host_port: str) -> bool:
    return host_port.rpartition(":")[0].strip("[]") in ("0.0.0.0", "::")


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value
