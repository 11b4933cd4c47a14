"""All settings, from the environment (docs/configuration.md). Runs with no environment at all.

Settings never start services. Without DATABASE_URL / REDIS_URL they find the embedded ones that run
under DATA_DIR; where none run, `bin/manage` and `bin/demo` start them.
"""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from config import env
from config.email_url import email_settings
from core.tracing.logs import logging_config
from positions.venues.redaction import remember, scrub

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / ".data"))).expanduser().resolve()
_services = env.services(DATA_DIR)

# Secrets: from the environment in production, generated once into DATA_DIR elsewhere.
SECRET_KEY = env.text("SECRET_KEY") or env.generated(DATA_DIR)["secret_key"]
CREDENTIALS_KEYS = env.words_or_lines("CREDENTIALS_KEYS")
# A generated key lies beside the database: see sync.connections.
CREDENTIALS_KEY_IS_GENERATED = not CREDENTIALS_KEYS
if CREDENTIALS_KEY_IS_GENERATED:
    CREDENTIALS_KEYS = [env.generated(DATA_DIR)["credentials_key"]]

# Sign the ends of the ledger (positions/ledger/anchors.py): the first signs, all verify.
ANCHOR_KEYS = env.words_or_lines("ANCHOR_KEYS") or [SECRET_KEY]

DEBUG = env.flag("DEBUG")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
HTTPS = env.flag("HTTPS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "daphne",  # before staticfiles: its runserver speaks WebSocket
    "config",
    "portfolio",
    "reconciliation",
    "positions",
    "core",
    "unfold.apps.BasicAppConfig",  # before admin: it replaces admin's templates
    "core.admin_app.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "ninja",  # serves the API page's assets from here instead of a CDN
    "pgtrigger",
    "axes",
    "csp",
]
MIDDLEWARE = [
    "core.tracing.trace.TraceMiddleware",
    "core.http.middleware.NothingIsKept",
    "core.http.middleware.ProbesFirst",
    "core.http.middleware.ApiProblems",
    "core.http.bounds.BoundedRequests",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.http.middleware.PolicyMiddleware",
    "core.http.callers.BoundedCallers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "core.http.middleware.SessionAges",
    "core.http.middleware.PagesNeedLogin",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portfolio.pages.context.strip",
            ]
        },
    }
]

# Postgres and Redis. Where no service runs the address is one that cannot answer.
DATABASE_URL = env.text("DATABASE_URL", _services.get("database_url", ""))
REDIS_URL = env.redis(env.text("REDIS_URL", _services.get("redis_url", "redis://127.0.0.1:1/0")))
STARTUP_WAIT_SECONDS = env.number("STARTUP_WAIT_SECONDS", 30)
DATABASE_POOL_MAX = env.number("DATABASE_POOL_MAX", 8)
# How long to wait for a free connection. The web process sets 800: who asks there is told soon.
DATABASE_POOL_WAIT_MS = env.number("DATABASE_POOL_WAIT_MS", 10_000, minimum=1)
_database = env.database(DATABASE_URL or "postgres://nobody@127.0.0.1:1/none")
DATABASE_IS_HERE, REDIS_IS_HERE = env.is_here(_database["HOST"]), env.is_here(env.host_of(REDIS_URL))
# A network that swallows packets is noticed within 10 s, not by TCP's quarter of an hour.
_database["OPTIONS"] = {"connect_timeout": 5, "tcp_user_timeout": 10_000} | _database["OPTIONS"]
if DATABASE_POOL_MAX:
    _database["OPTIONS"]["pool"] = {
        "min_size": 0,
        "max_size": DATABASE_POOL_MAX,
        "timeout": DATABASE_POOL_WAIT_MS / 1000,
    }
