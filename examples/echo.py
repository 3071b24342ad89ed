"""A tcp echo server, one isolate a connection: `regrove start examples.echo:app`, then `nc localhost 7007`."""

import regrove as rg


class Echo(rg.Isolate):
    def __init__(self, stream: rg.Stream) -> None:
        self.stream = stream

    def start(self, ctx: rg.Context) -> rg.Effect:
        return rg.Read(self.stream, timeout=None)

    def handle(self, ctx: rg.Context, outcome: object) -> rg.Effect:
        match outcome:
            case rg.Received(data) if data:
                return rg.Write(self.stream, data)
            case rg.Written():
                return rg.Read(self.stream, timeout=None)
            case _:
                return rg.DONE  # the end of the stream, or an error: it closes with its isolate


class Door(rg.Isolate):
    def start(self, ctx: rg.Context) -> rg.Effect:
        return rg.Listen("127.0.0.1", int(ctx.place.settings.get("port", "7007")))

    def handle(self, ctx: rg.Context, outcome: rg.Listening | rg.Accepted) -> rg.Effect:
        if isinstance(outcome, rg.Listening):
            self.listener = outcome.listener
        else:
            ctx.spawn(rg.Child("echo", Echo, outcome.stream, restart="temporary"), under="connections")
        return rg.Accept(self.listener)


children = (rg.DynamicSupervisor("connections", name="connections"), rg.Child("door", Door))
app = rg.Application("echo", tree=lambda place: rg.Supervisor("root", children))
