"""A chat with rooms across all cores of a node. `regrove start examples.chat:app`, then `nc localhost 7009`, twice.

A connection is an isolate that is always ready: what it owes its client waits in its outbox, so that a client who
reads slowly holds nobody up. Who has too much waiting there, or does not take a piece within PATIENCE, is out.
"""

from __future__ import annotations

import re

import regrove as rg

LINE = 512  # bytes of one line
OUTBOX = 64 * 1024  # bytes that wait for a client beside those it is being sent
PATIENCE = 10.0  # seconds a client may take for what it is sent
PACE = 0.05  # seconds from one line of a client to its next; what it sends faster waits in its socket
HELP = "* /nick NAME, /join ROOM, /leave, /who, /quit; everything else is said in your room"
WORD = re.compile(r"[\w-]{1,24}")


@rg.message
class Said:
    room: str
    line: str


class Guest(rg.Isolate):
    trap_exits = True  # who finds its mailbox full says so with an exit signal, which needs no room in it

    def __init__(self, stream: rg.Stream) -> None:
        self.stream = stream
        self.nick = self.room = ""
        self.unread = b""
        self.outbox: list[bytes] = []
        self.writing = self.leaving = False

    def start(self, ctx: rg.Context) -> rg.Effect:
        ctx.begin(rg.Read(self.stream, LINE, timeout=None))
        return self.tell(ctx, "* your name?")

    def handle(self, ctx: rg.Context, message: object) -> rg.Effect:
        match message:
            case Said(room, line):  # one may still come from a room that was left
                return self.tell(ctx, line) if room == self.room else rg.RECEIVE
            case rg.Received(data) if data:
                self.unread += data
                return self.next_line(ctx)
            case "next":
                return self.next_line(ctx)
            case rg.Written():
                self.writing = False
                if self.leaving and not self.outbox:
                    return rg.DONE
                return self.flush(ctx)
            case rg.Undelivered(reason=rg.MailboxFull(), token=rg.Address() as member):
                ctx.exit(member, rg.Shutdown("too much waits for you"))
            case rg.Exit(reason=rg.Shutdown(detail)):
                return self.drop(ctx, str(detail))
            case rg.Received() | rg.Failed():  # the client is gone, or took too long for what it was sent
                self.change_room(ctx, "")
                return rg.DONE
        return rg.RECEIVE

    # --- what the client says --------------------------------------------------------------------------------------

    def next_line(self, ctx: rg.Context) -> rg.Effect:
        line, end, rest = self.unread.partition(b"\n")
        if self.leaving:
            return rg.RECEIVE
        if len(line) > LINE:
            return self.drop(ctx, f"a line has at most {LINE} bytes")
        if not end:
            ctx.begin(rg.Read(self.stream, LINE, timeout=None))
            return rg.RECEIVE
        self.unread = rest
        ctx.send_after(PACE, "next")
        text = line.decode(errors="replace").strip()
        return self.obey(ctx, "".join(each for each in text if each.isprintable()))

    def obey(self, ctx: rg.Context, text: str) -> rg.Effect:
        match text.split():
            case []:
                return rg.RECEIVE
            case ["/quit"]:
                return self.drop(ctx, "goodbye")
            case ["/nick", nick]:
                return self.take_nick(ctx, nick)
            case [nick] if not self.nick:
                return self.take_nick(ctx, nick)
            case _ if not self.nick:
                return self.tell(ctx, "* your name? One word")
            case ["/join", room] if WORD.fullmatch(room):
                self.change_room(ctx, room)
                return self.tell(ctx, f"* you are in {room}")
            case ["/leave"]:
                self.change_room(ctx, "")
                return self.tell(ctx, "* you are in no room")
            case ["/who"] if self.room:
                return self.tell(ctx, f"* {len(ctx.members(group(self.room)))} in {self.room}")
            case [word, *_] if word.startswith("/") or not self.room:
                return self.tell(ctx, HELP)
        self.say(ctx, f"<{self.nick}> {text}")
        return rg.RECEIVE

    def take_nick(self, ctx: rg.Context, nick: str) -> rg.Effect:
        """Two who take one name on two cores at the same instant both have it: groups are eventually consistent."""
        if not WORD.fullmatch(nick) or ctx.members(f"nick/{nick}"):
            return self.tell(ctx, f"* {nick[:24]} is taken or no name, take another")
        if self.nick:
            ctx.leave(f"nick/{self.nick}")
            self.say(ctx, f"* {self.nick} is {nick} now")
        self.nick = nick
        ctx.join(f"nick/{nick}")
        return self.tell(ctx, f"* hello {nick}; {HELP[2:]}")

    # --- rooms -----------------------------------------------------------------------------------------------------

    def change_room(self, ctx: rg.Context, room: str) -> None:
        if self.room:
            self.say(ctx, f"* {self.nick} has left")
            ctx.leave(group(self.room))
        self.room = room
        if room:
            ctx.join(group(room))
            self.say(ctx, f"* {self.nick} has come")

    def say(self, ctx: rg.Context, line: str) -> None:
        """To all others in the room; a member whose mailbox is full is told so at once, or by Undelivered."""
        for member in ctx.members(group(self.room)) if self.room else ():
            sent = rg.Sent.OK if member == ctx.self else ctx.send(member, Said(self.room, line), notify=member)
            if sent is rg.Sent.MAILBOX_FULL:
                ctx.exit(member, rg.Shutdown("too much waits for you"))

    # --- what the client is told -----------------------------------------------------------------------------------

    def tell(self, ctx: rg.Context, line: str) -> rg.Effect:
        if self.leaving:
            return rg.RECEIVE
        self.outbox.append(line.encode() + b"\n")
        if sum(map(len, self.outbox)) > OUTBOX:
            return self.drop(ctx, "you read too slowly")
        return self.flush(ctx)

    def flush(self, ctx: rg.Context) -> rg.Effect:
        if self.outbox and not self.writing:
            ctx.begin(rg.Write(self.stream, b"".join(self.outbox), timeout=PATIENCE))
            self.outbox.clear()
            self.writing = True
        return rg.RECEIVE

    def drop(self, ctx: rg.Context, why: str) -> rg.Effect:
        """Tell the client why, if it still takes what it was sent, and end."""
        if not self.leaving:
            self.change_room(ctx, "")
            self.leaving = True
            self.outbox = [f"* {why}; you are out\n".encode()]
        return self.flush(ctx)


def group(room: str) -> str:
    return f"room/{room}"


class Door(rg.Isolate):
    def start(self, ctx: rg.Context) -> rg.Effect:
        return rg.Listen("127.0.0.1", int(ctx.place.settings.get("port", "7009")))  # shared: one door on each core

    def handle(self, ctx: rg.Context, outcome: rg.Listening | rg.Accepted) -> rg.Effect:
        if isinstance(outcome, rg.Listening):
            self.listener = outcome.listener
        else:
            ctx.spawn(rg.Child("guest", Guest, outcome.stream, restart="temporary"), under="guests")
        return rg.Accept(self.listener)


children = (rg.DynamicSupervisor("guests", name="guests"), rg.Child("door", Door))
app = rg.Application("chat", tree=lambda place: rg.Supervisor("root", children))
