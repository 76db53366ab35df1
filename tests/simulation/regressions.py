"""Cases that have failed once, each with what was wrong then. They are run again for ever."""

from __future__ import annotations

from typing import Final

from .cases import Case, Kind
from .profiles import PROFILES

__all__ = ["REGRESSIONS"]

_BY_NAME: Final = {profile.name: profile for profile in PROFILES}


def _mixed(seed: int, profile: str) -> Case:
    return Case(seed, _BY_NAME[profile], Kind.MIXED)


def _twins(seed: int, profile: str) -> Case:
    return Case(seed, _BY_NAME[profile], Kind.TWINS)


def _fake(seed: int, profile: str) -> Case:
    return Case(seed, _BY_NAME[profile], Kind.FAKE)


REGRESSIONS: Final = {
    _twins(14, "both down"): "a threshold was not told because another account could not be opened",
    _fake(20, "redelivered"): "two charges that found an account unknown both told a threshold",
    _fake(28, "slow database"): "the same, with a refund between them",
    _mixed(37, "midnight"): "times to live took the real time into account, so a replay could differ",
    _mixed(84, "redelivered"): "a charge that came again after its id was forgotten used up an expired hold twice",
    _mixed(133, "midnight"): "a threshold was told again after a loss that left a charge only in its worker's memory",
    _mixed(165, "midnight"): "a charge that was executed once more after a loss owed a threshold to nobody",
    _mixed(192, "quiet"): "two charges that found an account unknown both told a threshold, with nothing else amiss",
    _mixed(202, "clocks"): "a threshold was told of the window after the one that the charge was booked in",
    _mixed(230, "limits"): "a threshold was told twice because its limit was edited meanwhile",
    _mixed(271, "all"): "a charge that came again after a loss told a threshold again",
    _mixed(330, "clocks"): "the server's clock was behind its journal, and the case ended too early",
    _mixed(383, "all"): "a charge that came again after a restart with old data told a threshold again",
    _mixed(408, "lost keys"): "a charge that was executed once more after its id was lost owed a threshold to nobody",
    _mixed(1366, "limits"): "a threshold was not told because another period of the account had no sum yet",
    _mixed(500149, "midnight"): "an account that was summed while the clock was back forgot the new day",
    _mixed(500392, "lost keys"): "an expired hold was only in the journal because the sweep of the next one failed",
    _fake(500762, "clocks"): "the same, of an account that was first seen then",
    _mixed(501306, "clocks"): "the same, by a clock that was an hour back",
    _mixed(501622, "limits"): "the last rest of an account without any limit was asked for",
    _mixed(501972, "redelivered"): "a charge was expected where it was booked again, not where the database had it",
    _mixed(
        503861, "midnight"
    ): "an account that was led days ahead was not in doubt though it could not count a charge",
    _mixed(
        504405, "midnight"
    ): "a threshold was told again after a charge that was booked twice had passed it first, and a loss",
    _mixed(3000338, "clocks"): "a threshold was expected of a charge that found its account not summed for the new day",
    _mixed(
        20_001_727, "restart"
    ): "a rebuild that was begun twice, before and after a restart, took the second for the first",
    _mixed(30_003_337, "quiet"): "a blocked account let calls through once its refunds came to more than it had spent",
    _mixed(
        101_003_020, "lost keys"
    ): "a charge booked twice, and the journal lost, was not allowed to be counted twice",
    _mixed(101_002_137, "all and more"): "the same on two days, where neither counted until it was verified",
}
