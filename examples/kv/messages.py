"""What the isolates of kv say to each other."""

from __future__ import annotations

from regrove import message


@message
class Work:
    """To a shard: commands of one client, in order, their names in lower case. The answer is Answers or Declined."""

    commands: tuple[tuple[bytes, ...], ...]


@message
class Answers:
    """Encoded answers to the first commands of a Work; what has none was not run and may be sent again."""

    replies: tuple[bytes, ...]


@message
class Declined:
    """The shard ran none of it, for this reason."""

    problem: str


@message
class Tick:
    """To a shard: time to remove expired keys, and to try a disk again that was full."""


@message
class Load:
    """To the journal: the next records, please. The answer is a Piece."""


@message
class Piece:
    """Records read back. After the `last` one the shard writes all its keys anew if `rewrite`, then asks to Serve."""

    records: tuple[bytes, ...]
    last: bool = False
    rewrite: bool = False


@message
class Serve:
    """To the journal: everything is loaded, make the log ready for Append. The answer is Stored."""


@message
class Append:
    """To the journal: put these records behind the others. The answer is Stored, on the disk if synced, or Refused."""

    records: tuple[bytes, ...]


@message
class Begin:
    """To the journal: begin a new log; what is appended from here on goes to both."""


@message
class Chunk:
    """To the journal: records of the new log."""

    records: tuple[bytes, ...]


@message
class Finish:
    """To the journal: the new log takes the old one's place."""


@message
class Stored:
    """Done; the log has `length` bytes."""

    length: int


@message
class Refused:
    """The disk did not take it, nothing of it is in the log."""

    problem: str


@message
class Flush:
    """To the journal, from itself: a second has passed."""


@message
class Prepared:
    """To the keeper: the log of `core` in that generation is on the disk. The answer is Committed."""

    generation: int
    core: int


@message
class Committed:
    """The manifest names that generation."""

    generation: int


@message
class Settled:
    """To the keeper: every core of this run reads that generation only; other logs may go."""

    generation: int
    cores: int
