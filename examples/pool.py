"""A rate-limited worker pool with backpressure: 4 workers, 20 jobs a second each; who is faster has to wait."""

import regrove as rg

WORKERS, RATE = 4, 20


class Worker(rg.Isolate):
    mailbox_capacity = 2  # jobs that may wait here; then `Push` waits in the pool
    finished = 0

    def handle(self, ctx: rg.Context, message: object) -> rg.Effect:
        match message:
            case int():  # a job; real work would be done here
                self.finished += 1
                return rg.Sleep(1 / RATE)  # takes no mail meanwhile: that is the rate limit
            case "finished":
                return rg.Reply(self.finished)
            case _:
                return rg.RECEIVE


class Pool(rg.Isolate):
    mailbox_capacity = 8  # then `send` is told MAILBOX_FULL, and `Push` waits
    turn = 0

    def handle(self, ctx: rg.Context, message: object) -> rg.Effect:
        if not isinstance(message, int):
            return rg.RECEIVE  # the outcome of a push
        self.turn = (self.turn + 1) % WORKERS
        return rg.Push(f"worker-{self.turn}", message, timeout=None)


def tree(place: rg.Place) -> rg.Supervisor:
    names = [f"worker-{number}" for number in range(WORKERS)]
    workers = [rg.Child(name, Worker, name=name) for name in names]
    return rg.Supervisor("root", [*workers, rg.Child("pool", Pool, name="pool")])


app = rg.Application("pool", tree=tree)
