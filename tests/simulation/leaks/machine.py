"""Leaks of the machine, of the process and of the world outside."""

from __future__ import annotations

import getpass
import glob
import locale
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from regrove import RECEIVE, Effect, Offload
from regrove.node.core.context import Context
from tests.simulation.leaks.planting import Planted, Seen

FOLDER = Path(__file__).parent


class ListOfAFolder(Planted):
    def read(self, ctx: Context) -> object:
        return os.listdir(FOLDER)  # LEAK


class ScanOfAFolder(Planted):
    def read(self, ctx: Context) -> object:
        with os.scandir(FOLDER) as entries:  # LEAK
            return [entry.name for entry in entries]


class Glob(Planted):
    def read(self, ctx: Context) -> object:
        return len(glob.glob(f"{FOLDER}/*.py"))  # LEAK


class FolderOfAPath(Planted):
    def read(self, ctx: Context) -> object:
        return len([*FOLDER.iterdir()])  # LEAK


class FileThere(Planted):
    def read(self, ctx: Context) -> object:
        return (FOLDER / "planting.py").exists()  # LEAK


class FileRead(Planted):
    def read(self, ctx: Context) -> object:
        with open("/proc/self/stat") as file:  # LEAK
            return file.read()


class Environment(Planted):
    def read(self, ctx: Context) -> object:
        return "PATH" in os.environ  # LEAK


class EnvironmentByGetenv(Planted):
    def read(self, ctx: Context) -> object:
        return os.getenv("LANG", "C")  # LEAK


class ProcessId(Planted):
    def read(self, ctx: Context) -> object:
        return os.getpid()  # LEAK


class WorkingFolder(Planted):
    def read(self, ctx: Context) -> object:
        return Path.cwd()  # LEAK


class HostName(Planted):
    def read(self, ctx: Context) -> object:
        return socket.gethostname()  # LEAK


class Platform(Planted):
    def read(self, ctx: Context) -> object:
        return platform.node()  # LEAK


class User(Planted):
    def read(self, ctx: Context) -> object:
        return getpass.getuser()  # LEAK


class CpuCount(Planted):
    def read(self, ctx: Context) -> object:
        return os.cpu_count()  # LEAK


class Locale(Planted):
    def read(self, ctx: Context) -> object:
        return locale.localeconv()["decimal_point"]  # LEAK


class Socket(Planted):
    def read(self, ctx: Context) -> object:
        with socket.socket() as stream:  # LEAK
            return stream.fileno()


class Subprocess(Planted):
    def read(self, ctx: Context) -> object:
        return subprocess.run(["true"], check=False).returncode  # LEAK


class TemporaryName(Planted):
    def read(self, ctx: Context) -> object:
        return tempfile.mktemp()  # LEAK


class Thread(Planted):
    def read(self, ctx: Context) -> object:
        done: list[int] = []
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()  # LEAK
        thread.join()
        return done


class ThreadPool(Planted):
    def read(self, ctx: Context) -> object:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(len, "ab").result()  # LEAK


class ThreadId(Planted):
    def read(self, ctx: Context) -> object:
        return threading.get_ident()  # LEAK


class SizeOfAnObject(Planted):
    def read(self, ctx: Context) -> object:
        return sys.getsizeof(self)  # LEAK


class CountOfReferences(Planted):
    def read(self, ctx: Context) -> object:
        return sys.getrefcount(self)  # LEAK


class MemoryInUse(Planted):
    def read(self, ctx: Context) -> object:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # LEAK


def home_of(user: str) -> str:
    return os.environ.get("HOME", user)  # LEAK


class OffloadedReading(Planted):
    elsewhere = staticmethod(home_of)

    def handle(self, ctx: Context, message: object) -> Effect:
        return Offload(home_of, "nobody", then=self.found)

    def found(self, ctx: Context, outcome: object) -> Effect:
        ctx.send("sink", Seen(str(getattr(outcome, "value", ""))))
        return RECEIVE


class VersionOfPython(Planted):
    hidden = "all processes that an audit starts are of one Python; the determinism matrix has several"

    def read(self, ctx: Context) -> object:
        return sys.version