DATABASES = {"default": _database | {"ATOMIC_REQUESTS": False, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "core.signin.backends.RoleBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "board"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = env.number("LOGIN_FAILURE_LIMIT", 5, minimum=1)
AXES_COOLOFF_TIME = timedelta(seconds=env.number("LOGIN_LOCK_SECONDS", 300, minimum=1))
LOGIN_TRIES_PER_ADDRESS = env.number("LOGIN_TRIES_PER_ADDRESS", 20, minimum=1)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "core.signin.login.locked_out"
AXES_HTTP_RESPONSE_CODE = 429
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS: list[str] = []  # an operator must see whose login from where is being guessed
AXES_ENABLE_ADMIN = False
# Behind a proxy: how many to trust when finding the client's address. 0 = nobody, use the socket's.
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 0)
AXES_CLIENT_IP_CALLABLE = "core.tracing.addresses.client_network"

# How often an API key of a tier, or a person, may ask the API a minute; a sixth of it at once. 0 = no limit.
RATE_LIMITS = {
    "standard": env.number("RATE_LIMIT_STANDARD", 600),
    "premium": env.number("RATE_LIMIT_PREMIUM", 6000),
    "people": env.number("RATE_LIMIT_PEOPLE", 3000),
}

# off: the stream writes with ASGI's send only, and leans on no server's inside. See portfolio/live/wires.py.
STREAM_DIRECT_WRITES = env.flag("STREAM_DIRECT_WRITES", default=True)

# Transport security: HTTPS=on wherever people reach it over a network.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
# on: browsers may list the domain as HTTPS only, for ever: hard to take back, so nothing implies it
SECURE_HSTS_PRELOAD = HTTPS and env.flag("HSTS_PRELOAD")
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # it asks for the preload that nobody should have without asking
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS and TRUSTED_PROXIES else None
SECURE_REDIRECT_EXEMPT = [r"^health/"]  # probes inside the cluster speak plain HTTP
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# A session ends when nobody used a page for so long, and after so long in any case.
SESSION_COOKIE_AGE = env.number("SESSION_IDLE_SECONDS", 60 * 60 * 12, minimum=60)
SESSION_LONGEST_SECONDS = env.number("SESSION_LONGEST_SECONDS", 60 * 60 * 24 * 14, minimum=60)
# How long a password that was given lets keys and people be changed.
CONFIRMATION_SECONDS = env.number("CONFIRMATION_SECONDS", 600, minimum=60)
X_FRAME_OPTIONS = "DENY"
_SELF = ["'self'"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": _SELF,
        "script-src": _SELF,
        "style-src": _SELF,
        "img-src": ["'self'", "data:"],
        "connect-src": _SELF,
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": _SELF,
        "frame-ancestors": ["'none'"],
    }
}
# Unfold runs Alpine (unsafe-eval) and sets styles inline, but has no inline scripts; Swagger UI sets styles.
CONTENT_SECURITY_POLICY_BY_PREFIX = {
    "/admin/": {
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
    },
    "/api/docs": {"style-src": ["'self'", "'unsafe-inline'"]},
}

# Static files: ours, and browser libraries as npm installed them by lock file.
STATIC_URL = "static/"
STATICFILES_DIRS: list[Any] = [
    BASE_DIR / "static",
    ("vendor/inter", BASE_DIR / "node_modules/@fontsource-variable/inter/files"),
    ("vendor/lightweight-charts", BASE_DIR / "node_modules/lightweight-charts/dist"),
]
# on: serve what `manage.py collectstatic` gathered, compressed and named by content; off: from the sources
STATIC_MANIFEST = env.flag("STATIC_MANIFEST")
STATIC_ROOT = BASE_DIR / "staticfiles" if STATIC_MANIFEST else None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_MANIFEST
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not STATIC_MANIFEST

UNFOLD = {
    "SITE_TITLE": "Plumbline admin",
    "SITE_HEADER": "Plumbline",
    "SITE_SUBHEADER": "Admin",
    "SITE_URL": "/",
    "SITE_SYMBOL": "straighten",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "portfolio.pages.admin_front.front",
    "SIDEBAR": {
        "show_all_applications": True,
        "navigation": [
            {
                "title": "Plumbline",
                "items": [
                    {"title": "Board", "icon": "table_rows", "link": "/"},
                    {"title": "Proof and cases", "icon": "rule", "link": "/reconciliation/"},
                    {
                        "title": "Accounts",
                        "icon": "account_balance",
                        "link": "/admin/positions/account/",
                    },
                    {
                        "title": "Quarantine",
                        "icon": "report",
                        "link": "/admin/positions/quarantinedentry/?settled_at__isempty=1",
                    },
                ],
            }
        ],
    },
    "COLORS": {
        # The interface's accent (static/css/tokens.css), from light to dark.
        "primary": {
            "50": "#f3f6fe",
            "100": "#e8eefd",
            "200": "#cbd9fa",
            "300": "#a5bcf5",
            "400": "#86a8ff",
            "500": "#4f79ea",
            "600": "#2b59e0",
            "700": "#2249bd",
            "800": "#1d3c97",
            "900": "#1b2f70",
            "950": "#131f4a",
        }
    },
}

