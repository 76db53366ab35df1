"""Projects with a user model of their own, and without a user admin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.test import RequestFactory

from coreason_budget.admin import GlobalLimitAdmin, ProjectLimitAdmin, UserLimitAdmin
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

ROOT = Path(__file__).parents[2]


class Silent(UserAdmin):
    search_fields = ()


def on_a_site_with(user_admin):
    """Return the admin of user limits on a site of its own, where users have this admin."""
    site = admin.AdminSite(name="own")
    site.register(UserLimit, UserLimitAdmin)
    if user_admin is not None:
        site.register(User, user_admin)
    return site.get_model_admin(UserLimit)


@pytest.mark.slow
def test_a_project_whose_users_log_in_with_an_address_has_the_admin():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.admin.other_users.settings"}
    command = [sys.executable, "-W", "error", "-m", "django", "test", "tests.admin.other_users", "--pattern=cases.py"]
    done = subprocess.run(
        [*command, "--noinput"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "Ran 4 tests" in done.stderr


@pytest.mark.parametrize(
    ("user_admin", "autocompletes"),
    [(None, False), (Silent, False), (UserAdmin, True)],
    ids=["none", "silent", "usual"],
)
def test_users_are_autocompleted_where_their_admin_can_search(db, user_admin, autocompletes):
    model_admin = on_a_site_with(user_admin)
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("boss")

    assert model_admin.check() == []
    assert model_admin.get_autocomplete_fields(request) == (("user",) if autocompletes else ())
    field = model_admin.get_form(request).base_fields["user"]
    assert (type(field.widget).__name__ == "AutocompleteSelect") == autocompletes


def test_the_other_admins_can_be_on_a_site_of_the_projects_own():
    site = admin.AdminSite(name="own")
    site.register(ProjectLimit, ProjectLimitAdmin)
    site.register(GlobalLimit, GlobalLimitAdmin)

    assert [error for model_admin in site._registry.values() for error in model_admin.check()] == []
