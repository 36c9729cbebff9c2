"""A Kafka of several brokers is named as all of them; any one that answers is enough."""

import pytest
from pydantic import SecretBytes, SecretStr

from shared.kafka import login
from shared.settings import ServiceSettings
from shared.streams import make_broker
from shared.wiring import Wiring


@pytest.mark.parametrize("written", ["one:9092,two:9093,three:9094", "one:9092, two:9093, three:9094"])
def test_each_of_several_brokers_is_a_server_of_its_own(written: str) -> None:
    settings = ServiceSettings(
        postgres_dsn=SecretStr("postgresql://nowhere/linepool"),
        http_port=1,
        secret=SecretBytes(b"ab" * 32),
        kafka_bootstrap_servers=written,
        kafka_username="rfp",
        kafka_password=SecretStr("hush"),
    )
    servers = ["one:9092", "two:9093", "three:9094"]
    assert make_broker(settings, Wiring("rfp")).specification.url == servers
    assert login(settings)["bootstrap_servers"] == servers