# Celery: JSON only; a task is acknowledged when done; each beat entry expires before its next run.
CELERY_BROKER_URL = REDIS_URL.partition("?")[0] if REDIS_URL.startswith("rediss") else REDIS_URL
CELERY_BROKER_USE_SSL = env.redis_tls(REDIS_URL)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "celerybeat-schedule")
CELERY_TASK_TIME_LIMIT = 300
WORKER_HEARTBEAT_SECONDS = 5
RECONCILIATION_INTERVAL = env.number("RECONCILIATION_INTERVAL", 60, minimum=1)
# Of simulated venues; with it the fault panel is there (/demo/faults/). bin/demo sets it.
SIM_CONTROL_TOKEN = env.text("SIM_CONTROL_TOKEN")
AVG_PRICE_DIFF_THRESHOLD = Decimal(env.text("AVG_PRICE_DIFF_THRESHOLD", "0.001"))
SIZE_VALIDATION_THRESHOLD = Decimal(env.text("SIZE_VALIDATION_THRESHOLD", "0"))
RECONCILIATION_AUTOMATIC_PER_HOUR = env.number("RECONCILIATION_AUTOMATIC_PER_HOUR", 5)
# What venues are meant to hold of all equity where nobody set targets; empty: nothing is meant.
ALLOCATION_DEFAULTS = {
    venue: Decimal(share)
    for venue, share in (("hyperliquid", env.text("HL_ALLOCATION")), ("coinbase", env.text("CB_ALLOCATION")))
    if share
}
# Processes that are expected to run: one that does not raises an alert. Without a stream, leave it out.
ALERT_PARTS = env.words("ALERT_PARTS", "web,worker,beat,stream")
MARK_REFRESH_SECONDS = env.number("MARK_REFRESH_SECONDS", 2, minimum=1)


def _every(task: str, seconds: int) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": seconds * 0.9}}


# History: a row of everything each so many seconds; raw rows are kept for so many days, hourly ones for ever.
SNAPSHOT_INTERVAL = env.number("SNAPSHOT_INTERVAL", 60, minimum=5)
# At least two days: an hour is rolled up after it is over, and a row must outlive that.
SNAPSHOT_RETENTION_DAYS = env.number("SNAPSHOT_RETENTION_DAYS", 365, minimum=2)
# How old totals of the refresh may be (it makes new ones each second) before they are added up anew.
METRICS_CACHE_TTL = env.number("METRICS_CACHE_TTL", 5, minimum=1)
FILL_POLL_SECONDS = env.number("FILL_POLL_SECONDS", 5, minimum=1)
CELERY_BEAT_SCHEDULE = {
    "worker heartbeat": _every("core.tasks.heartbeat", WORKER_HEARTBEAT_SECONDS),
    "fills": _every("positions.tasks.poll_fills", FILL_POLL_SECONDS),
    "funding and transfers": _every("positions.tasks.poll_cash", 60),
    "anchors": _every("positions.tasks.anchor_books", 3600),
    "marks": _every("positions.tasks.refresh_marks", MARK_REFRESH_SECONDS),
    "venue state": _every("reconciliation.tasks.observe_accounts", 5),
    "reconciliation": _every("reconciliation.tasks.reconcile_accounts", RECONCILIATION_INTERVAL),
    "portfolio": _every("portfolio.tasks.refresh_portfolio", 1),
    "days": _every("portfolio.tasks.keep_days", 60),
    "witnesses": _every("portfolio.tasks.ask_witnesses", 6 * 3600),
    "alerts": _every("portfolio.tasks.evaluate_alerts", 1),
    "allocation": _every("reconciliation.tasks.check_allocation", 60),
    "snapshots": _every("portfolio.tasks.take_snapshots", SNAPSHOT_INTERVAL),
    "hourly snapshots": _every("portfolio.tasks.roll_up_snapshots", 300),
    "old snapshots": _every("portfolio.tasks.keep_up_snapshots", 86_400),
    "deliveries": _every("portfolio.tasks.send_deliveries", 1),
    "digests": _every("portfolio.tasks.queue_digests", 60),
    "dead man's switch": _every("portfolio.tasks.ping_deadman", 60),
    "notify housekeeping": _every("portfolio.tasks.tidy_notify", 3600),
}

