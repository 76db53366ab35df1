"""The example site as the browser tests see it: in the language of whoever asks, and with one page more."""

from chat_site.settings import *  # noqa: F403
from chat_site.settings import MIDDLEWARE as _MIDDLEWARE

ROOT_URLCONF = "tests.browser.urls"
LANGUAGES = [("en", "English"), ("de", "German"), ("es", "Spanish"), ("ja", "Japanese"), ("he", "Hebrew")]
_sessions = _MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware") + 1
MIDDLEWARE = [*_MIDDLEWARE[:_sessions], "django.middleware.locale.LocaleMiddleware", *_MIDDLEWARE[_sessions:]]
