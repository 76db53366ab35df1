"""The admin: limits with their live figures, prices, and records of what was spent."""

from .inlines import UserLimitInline
from .limits import GlobalLimitAdmin, LimitAdmin, ProjectLimitAdmin, UserLimitAdmin
from .prices import ModelPriceAdmin
from .records import SpendRecordAdmin

__all__ = [
    "GlobalLimitAdmin",
    "LimitAdmin",
    "ModelPriceAdmin",
    "ProjectLimitAdmin",
    "SpendRecordAdmin",
    "UserLimitAdmin",
    "UserLimitInline",
]
