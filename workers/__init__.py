"""Lambda entry points: event → one domain call → result.

Whoever imports a worker gets a Django that is set up: Zappa does it, the Lambda runtime alone does not.
"""

import os

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")
if not apps.ready:
    django.setup()
