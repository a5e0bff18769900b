"""Lambda entry points: event → one domain call → result.

Whoever imports a worker gets a Django that is set up: Zappa does it, the Lambda runtime alone does not.
"""

import os

import django
from django.apps import apps
from django.conf import settings
from django.urls import set_script_prefix

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")
if not apps.ready:
    django.setup()
if settings.FORCE_SCRIPT_NAME:
    # Zappa's set-up leaves it out, and links in mails would miss API Gateway's stage.
    set_script_prefix(settings.FORCE_SCRIPT_NAME)
