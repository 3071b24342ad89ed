"""A node's configuration: which source wins, and what each refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrove.node.process.configuration import (
    ConfigError,
    NodeConfig,
    flag_name,
    is_loopback,
    resolve,
)
from regrove.node.process.framing import FrameReader, pack

ENV = {"HOME": "/nowhere", "REGROVE_RUNTIME_DIR": "/run/test"}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return path


def test_flags_win_over_variables_over_the_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, 'app = "file:app"\nname = "file@h"\ncores = 3\ndrain_limit = "7s"\ncluster = "file"\n')
    environ = ENV | {"REGROVE_NAME": "env@h", "REGROVE_CORES": "4", "REGROVE_CLUSTER": ""}
    found = resolve({"name": "flag@h", "cores": None}, environ, file)
    assert (found.config.name, found.config.cores, found.config.drain_limit) == ("flag@h", 4, 7.0)
    assert found.config.cluster == "file"
    assert found.origins["name"] == "--name"
    assert found.origins["cores"] == "REGROVE_CORES"
    assert found.origins["drain_limit"] == str(file)
    assert "join" not in found.origins


def test_settings_are_merged_key_by_key(tmp_path: Path) -> None:
    file = write(tmp_path, 'app = "m:a"\n[settings]\nport = 1\nsync = true\nonly = "file"\n')
    environ = ENV | {"REGROVE_SETTINGS": "port=2,env=x"}
    found = resolve({"settings": {"port": "3"}}, environ, file)
    assert found.config.settings == (("env", "x"), ("only", "file"), ("port", "3"), ("sync", "true"))
    assert found.origins["settings"] == f"--set over REGROVE_SETTINGS over {file}"


def test_a_setting_given_as_a_flag_may_hold_commas_and_equals() -> None:
    found = resolve({"app": "m:a", "settings": ["list=a,b", "rule=x=y"]}, ENV)
    assert dict(found.config.settings) == {"list": "a,b", "rule": "x=y"}


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    file = write(tmp_path, 'app = "m:a"\n')
    assert resolve({}, ENV | {"REGROVE_CONFIG": str(file)}).config.app == "m:a"


def test_every_row_of_config_has_an_origin() -> None:
    rows = resolve({"app": "m:a"}, ENV).rows()
    assert all(row["origin"] for row in rows)
    assert next(row for row in rows if row["key"] == "app") == {"key": "app", "value": "m:a", "origin": "APP"}
    assert next(row for row in rows if row["key"] == "runtime_dir")["origin"] == "REGROVE_RUNTIME_DIR"


REFUSED = {
    "name without a host": ({"name": "one"}, "name = 'one' (from --name)", "NAME@HOST"),
    "no cores": ({"cores": "0"}, "cores = '0'", "from 1 to 1024"),
    "a switch for cores": ({"cores": True}, "cores = True", "from 1 to 1024"),
    "port out of range": ({"listen": "h:70000"}, "listen = 'h:70000'", "0 to 65535"),
    "naked IPv6": ({"listen": "::1:7400"}, "listen = '::1:7400'", "brackets"),
    "one bad join": ({"join": "127.0.0.1:1,oops"}, "join", "HOST:PORT"),
    "duration": ({"drain_limit": "soon"}, "drain_limit = 'soon'", "20s"),
    "negative duration": ({"drain_limit": -1}, "drain_limit = -1", "20s"),
    "budget": ({"core_restarts": "3 per 30"}, "core_restarts", "3/30s"),
    "size": ({"memory": "lots"}, "memory = 'lots'", "512M"),
    "log format": ({"log_format": "xml"}, "log_format = 'xml'", "auto, json, console"),
    "range": ({"data_ports": "9-5", "listen": "127.0.0.1:1"}, "data_ports = '9-5'", "7500-7599"),
    "setting without value": ({"settings": ["sync"]}, "settings", "KEY=VALUE"),
    "role": ({"roles": "compute"}, "roles = 'compute'", "ROLE=COUNT"),
    "more roles than cores": ({"roles": "a=3", "cores": 2}, "roles", "there are only 2 cores"),
    "join beyond without listen": ({"join": "10.0.0.1:1"}, "join", "give --listen"),
    "advertise alone": ({"advertise": "h:1"}, "advertise", "give --listen"),
    "every interface": ({"listen": "0.0.0.0:1", "insecure": True}, "listen", "--advertise"),
    "beyond loopback without keys": ({"listen": "10.0.0.1:1"}, "listen", "--keys FILE, or --insecure"),
    "too few ports": ({"listen": "127.0.0.1:1", "data_ports": "5-6", "cores": 3}, "data_ports", "widen"),
    "unknown key": ({"colour": "red"}, "colour = 'red'", "there is no such key"),
}


@pytest.mark.parametrize(("flags", "what", "mend"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_value_names_key_value_rule_and_mend(flags: dict[str, object], what: str, mend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"app": "m:a", "cores": 2, **flags}, ENV)
    assert what in str(caught.value)
    assert mend in str(caught.value)
    assert caught.value.rule
    assert caught.value.mend


FILES = {
    "not TOML": ("app = ", "it is not TOML"),
    "unknown key": ('app = "m:a"\ncolor = 1\n', "there is no such key"),
    "wrong type": ('app = "m:a"\ncores = "many"\n', "from 1 to 1024"),
    "nested setting": ('app = "m:a"\n[settings.deep]\nx = 1\n', "KEY=VALUE"),
}


@pytest.mark.parametrize(("text", "rule"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_named(tmp_path: Path, text: str, rule: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=rule) as caught:
        resolve({}, ENV, file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_missing_application_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        resolve({}, ENV, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="the application is missing"):
        resolve({}, ENV)


def test_joining_on_loopback_listens_on_loopback_by_itself() -> None:
    config = resolve({"app": "m:a", "join": "127.0.0.1:7400"}, ENV).config
    assert (config.listen, config.join) == ("127.0.0.1:0", ("127.0.0.1:7400",))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:7400", "127.0.0.1:7400"])
def test_an_address_may_carry_its_scheme(address: str) -> None:
    assert resolve({"app": "m:a", "listen": address}, ENV).config.listen == "127.0.0.1:7400"


@pytest.mark.parametrize(
    ("address", "verdict"),
    [("127.0.0.1:1", True), ("127.8.9.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("10.0.0.1:1", False)],
)
def test_loopback_is_recognised(address: str, verdict: bool) -> None:
    assert is_loopback(address) is verdict


def test_roles_go_to_the_first_cores_in_order() -> None:
    config = resolve({"app": "m:a", "cores": 4, "roles": "compute=1,store=2"}, ENV).config
    assert [config.role_of(core) for core in range(4)] == ["compute", "store", "store", ""]


def test_a_configuration_survives_the_frame_to_another_process() -> None:
    flags = {"app": "m:a", "join": ["127.0.0.1:1"], "roles": "a=1", "settings": {"x": "y"}, "data_ports": "5-9"}
    config = resolve({**flags, "cores": 2}, ENV).config
    (plain,) = FrameReader().feed(pack(config.plain()))
    assert NodeConfig.from_plain(plain) == config


def test_flags_are_named_as_on_the_command_line() -> None:
    assert [flag_name(key) for key in ("app", "settings", "roles", "data_ports")] == [
        "APP",
        "--set",
        "--role",
        "--data-ports",
    ]
