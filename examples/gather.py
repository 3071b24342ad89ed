"""Scatter-gather: ask five shops for a price, take the best of those that answer within the deadline."""

import regrove as rg

SHOPS, DEADLINE = 5, 0.2  # seconds


@rg.message
class Price:
    item: str


class Shop(rg.Isolate):
    def __init__(self, number: int) -> None:
        self.price, self.pause = 100 - number, 0.05 * number**2  # the cheapest take longest: three are too late

    def handle(self, ctx: rg.Context, message: Price) -> rg.Effect:
        return rg.Sleep(self.pause, then=self.answer)  # the request stays in hand

    def answer(self, ctx: rg.Context, outcome: rg.Outcome) -> rg.Effect:
        return rg.Reply(self.price)


class Desk(rg.Isolate):
    def handle(self, ctx: rg.Context, message: Price) -> rg.Effect:
        calls = [rg.Call(f"shop-{number}", message) for number in range(SHOPS)]
        return rg.CallAll(calls, timeout=DEADLINE, then=self.best)

    def best(self, ctx: rg.Context, outcome: rg.Gathered) -> rg.Effect:
        values = [each.value for each in outcome.outcomes if isinstance(each, rg.Replied)]
        prices = [value for value in values if isinstance(value, int)]
        return rg.Reply({"best": min(prices, default=None), "answers": len(prices)})


def tree(place: rg.Place) -> rg.Supervisor:
    shops = [rg.Child(f"shop-{number}", Shop, number, name=f"shop-{number}") for number in range(SHOPS)]
    return rg.Supervisor("root", [*shops, rg.Child("desk", Desk, name="desk")])


app = rg.Application("gather", tree=tree)
