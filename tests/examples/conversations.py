"""What is said to kv and to a real redis-server alike; each answer has to be the same, byte for byte.

Endless lines are not among them: Redis closes on bytes it has not read, and a reset may overtake its answer.
"""

from __future__ import annotations

from typing import Final


def said(lines: str) -> bytes:
    """Return inline commands, one a line."""
    return b"".join(line.strip().encode() + b"\r\n" for line in lines.strip().splitlines())


CONVERSATIONS: Final = {
    "pings": said("""
        PING
        PING a
        PING a b
        ECHO a
        ECHO
        ECHO a b
    """),
    "line ends": b"\r\nPING\n*2\r\n$4\r\nEcHo\r\n$4\r\na\r\nb\r\n",
    "empty commands": b'*0\r\n*-1\r\n*-5\r\n\r\n  \r\nPING\r\n',
    "no number of elements": b'PING\r\n*x\r\nPING\r\n',
    "too many elements": b'*2147483648\r\n',
    "leading zero": b'*01\r\n$4\r\nPING\r\n',
    "no bulk": b'PING\r\n*1\r\nfoo\r\nPING\r\n',
    "an empty line for a bulk": b'*1\r\n\r\n',
    "no bulk length": b'*1\r\n$x\r\n',
    "negative bulk length": b'*1\r\n$-1\r\n',
    "huge bulk length": b'*1\r\n$536870913\r\n',
    "two bytes after a bulk": b'*1\r\n$4\r\nPINGxxPING\r\n',
    "binary": b'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nb\x00\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n',
    "quotes": b'echo "a\\x41\\n\\q" \r\necho \'a\\\'b\\n\'\r\necho ""\r\n',
    "an open quote": b'set a "b\r\n',
    "a quote in a word": b'echo "a"b\r\n',
    "unknown commands": said("""
        foo bar
        ""
        get
        get a b
    """),
    "long unknown commands": b'foo bar baz "q w" ' + b"x" * 200 + b" yy\r\n" + b"f" * 200 + b" yy\r\n",
    "binary unknown commands": b"*2\r\n$3\r\nf\r\n\r\n$3\r\na\nb\r\n*1\r\n$0\r\n\r\n",
    "hello refused": said("""
        HELLO 4
        HELLO x
        HELLO 2 BLA
        hello 2 setname
        hello 2 setname "a b"
    """),
    "transactions": said("""
        EXEC
        DISCARD
        MULTI
        MULTI
        SET a 1
        INCR a
        INCR nope x
        EXEC
        GET a
        MULTI
        SET a 1
        INCRBY a 5
        MGET a b
        PING
        DEL a b
        EXEC
        MULTI
        SET a 1
        DISCARD
        EXISTS a
        MULTI
        EXEC
        SET a x
        MULTI
        INCR a
        SET b 1
        EXEC
        MULTI x
    """),
    "clients": said("""
        CLIENT SETNAME foo
        CLIENT GETNAME
        CLIENT
        CLIENT BLA
        CLIENT GETNAME x
        CLIENT SETNAME "a b"
        client getname
        client setname ""
        client getname
        client id x
        client setname
    """),
    "configuration": said("""
        CONFIG GET save
        CONFIG GET nope
        CONFIG
        CONFIG BLA
        CONFIG GET
    """),
    "select": said("""
        SELECT 0
        SELECT 16
        SELECT x
        select
    """),
    "quit": b'QUIT\r\nPING\r\n',
    "reset": b'reset\r\n',
    "command": said("""
        COMMAND BLA
        COMMAND DOCS nope
        command list x
        command getkeys mset a 1 b 2
        command getkeys get
        command getkeys get a b
        command getkeys ping
        command getkeys nope a
        command count x
    """),
    "auth": said("""
        AUTH x
        AUTH
        AUTH a b c
        AUTH default x
        AUTH foo x
    """),
    "flush": said("""
        set a 1
        FLUSHALL x
        FLUSHALL ASYNC
        get a
        flushall sync
        flushall sync x
        flushdb x
        dbsize
    """),
    "dbsize and info": b'dbsize x\r\ninfo nope\r\n',
    "scan": said("""
        SCAN
        SCAN x
        SCAN 0 COUNT 0
        SCAN 0 COUNT x
        SCAN 0 BLA
        SCAN 0 MATCH
        SCAN 99999999999999999999999
        scan 0 bla x
        scan 0 count -1
    """),
    "set": said("""
        set a 1 EX
        set a 1 EX 0
        set a 1 EX x
        set a 1 EX 10 PX 10
        set a 1 NX XX
        set a 1 ex 99999999999999999
        set a 1 px 9223372036854775807
        set a 1 GET NX
        set a 1 KEEPTTL EX 10
        set a 1 NX GET
        set a 2 GET
        set a 3 PXAT 1
        get a
    """),
    "set if": said("""
        set a 1 NX
        set a 2 nx
        set a 3 xx
        get a
        set zz 1 xx
        set a 1 ex 100 nx
        set a 1 px -5
        set a 1 bla
        set a 1 ex 10 ex 20
        set a 1 keepttl px 10
        set a 1 keepttl keepttl
        set a 1 nx nx
        set a
    """),
    "set with time": said("""
        set a 1 ex 100
        set a 2 keepttl
        ttl a
        set a 2
        ttl a
        set a 1 exat 5
        exists a
        set a 1 pxat 0
        set a 1 exat -1
        set q 1 pxat 5 get
        set a 1 xx pxat 3
        get a
        set a 1 px 1500
        ttl a
    """),
    "many": said("""
        mset a
        mset a 1 b
        mget
        mset a 1 b 2 a 3
        mget a b c a
        dbsize
        mget a
        set x 1
        exists x x a nope
        unlink a nope
        del x x b
        exists
        del
        dbsize
    """),
    "expire": said("""
        expire a
        expire a x
        set a 1
        expire a 10 NX
        expire a 10 NX
        expire a 20 GT
        expire a 10 GT
        expire a 30 LT
        expire a 3 NX GT
        expire a 3 GT LT
        expire a 3 BLA
        ttl a
        expire a -1
        get a
        expire nokey 10
        expire a 9223372036854775807
        set a 1
        expire a 9223372036854775807
        expire a -9223372036854775808
        pexpire a 9223372036854775807
        expire a 10 xx
        expire a 10 gt
        expire a 10 lt
        expire a 10 xx gt
        expire a 10 nx nx
        pexpire a 0
        exists a
        expire nokey x
    """),
    "time left": said("""
        set a 5
        persist a
        ttl a
        ttl nope
        pttl a
        pttl nope
        expire a 100
        ttl a
        persist a
    """),
    "types": said("""
        set a 5
        type a
        type nope
        type
    """),
    "counting": said("""
        set a abc
        incr a
        incrby a 1.5
        set a 9223372036854775807
        incr a
        decrby a -9223372036854775808
        set a " 1"
        incr a
        set a 01
        incr a
        set a -0
        incr a
        set a 10 EX 100
        incr a
        ttl a
        decrby x 3
        decr x
        set a +1
        incr a
        incrby a 99999999999999999999
        set a -9223372036854775808
        decr a
        incrby a -1
        set a ""
        incr a
        incrby a
    """),
    "resp3": said("""
        HELLO 3
        get nope
        set k 1
        mget nope k
        config get save
        set k 1 get xx
        set nn 1 xx
        CLIENT GETNAME
        HELLO 2
        get nope
    """),
}  # fmt: skip
