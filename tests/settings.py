"""Settings of the tests: the product's, on embedded services of their own unless the URLs are set.

The product's settings never start a service; these do, once, in the process that starts the tests, so
that plain `pytest` works too. The workers of pytest-xdist inherit the URLs, and each takes a Redis
database of its own.
"""

import atexit
import os
import tempfile
from pathlib import Path

from config.embedded import Services

if "DATA_DIR" not in os.environ:
    # A folder of its own for each run, so that two runs side by side never share a test database.
    _folder = tempfile.TemporaryDirectory(prefix="plumbline-test-")
    os.environ["DATA_DIR"] = _folder.name
if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
    _services = Services(Path(os.environ["DATA_DIR"]), durable=False)
    _urls = _services.acquire()
    atexit.register(_services.release)
    os.environ.setdefault("DATABASE_URL", _urls.database)
    os.environ.setdefault("REDIS_URL", _urls.redis)

from config.settings import *  # noqa: F403
from config.settings import DATABASES, REDIS_URL

_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
REDIS_URL = f"{REDIS_URL.rpartition('/')[0]}/{int(_worker) + 1}"
CELERY_BROKER_URL = REDIS_URL
# A test on real transactions empties all tables afterwards. See core/storage/guards.py.
DATABASES["default"]["OPTIONS"]["options"] = "-c plumbline.may_empty_the_ledger=on"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOG_LEVEL = "WARNING"
# Else each test client would list all static files when it is made.
WHITENOISE_AUTOREFRESH = True