# How people are told of alerts (portfolio/notify/, docs/e-mail.md)
PUBLIC_URL = env.web_address("PUBLIC_URL", f"http://127.0.0.1:{env.number('PORT', 8000, minimum=1)}").rstrip(
    "/"
)
_email = email_settings(data_dir=DATA_DIR)
EMAIL_BACKEND = _email["EMAIL_BACKEND"]
EMAIL_FILE_PATH = _email.get("EMAIL_FILE_PATH")
EMAIL_HOST, EMAIL_PORT = _email.get("EMAIL_HOST", "localhost"), _email.get("EMAIL_PORT", 25)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = (
    _email.get("EMAIL_HOST_USER", ""),
    _email.get("EMAIL_HOST_PASSWORD", ""),
)
EMAIL_USE_TLS, EMAIL_USE_SSL = _email.get("EMAIL_USE_TLS", False), _email.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = _email["EMAIL_TIMEOUT"]
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "Plumbline <plumbline@localhost>")
MESSENGERS = env.flag("MESSENGERS")
DEADMAN_URL = env.web_address("DEADMAN_URL", "")
remember([EMAIL_HOST_PASSWORD, DEADMAN_URL])

# The book
VENUE_EGRESS = env.text("VENUE_EGRESS", "default")
# Our changes to ccxt's inside; each can be switched off if a release of ccxt breaks it.
CCXT_LAZY_IMPORT = env.flag("CCXT_LAZY_IMPORT", True)
CCXT_EXPONENT_LIMIT = env.flag("CCXT_EXPONENT_LIMIT", True)
CCXT_ROW_GUARDS = env.flag("CCXT_ROW_GUARDS", True)
CCXT_SOCKET_GUARDS = env.flag("CCXT_SOCKET_GUARDS", True)
PAR_CURRENCIES = env.words("PAR_CURRENCIES", "USD,USDC,USDT,USDH,USDE,FDUSD,DAI,USD0,USDT0")
PRICE_STALENESS_THRESHOLD = env.number("PRICE_STALENESS_THRESHOLD", 300, minimum=1)
# Its tickers stand in for prices that a live account's own venue does not give; empty: none do.
REFERENCE_VENUE = env.text("REFERENCE_VENUE", "bybit")

# The desk's day: where "today" begins, in its zone. What belongs to a day that is closed stays there.
DESK_ZONE = env.zone("DESK_ZONE", "UTC")
DESK_DAY_START = env.time_of_day("DESK_DAY_START", "00:00")

# The interpreter of web and stream (core/process/interpreter.py); 0 and off leave it as it is.
SWITCH_INTERVAL_US = env.number("SWITCH_INTERVAL_US", 500)
GC_FREEZE = env.flag("GC_FREEZE", default=True)

# Logs: one JSON line an event; readable in a terminal with LOG_FORMAT=console.
LOG_FORMAT = env.text("LOG_FORMAT", "json", choices=("json", "console"))
LOG_LEVEL = env.text("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_DIR = env.text("LOG_DIR")
if LOG_DIR:
    env.writable_folder("LOG_DIR", Path(LOG_DIR))
LOGGING = logging_config(log_format=LOG_FORMAT, level=LOG_LEVEL, directory=LOG_DIR, scrub=scrub)

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
