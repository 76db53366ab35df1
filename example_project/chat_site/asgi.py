"""The example site for ASGI servers. It brings its static files along; a real site leaves those to its web server."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chat_site.settings")

application = ASGIStaticFilesHandler(get_asgi_application())
