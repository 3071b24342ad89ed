"""OTP's own `supervisor` as the judge: scripts run through `erl +S 1`, and the one form in which traces are compared.

Where several lives end at the same moment their order is nobody's rule: the children of a dynamic supervisor that is
stopped, and those of a supervisor that was killed; of the latter also the reason is left out (deviations: OTP tells
supervisors below to stop in order, ours kills them).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.conformance.erlang import erlang
from tests.conformance.scripts import Script

DYNAMIC = re.compile(r"end x\d")


def comparable(trace: Iterable[str]) -> str:
    """A trace in one line, with what is simultaneous in alphabetical order."""
    lines: list[str] = []
    group: list[str] = []  # ends of children of a dynamic supervisor
    killed: list[str] | None = None  # what ends with a killed supervisor
    for line in trace:
        if killed is not None:
            if line == ")":
                lines += sorted(killed)
                killed = None
            else:
                killed.append(line.rsplit(" ", 1)[0])
        elif DYNAMIC.match(line):
            group.append(line)
        else:
            lines += sorted(group)
            group.clear()
            if line == "(":
                killed = []
            else:
                lines.append(line)
    return "|".join(lines + sorted(group))


def judged(scripts: Sequence[Script], folder: Path, workers: int = 100) -> dict[int, list[str]]:
    """Run scripts through OTP: the traces of each by its number, one for each time it is among `scripts`.

    Those that take time run side by side, the others one after the other.
    """
    source = Path(__file__).with_name("otp_judge.erl")
    subprocess.run(["erlc", "-o", str(folder), str(source)], check=True, timeout=300)
    traces: dict[int, list[str]] = {}
    running = []
    for name, slow in (("slow", True), ("plain", False)):
        file = folder / name
        file.write_text("".join(erlang(script) for script in scripts if script.takes_time == slow))
        at_once = str(workers if slow else 1)
        command = ["erl", "+S", "1", "-noshell", "-pa", str(folder), "-run", "otp_judge", "main", str(file), at_once]
        output = (folder / f"{name}.traces").open("w+")
        running.append((subprocess.Popen(command, stdout=output), output))
    try:
        for erl, output in running:
            assert erl.wait(timeout=3_600) == 0, f"erl ended with {erl.returncode}"
            output.seek(0)
            for line in output.read().splitlines():
                number, trace = line.split("\t", 1)
                traces.setdefault(int(number), []).append(comparable(trace.split("|")))
    finally:
        for erl, output in running:
            erl.kill()
            erl.wait()
            output.close()
    return traces
