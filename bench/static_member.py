"""`python -m bench.static_member NAME`: a service whose consumers have lasting names, for comparison; the product has none."""

import runpy
import sys
from typing import Any

from faststream.kafka import KafkaRouter

subscribe = KafkaRouter.subscriber


def subscribe_by_name(router: KafkaRouter, *topics: str, **rules: Any) -> Any:
    """Subscribe as the service does, as a static member of its group."""
    return subscribe(router, *topics, group_instance_id=f"{rules['group_id']}-1", **rules)


if __name__ == "__main__":
    KafkaRouter.subscriber = subscribe_by_name  # type: ignore[method-assign,assignment]
    runpy.run_module(f"services.{sys.argv[1]}", run_name="__main__")
