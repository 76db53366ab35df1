"""Users without a user name."""

from __future__ import annotations

from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Members(BaseUserManager["Member"]):
    def get_by_natural_key(self, username: str | None) -> Member:
        return self.get(address=username)


class Member(AbstractBaseUser, PermissionsMixin):
    """Somebody with an address."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    address = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=False)

    objects = Members()

    USERNAME_FIELD = "address"

    def __str__(self) -> str:
        return f"member {self.pk}"
