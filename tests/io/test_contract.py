"""The real edge keeps the contract of every edge."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable

import pytest

from regrove.node.io import contract
from regrove.node.io.contract import CHECKS, Bench


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_edge_keeps_the_contract(check: Callable[[Bench], None], bench: Bench) -> None:
    check(bench)


def test_every_check_of_the_contract_is_in_the_list() -> None:
    source = ast.parse(inspect.getsource(contract))
    checks = [
        node.name
        for node in source.body
        if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["bench"]
    ]
    assert checks == [check.__name__ for check in CHECKS]
