"""Files of limits, sent as a browser sends them."""

from __future__ import annotations

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from .pages import Page

HEAD = "scope,user,period,amount_usd,boost_usd,boost_until,reason\n"


def upload(somebody, text, model="userlimit", **options):
    content = text if isinstance(text, bytes) else text.encode()
    url = reverse(f"admin:coreason_budget_{model}_import")
    return somebody.client.post(url, {"file": SimpleUploadedFile("limits.csv", content)}, follow=True, **options)


def looked_at(somebody, text, model="userlimit"):
    return Page(upload(somebody, text, model))


def packed(page):
    return page.root.one("input", name="packed").attributes["value"]


def confirm(somebody, page, model="userlimit"):
    return Page(somebody.post(f"{model}_import", packed=packed(page)))
