"""OTP's answers to all scripts, stored, so that they also judge where `erl` is not installed.

    python -m tests.conformance.corpus      runs every script five times through `erl` and stores what it answered

The file is text, compressed: a line that names the OTP, a line of digests of the scripts, one for each 400, and then
one line a script: its traces, most often one, with tabs between them.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tests.conformance.directed import script
from tests.conformance.erlang import erlang
from tests.conformance.judge import judged

FILE = Path(__file__).with_name("otp_answers.gz")
SCRIPTS = 20_000
RUNS = 5
SHARE = 400  # scripts under one digest
COMMAND = "python -m tests.conformance.corpus"


def digest(share: int) -> str:
    text = "".join(erlang(script(number)) for number in range(share * SHARE, (share + 1) * SHARE))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def answers(numbers: range) -> Iterator[frozenset[str]]:
    """The stored traces of scripts 0, 1, 2 ...; the number of scripts is a multiple of 400.

    Raises AssertionError when the scripts are not those that were judged.
    """
    with gzip.open(FILE, "rt") as lines:
        next(lines)
        digests = next(lines).split()
        for share in range(len(numbers) // SHARE):
            assert digest(share) == digests[share], f"the scripts have changed; with erl installed, run {COMMAND}"
        for line in islice(lines, len(numbers)):
            yield frozenset(line.rstrip("\n").split("\t"))


def release() -> str:
    """Name the OTP that judges."""
    command = ["erl", "-noshell", "-eval", 'io:format("~s", [erlang:system_info(otp_release)]), halt().']
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def store() -> None:
    scripts = [script(number) for number in range(SCRIPTS)]
    traces: dict[int, set[str]] = {number: set() for number in range(SCRIPTS)}
    for run in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            for number, seen in judged(scripts, Path(folder)).items():
                traces[number].update(seen)
        print(f"run {run + 1} of {RUNS}: {sum(len(seen) > 1 for seen in traces.values())} scripts with several answers")
    lines = [f"OTP {release()}", " ".join(digest(share) for share in range(SCRIPTS // SHARE))]
    lines += ["\t".join(sorted(seen)) for seen in traces.values()]
    FILE.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))


if __name__ == "__main__":
    store()
