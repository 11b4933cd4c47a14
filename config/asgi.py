"""HTTP through Django, WebSockets by their own URLs; a socket sees to its origin and its user itself."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL_WAIT_MS", "800")  # before settings read it: see there
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  (models need the apps just loaded)

from config.bodies import BoundedBodies, bound_daphne  # noqa: E402
from config.uvicorn_deadlines import bound_uvicorn  # noqa: E402
from core.process import handles, heartbeats, interpreter  # noqa: E402
from core.process.startup import await_services  # noqa: E402
from portfolio.urls import websocket_urlpatterns  # noqa: E402

await_services()
handles.watch()
interpreter.tune()
heartbeats.start("web")
bound_daphne()
bound_uvicorn()

application = BoundedBodies(
    ProtocolTypeRouter(
        {
            "http": django_application,
            "websocket": URLRouter(websocket_urlpatterns),
        }
    )
)
