"""HTTP through Django, WebSockets by their own URLs; a socket sees to its origin and its user itself."""

import gc
import os
import sys

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  (models need the apps just loaded)

from core import handles  # noqa: E402
from core.startup import await_services  # noqa: E402
from portfolio.urls import websocket_urlpatterns  # noqa: E402

await_services()
handles.watch()
# What is loaded by now stays: the collector need not look through all of it while a fill is on its way.
gc.collect()
gc.freeze()
# Threads that read Postgres or serve pages let the event loop, and a fill, through sooner (else after 5 ms).
sys.setswitchinterval(0.0005)

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter(websocket_urlpatterns),
    }
)
