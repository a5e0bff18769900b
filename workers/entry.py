"""Where the workers' functions begin on Lambda: `lambda_handler` of their stages in zappa_settings.json.

The admin's function begins in Zappa's handler. The workers don't need what that loads for HTTP, and had
better not do all that it offers: it runs any Python that an event brings along (`raw_command`), so that
everybody who may invoke a function, as the admin may the import, would have its rights (docs/adr/0012).
"""

import logging
from importlib import import_module
from typing import Any

from django.conf import settings

from clients.errors import ImportFailed
from workers import file_cleaner, import_processor

logger = logging.getLogger(__name__)

# What an event may name. The last two are loaded by the first event that does; an import needs neither.
_MODULES = (import_processor.__name__, file_cleaner.__name__, "workers.undo", "workers.maintenance")


def handler(event: Any, context: Any) -> Any:
    """Hand the event to the function that it is for: a schedule's, a named one, and otherwise the import.

    Schedules and names come as Zappa makes them (`zappa schedule`, `zappa invoke`). Raises ImportFailed for
    a name that doesn't exist.
    """
    if not isinstance(event, dict):
        return import_processor.handler(event, context)
    if event.get("detail-type") == "Scheduled Event":
        # …:rule/FUNCTION-workers.maintenance.reconcile
        return _function(event["resources"][0].rsplit("-", 1)[-1])(event, context)
    if "command" in event:
        result = _function(event["command"])(event, context)
        if settings.ON_LAMBDA:
            print(f"Result of {event['command']}:\n{result}")  # for `zappa invoke`
        return result
    if "manage" in event or "raw_command" in event:
        raise ImportFailed("Not here: the workers run what is in workers.maintenance, and nothing else.")
    return import_processor.handler(event, context)


def _function(name: str) -> Any:
    module, _, function = str(name).rpartition(".")
    found = getattr(import_module(module), function, None) if module in _MODULES else None
    if (
        found is None
        or function.startswith("_")
        or getattr(found, "__module__", "") != module
        or isinstance(found, type)
    ):
        raise ImportFailed(f"There is no {str(name)[:80]!r}; see workers.maintenance for what there is.")
    return found
