"""supervision.md 1: specs are valid from birth, and each error says owner, field, value, rule and mend."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from regrove.supervisor.rules import SpecError
from regrove.supervisor.spec import AnySpec, Child, DynamicSupervisor, Supervisor, validate_tree, walk
from tests.supervisor.playbook import Worker


def child(**options: Any) -> Child:
    return Child("a", Worker, **options)


def supervisor(**options: Any) -> Supervisor:
    return Supervisor("s", **options)


def dynamic(**options: Any) -> DynamicSupervisor:
    return DynamicSupervisor("d", **options)


def test_the_defaults_are_those_of_otp() -> None:
    worker, static, pool = child(), supervisor(), dynamic()
    assert (worker.restart, worker.shutdown, worker.significant, worker.start_timeout) == (
        "permanent",
        5.0,
        False,
        None,
    )
    assert (static.strategy, static.intensity, static.period, static.auto_shutdown) == ("one_for_one", 1, 5.0, "never")
    assert (static.restart, static.shutdown, static.significant) == ("permanent", "infinity", False)
    assert (pool.max_children, pool.extra_arguments, pool.intensity, pool.period) == (10_000, (), 1, 5.0)
    assert (pool.restart, pool.shutdown) == ("permanent", "infinity")


def test_a_child_keeps_its_arguments_apart_from_the_callers() -> None:
    options = {"size": 1}
    spec = Child("a", Worker, 10, "x", kwargs=options, name="counter", core=1, node="n@h")
    options["size"] = 2
    assert (spec.args, spec.kwargs, spec.name, spec.core, spec.node) == ((10, "x"), {"size": 1}, "counter", 1, "n@h")


RESTART = "one of permanent, transient, temporary"
SHUTDOWN = "'brutal_kill', seconds >= 0, or 'infinity'"
COUNT = "a whole number >= 0"
BAD: list[tuple[Any, str, Any, str]] = [
    (child, "restart", "always", RESTART),
    (child, "restart", None, RESTART),
    (child, "restart", ["permanent"], RESTART),
    (child, "shutdown", -1, SHUTDOWN),
    (child, "shutdown", True, SHUTDOWN),
    (child, "shutdown", math.nan, SHUTDOWN),
    (child, "shutdown", math.inf, SHUTDOWN),
    (child, "shutdown", Decimal(5), SHUTDOWN),
    (child, "shutdown", "5", SHUTDOWN),
    (child, "shutdown", None, SHUTDOWN),
    (child, "shutdown", [], SHUTDOWN),
    (child, "significant", 1, "True or False"),
    (child, "start_timeout", 0, "seconds > 0"),
    (child, "start_timeout", True, "seconds > 0"),
    (child, "start_timeout", "5", "seconds > 0"),
    (child, "core", -1, COUNT),
    (child, "core", True, COUNT),
    (child, "core", 1.0, COUNT),
    (child, "node", "", "not empty"),
    (child, "name", 7, "not empty"),
    (child, "kwargs", [1], "mapping"),
    (child, "kwargs", {1: 2}, "mapping"),
    (supervisor, "strategy", "one_for_some", "one of one_for_one, one_for_all, rest_for_one"),
    (supervisor, "intensity", -1, COUNT),
    (supervisor, "intensity", True, COUNT),
    (supervisor, "intensity", 1.0, COUNT),
    (supervisor, "period", 0, "seconds > 0"),
    (supervisor, "period", math.inf, "seconds > 0"),
    (supervisor, "auto_shutdown", "sometimes", "one of never, any_significant, all_significant"),
    (supervisor, "restart", "x", RESTART),
    (supervisor, "shutdown", -0.5, SHUTDOWN),
    (supervisor, "significant", None, "True or False"),
    (supervisor, "name", "", "not empty"),
    (supervisor, "children", None, "a list of specs"),
    (supervisor, "children", "ab", "a list of specs"),
    (supervisor, "children", {"a": 1}, "a list of specs"),
    (supervisor, "children", Child("a", Worker), "a list of specs"),
    (dynamic, "max_children", -1, COUNT),
    (dynamic, "max_children", math.inf, COUNT),
    (dynamic, "extra_arguments", 5, "tuple"),
    (dynamic, "extra_arguments", "ab", "tuple"),
    (dynamic, "intensity", "1", COUNT),
    (dynamic, "period", -1, "seconds > 0"),
    (dynamic, "restart", "x", RESTART),
    (dynamic, "shutdown", "x", SHUTDOWN),
    (dynamic, "name", 1, "not empty"),
]


@pytest.mark.parametrize(
    ("make", "field", "value", "rule"), BAD, ids=lambda value: getattr(value, "__name__", repr(value))
)
def test_what_breaks_a_rule_is_refused_with_owner_field_value_rule_and_mend(
    make: Any, field: str, value: Any, rule: str
) -> None:
    with pytest.raises(SpecError) as caught:
        make(**{field: value})
    error = caught.value
    assert error.field == field
    assert error.value is value
    owner = {"child": "child 'a'", "supervisor": "supervisor 's'", "dynamic": "dynamic supervisor 'd'"}[make.__name__]
    assert error.owner == owner
    text = str(error)
    assert text.startswith(f"{owner}: {field} = ")
    for part in (rule, error.rule, error.mend):
        assert part in text


@pytest.mark.parametrize("id", ["", "a/b", "a\nb", 7, None, b"a"])
def test_an_id_is_a_printable_text_without_a_slash(id: Any) -> None:
    makers: list[Any] = [lambda: Child(id, Worker), lambda: Supervisor(id), lambda: DynamicSupervisor(id)]
    for make in makers:
        with pytest.raises(SpecError) as caught:
            make()
        assert (caught.value.field, caught.value.value) == ("id", id)


def test_a_factory_must_be_callable_and_the_mend_shows_how() -> None:
    with pytest.raises(SpecError, match=r"child 'a': factory = .*give the class and its arguments"):
        Child("a", Worker())  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [Worker, Worker(), "a", ("a", Worker), None])
def test_a_child_that_is_no_spec_is_refused_at_its_position(bad: Any) -> None:
    with pytest.raises(SpecError, match=r"supervisor 's': children\[1\] = .*wrap it: Child"):
        Supervisor("s", [Child("a", Worker), bad])


def test_ids_are_unique_below_a_supervisor_and_the_text_has_the_path() -> None:
    with pytest.raises(SpecError, match=r"children\[0\] and children\[2\] would both be 'workers/a'"):
        Supervisor("workers", [Child("a", Worker), Child("b", Worker), Supervisor("a")])


def test_the_same_id_may_stand_below_different_supervisors() -> None:
    tree = Supervisor("s", [Supervisor("x", [Child("a", Worker)]), Supervisor("y", [Child("a", Worker)])])
    assert [path for path, _ in walk(tree)] == ["s", "s/x", "s/x/a", "s/y", "s/y/a"]


def test_a_permanent_child_cannot_be_significant() -> None:
    makers: list[Any] = [child, supervisor, dynamic]
    for make in makers:
        with pytest.raises(SpecError, match="significant = True is refused: a permanent child is always restarted"):
            make(significant=True)


@pytest.mark.parametrize("spec", [child, supervisor, dynamic], ids=lambda make: make.__name__)
def test_a_significant_child_needs_a_supervisor_with_auto_shutdown(spec: Any) -> None:
    significant = spec(significant=True, restart="transient")
    with pytest.raises(SpecError, match="supervisor 's' has auto_shutdown='never'"):
        Supervisor("s", [significant])
    words: list[Any] = ["any_significant", "all_significant"]
    for word in words:
        assert Supervisor("s", [significant], auto_shutdown=word).children == (significant,)


def test_a_dynamic_supervisor_knows_no_auto_shutdown_and_no_strategy() -> None:
    with pytest.raises(TypeError):
        dynamic(auto_shutdown="any_significant")
    with pytest.raises(TypeError):
        dynamic(strategy="one_for_one")


def test_specs_cannot_be_changed_and_do_not_follow_a_changed_list() -> None:
    children = [Child("a", Worker)]
    spec = Supervisor("s", children)
    children.append(Child("b", Worker))
    assert len(spec.children) == 1
    for frozen, field in ((spec, "intensity"), (spec.children[0], "restart"), (dynamic(), "period")):
        with pytest.raises(AttributeError):
            setattr(frozen, field, 3)


def test_specs_compare_and_hash_by_value() -> None:
    def tree(last: int) -> Supervisor:
        return Supervisor("s", [Child("a", Worker, 1), Supervisor("x", [Child("b", Worker, last)]), dynamic()])

    assert tree(1) == tree(1)
    assert hash(tree(1)) == hash(tree(1))
    assert tree(1) != tree(2)
    assert tree(1) != Supervisor("s", [Child("a", Worker, 1)])
    assert tree(1) != "s"
    assert Child("a", Worker, kwargs={"x": 1}) != Child("a", Worker, kwargs={"x": 2})
    assert len({Child("a", Worker), Child("a", Worker), Child("b", Worker)}) == 2


def test_specs_print_in_one_line() -> None:
    assert repr(child()) == "Child('a', Worker, permanent)"
    assert repr(supervisor(children=[child()])) == "Supervisor('s', 1 children, one_for_one)"
    assert repr(dynamic()) == "DynamicSupervisor('d', max_children=10000)"


def deep(levels: int) -> Supervisor:
    tree: AnySpec = Child("leaf", Worker)
    for level in range(levels):
        tree = Supervisor(f"s{level}", [tree])
    assert isinstance(tree, Supervisor)
    return tree


def test_a_thousand_levels_are_checked_compared_hashed_and_printed() -> None:
    tree = deep(1_000)
    assert validate_tree(tree) is tree
    assert tree == deep(1_000)
    assert tree != deep(999)
    assert hash(tree) == hash(deep(1_000))
    assert "s999" in repr(tree)
    assert sum(1 for _ in walk(tree)) == 1_001


def test_an_error_about_a_huge_value_is_short() -> None:
    with pytest.raises(SpecError) as caught:
        child(restart="x" * 10_000)
    assert len(str(caught.value)) < 400


# A whole tree.


@pytest.mark.parametrize("top", [Child("a", Worker), DynamicSupervisor("d"), None, "root", Worker])
def test_the_top_of_a_tree_is_a_supervisor(top: Any) -> None:
    with pytest.raises(SpecError, match="the top of a tree must be a Supervisor"):
        validate_tree(top)


def test_a_name_given_twice_on_one_core_is_refused_with_both_paths() -> None:
    tree = Supervisor("s", [Child("a", Worker, name="n"), Supervisor("x", [Child("b", Worker, name="n")])])
    with pytest.raises(SpecError, match=r"child 's/x/b': name = 'n' is refused: .* 's/a' registers it too"):
        validate_tree(tree)


def test_the_same_name_on_different_cores_is_right() -> None:
    tree = Supervisor("s", [Child("a", Worker, name="n", core=0), Child("b", Worker, name="n", core=1)])
    assert validate_tree(tree) is tree
