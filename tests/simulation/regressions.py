"""Seeds that have failed once, each with what was wrong then. They are run again for ever."""

from __future__ import annotations

from typing import Final

__all__ = ["SEEDS"]

SEEDS: Final = {
    14: "a threshold was not told because another account could not be opened",
    20: "two charges that found an account unknown both told a threshold",
    28: "the same, with a refund between them",
    37: "times to live took the real time into account, so a replay could differ",
    84: "a charge that came again after its id was forgotten used up an expired hold twice",
    133: "a threshold was told again after a loss that left a charge only in its worker's memory",
    165: "a charge that was executed once more after a loss owed a threshold to nobody",
    192: "two charges that found an account unknown both told a threshold, with nothing else amiss",
    202: "a threshold was told of the window after the one that the charge was booked in",
    230: "a threshold was told twice because its limit was edited meanwhile",
    271: "a charge that came again after a loss told a threshold again",
    330: "the server's clock was behind its journal, and the case ended too early",
    383: "a charge that came again after a restart with old data told a threshold again",
    408: "a charge that was executed once more after its id was lost owed a threshold to nobody",
    1366: "a threshold was not told because another period of the account had no sum yet",
    500149: "an account that was summed while the server's clock was back before midnight forgot the new day",
    500392: "an expired hold was only in the journal because the sweep of the next one failed",
    500762: "an account that was first seen while the server's clock was back forgot what it had spent since midnight",
    501306: "the same, by a clock that was an hour back",
    501622: "the last rest of an account without any limit was asked for",
    501972: "a charge was expected in the day of its second booking, though the database had it in that of its first",
}
