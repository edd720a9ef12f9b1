# The report's statistics: six numbers, in its order.
"""The six numbers of the report's statistics file, out of a statistics document."""

from collections.abc import Mapping
from typing import Any


def six_numbers(document: Mapping[str, Any]) -> dict[str, int]:
    """Active connections, bytes, status 200, 404 and 5xx, total of requests; by what a person calls them."""
    responses: Mapping[str, int] = document["responses"]
    return {
        "Active connections": document["connections_active"],
        "Total bytes transferred": document["bytes_sent"],
        "Status 200": responses.get("200", 0),
        "Status 404": responses.get("404", 0),
        "Status 5xx": sum(count for status, count in responses.items() if status.startswith("5")),
        "Total requests": document["requests_total"],
    }
