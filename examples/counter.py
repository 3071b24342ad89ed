"""The smallest application. `regrove start examples.counter:app`, `regrove call counter 'examples.counter:Total()'`."""

from __future__ import annotations

from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Place, Reply, Supervisor, message


@message
class Add:
    amount: int


@message
class Total:
    pass


class Counter(Isolate):
    def __init__(self, first: int = 0) -> None:
        self.total = first

    def handle(self, ctx: Context, message: Add | Total) -> Effect:
        match message:
            case Add(amount):
                self.total += amount
                return RECEIVE
            case Total():
                return Reply(self.total)


def tree(place: Place) -> Supervisor:
    return Supervisor("root", [Child("counter", Counter, 10, name="counter")])


app = Application("counting", tree=tree)
