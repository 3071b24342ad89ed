"""A chat: each connection reads its socket and receives pushes at the same time. Try `nc localhost 7008`, twice."""

import regrove as rg


class Guest(rg.Isolate):
    def __init__(self, stream: rg.Stream) -> None:
        self.stream = stream

    def start(self, ctx: rg.Context) -> rg.Effect:
        ctx.join("guests")
        ctx.begin(rg.Read(self.stream, timeout=None))  # what is read comes as a message among the others
        return rg.RECEIVE

    def handle(self, ctx: rg.Context, message: object) -> rg.Effect:
        match message:
            case bytes(line):
                return rg.Write(self.stream, line)  # while it is slow, pushes wait in the mailbox, at most 256
            case rg.Received(data) if data:
                ctx.publish("guests", data)
                ctx.begin(rg.Read(self.stream, timeout=None))
            case rg.Received() | rg.Failed():
                return rg.DONE
        return rg.RECEIVE


class Door(rg.Isolate):
    def start(self, ctx: rg.Context) -> rg.Effect:
        return rg.Listen("127.0.0.1", int(ctx.place.settings.get("port", "7008")))

    def handle(self, ctx: rg.Context, outcome: rg.Listening | rg.Accepted) -> rg.Effect:
        if isinstance(outcome, rg.Listening):
            self.listener = outcome.listener
        else:
            ctx.spawn(rg.Child("guest", Guest, outcome.stream, restart="temporary"), under="connections")
        return rg.Accept(self.listener)


children = (rg.DynamicSupervisor("connections", name="connections"), rg.Child("door", Door))
app = rg.Application("push", tree=lambda place: rg.Supervisor("root", children))
