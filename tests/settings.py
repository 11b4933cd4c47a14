"""Settings of the tests: the product's, on embedded services of their own unless the URLs are set.

The product's settings never start a service; these do, once, in the process that starts the tests, so
that plain `pytest` works too. The workers of pytest-xdist inherit the URLs, and each takes a Redis
database of its own.
"""

import atexit
import os
from pathlib import Path

from config.embedded import Services

_data_dir = Path(os.environ.setdefault("DATA_DIR", str(Path(__file__).parent.parent / ".data" / "test")))
if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
    _services = Services(_data_dir, durable=False)
    _urls = _services.acquire()
    atexit.register(_services.release)
    os.environ.setdefault("DATABASE_URL", _urls.database)
    os.environ.setdefault("REDIS_URL", _urls.redis)

from config.settings import *  # noqa: E402, F403
from config.settings import REDIS_URL  # noqa: E402

_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
REDIS_URL = f"{REDIS_URL.rpartition('/')[0]}/{int(_worker) + 1}"
CELERY_BROKER_URL = REDIS_URL
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOG_LEVEL = "WARNING"
