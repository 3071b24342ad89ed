"""Where the user's own code stands in a stack dump of faulthandler."""

from __future__ import annotations

import os

from regrove.node.core.page import PASS_AT
from regrove.node.process.boot import BootParameters
from regrove.node.process.configuration import resolve
from regrove.node.process.core_process import let_be_watched
from regrove.node.process.stacks import Code, Frame, Stack, main_stack, place_of

CODE = Code(("/srv/regrove/node/", "/srv/regrove/supervisor/"), ("/usr/lib/python3/",), "/srv/regrove/node/process/")
CORE = """  File "/srv/regrove/node/core/scheduler.py", line 125 in drain
  File "/srv/regrove/node/process/core_loop.py", line 80 in run
  File "<frozen runpy>", line 88 in _run_code
"""
FORKED = """  File "/srv/regrove/node/core/scheduler.py", line 125 in drain
  File "/srv/regrove/node/process/core_loop.py", line 80 in run
  File "/srv/regrove/node/process/zygote.py", line 58 in fork_from_manager
  File "/srv/regrove/node/process/manager_process.py", line 59 in run
  File "/srv/regrove/node/cli/running.py", line 65 in start
  File "/usr/lib/python3/site-packages/click/core.py", line 1078 in main
  File "/srv/regrove/node/cli/failing.py", line 30 in run
  File "/usr/bin/regrove", line 8 in <module>
"""


def place(dump: str) -> str:
    return str(main_stack(dump, CODE).place)


def test_the_place_is_the_innermost_line_of_the_user() -> None:
    dump = f"""Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3/re/__init__.py", line 166 in match
  File "/app/shop/prices.py", line 12 in parse
  File "/app/shop/app.py", line 7 in handle
{CORE}"""
    assert place(dump) == "/app/shop/prices.py:12 in parse"


def test_a_call_into_regrove_shows_the_line_that_called() -> None:
    dump = f"""Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3/site-packages/structlog/base.py", line 4 in info
  File "/srv/regrove/node/process/logs.py", line 99 in deliver
  File "/app/shop/app.py", line 7 in handle
{CORE}"""
    assert place(dump) == "/app/shop/app.py:7 in handle"


def test_of_an_installed_application_it_is_the_handler() -> None:
    dump = f"""Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3/re/__init__.py", line 166 in match
  File "/usr/lib/python3/site-packages/shop/app.py", line 7 in handle
{CORE}"""
    assert place(dump) == "/usr/lib/python3/site-packages/shop/app.py:7 in handle"


def test_without_a_line_of_the_user_it_is_the_innermost() -> None:
    assert place(f"Current thread 0x00007f (most recent call first):\n{CORE}").endswith("scheduler.py:125 in drain")


def test_the_command_that_started_a_forked_core_is_not_taken_for_the_handler() -> None:
    handler = '  File "/usr/lib/python3/site-packages/shop/app.py", line 7 in handle\n'
    dump = "Current thread 0x00007f (most recent call first):\n"
    assert place(f"{dump}{handler}{FORKED}") == "/usr/lib/python3/site-packages/shop/app.py:7 in handle"
    assert place(f"{dump}{FORKED}") == "/srv/regrove/node/core/scheduler.py:125 in drain"


def test_the_main_thread_is_the_last_one_whichever_took_the_signal() -> None:
    dump = f"""Current thread 0x00007f (most recent call first):
  File "/app/shop/worker.py", line 3 in crunch

Thread 0x00008f (most recent call first):
  File "/app/shop/app.py", line 7 in handle
{CORE}"""
    assert place(dump) == "/app/shop/app.py:7 in handle"


def test_names_of_threads_and_odd_paths_are_read() -> None:
    dump = """Thread 0x00007f [python3] (most recent call first):
  File "/app/a "b", line 1/app.py", line 7 in <lambda>
"""
    assert main_stack(dump, CODE).place == Frame('/app/a "b", line 1/app.py', 7, "<lambda>")


def test_nonsense_is_an_empty_stack() -> None:
    for dump in ("", "Current thread", '  File "x", line 1 in y', "\x00\xff" * 100):
        assert main_stack(dump, CODE) == Stack()


def test_what_is_installed_here_is_told_from_what_is_the_users() -> None:
    code = Code.here()
    assert code.is_ours(Code.here.__func__.__code__.co_filename)  # type: ignore[attr-defined]
    assert code.is_library(os.__file__)
    assert not code.is_library(__file__)
    assert not code.is_ours(__file__)
    assert place_of((Frame(__file__, 1, "f"),), code) == Frame(__file__, 1, "f")


def test_a_core_that_cannot_open_its_page_knows_why() -> None:
    config = resolve({"app": "shop:app", "name": "one@here"}).config
    words, problem = let_be_watched(BootParameters(config, 0, 1, 1, os.getpid(), "ipc://x", pages=-1, dumps=-1))
    words[PASS_AT] = 7  # it runs all the same
    assert f"/proc/{os.getpid()}/fd/-1" in problem
