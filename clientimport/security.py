"""Who is asking, for the login's lock: told by API Gateway itself, not by a header that anybody can write."""

from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address that API Gateway saw, elsewhere the connection's own.

    REMOTE_ADDR is no help on Lambda: Zappa takes it from the second-to-last entry of X-Forwarded-For, which
    the client has written itself unless the API is an edge-optimised one.
    """
    event = request.META.get("lambda.event")  # Zappa's; what comes in as a header is called HTTP_…
    if not isinstance(event, dict):
        return str(request.META.get("REMOTE_ADDR", ""))
    context = event.get("requestContext") or {}
    # A REST API's event, or an HTTP API's.
    source = context.get("identity") or context.get("http") or {}
    return str(source.get("sourceIp", ""))
