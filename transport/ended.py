"""What a sending half leaves behind, and how the next HELLO or WELCOME settles it. Pure."""

from __future__ import annotations

from regrove.records import dataclass
from regrove.transport.pieces import Left
from regrove.transport.wire import WireError


@dataclass(frozen=True, slots=True)
class Ended:
    """What an ended sending half leaves: frames without acknowledgement as (last sequence, user items until there).

    `left` are the big messages among what was written that are not known to be whole, `acknowledged` is without them.
    """

    nonce: int
    taken: int
    frames: tuple[tuple[int, int], ...]
    acknowledged: int
    written: int
    tokens: tuple[tuple[int, object], ...]
    never_left: tuple[object, ...]
    never_left_count: int
    left: tuple[Left, ...] = ()

    @property
    def unknown(self) -> int:
        """How many user items left and were not acknowledged."""
        return self.written - self.acknowledged

    def resolve(self, last: int, gaps: tuple[int, ...] = ()) -> tuple[int, tuple[object, ...]]:
        """Hear the last sequence the peer took: how many of the unknown arrived, and the tokens of those that did not.

        `gaps` are the big messages up to there that were not whole. Raises WireError for a sequence that is no end of
        a frame, and for a gap that was no big message under way.
        """
        torn = frozenset(gaps)
        if torn and not torn <= {big.sequence for big in self.left if big.sequence <= last}:
            raise WireError("a gap in what was taken is no big message that was unknown")
        users = self.acknowledged + sum(big.user for big in self.left if big.sequence <= self.taken)
        end = self.taken
        for frame_last, frame_users in self.frames:
            if frame_last > last:
                break
            end, users = frame_last, frame_users
        if end != last:
            raise WireError(f"sequence {last} is no end of a frame that was unknown")
        users -= sum(big.user for big in self.left if big.sequence in torn)
        lost = tuple(token for sequence, token in self.tokens if sequence > last or sequence in torn)
        return users - self.acknowledged, lost
