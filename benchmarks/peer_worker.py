"""A peer that needs Django, in a process of its own: python -m benchmarks.peer_worker KIND FILE"""

import csv
import sys
from itertools import islice
from pathlib import Path

import workers  # noqa: F401 - sets Django up

import tablib  # isort: skip
from import_export import resources

from clients.models import Client

_FIELDS = ["name", "email", "company", "phone", "status"]


class ClientResource(resources.ModelResource):  # type: ignore[type-arg]
    class Meta:
        model = Client
        fields = _FIELDS
        import_id_fields = ["email"]


class BulkClientResource(ClientResource):
    class Meta(ClientResource.Meta):
        use_bulk = True
        batch_size = 1_000


def import_export(path: Path, resource: "resources.ModelResource[Client]") -> None:
    dataset = tablib.Dataset().load(path.read_text(), format="csv")
    dataset.headers = _FIELDS
    resource.import_data(dataset, raise_errors=True)


def bulk_create(path: Path) -> None:
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        while batch := list(islice(rows, 1_000)):
            clients = [Client(**dict(zip(_FIELDS, row, strict=True))) for row in batch]
            Client.objects.bulk_create(
                clients,
                update_conflicts=True,
                unique_fields=["email"],
                update_fields=["name", "company", "phone", "status"],
            )


if __name__ == "__main__":
    kind, path = sys.argv[1], Path(sys.argv[2])
    if kind == "bulk-create":
        bulk_create(path)
    else:
        import_export(path, BulkClientResource() if kind.endswith("bulk") else ClientResource())
    print(Client.objects.count(), file=sys.stderr)
