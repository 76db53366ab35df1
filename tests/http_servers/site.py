"""The applications that the servers serve."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.http_servers.settings"

wsgi = get_wsgi_application()
asgi = get_asgi_application()
