"""A service that cannot start says why in one sentence and exits with code 1, so that its supervisor tries again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.access.certificates import Authority
from deploy.local.process import free_port
from deploy.local.services import Services
from deploy.local.stack import Stack
from tests.integration.tls import server_with

ROOT = Path(__file__).parents[2]
NOT_IN = "linepool: Kafka does not let rfp in: "


def start(stack: Stack, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run rfp with the stack's environment and some changes until it ends."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("LINEPOOL_")}
    own = Services(stack, ["rfp"]).environment_of("rfp")
    return subprocess.run(
        [sys.executable, "-m", "services.rfp"],
        env=outside | own | changes,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture(scope="module")
def servers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses and files for the table below. Those who sign are the stack's own: only the names or times are wrong."""
    folder = tmp_path_factory.mktemp("servers")
    Authority.new("Linepool brokers").write(folder / "ca.pem", folder / "ca.key.pem")
    own = Authority.read(stack.ca_file, stack.ca_file.with_name("brokers-ca.key.pem"))
    expired = own.issue_for_server(["127.0.0.1"], validity=timedelta(minutes=-1))
    with (
        server_with(own.issue_for_server(["kafka.example"]), folder / "another") as another_host,
        server_with(expired, folder / "expired") as expired_port,
    ):
        yield {
            "port": str(free_port()),
            "kafka": stack.services_bootstrap,
            "prefix": stack.prefix,
            "another_authority": str(folder / "ca.pem"),
            "another_host": str(another_host),
            "expired": str(expired_port),
            "smtp": str(stack.smtp_port),
        }


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{port}",
            NOT_IN + "127.0.0.1:{port} does not answer",
        ),
        (
            "LINEPOOL_KAFKA_PASSWORD",
            "wrong",
            NOT_IN + "{kafka} does not know the login of {prefix}rfp",
        ),
        (
            "LINEPOOL_KAFKA_CA_FILE",
            "{another_authority}",
            NOT_IN + "the certificate of {kafka} is not to be trusted (",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{another_host}",
            NOT_IN + "the certificate of 127.0.0.1:{another_host} is not to be trusted (IP address mismatch",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{expired}",
            NOT_IN + "the certificate of 127.0.0.1:{expired} is not to be trusted (certificate has expired",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{smtp}",
            NOT_IN + "127.0.0.1:{smtp} does not speak TLS",
        ),
        (
            "LINEPOOL_KAFKA_CA_FILE",
            "/does/not/exist.pem",
            "linepool: these settings are missing or wrong: LINEPOOL_KAFKA_CA_FILE",
        ),
        (
            "LINEPOOL_KAFKA_CA_FILE",
            __file__,
            "linepool: these settings are missing or wrong: LINEPOOL_KAFKA_CA_FILE",
        ),
        (
            "LINEPOOL_POSTGRES_DSN",
            "postgresql://rfp:x@127.0.0.1:{port}/x",
            "linepool: Postgres does not let rfp in",
        ),
        ("LINEPOOL_SECRET", "12", "linepool: these settings are missing or wrong: LINEPOOL_SECRET"),
    ],
)
def test_what_is_away_or_wrong_at_start_is_named_in_one_sentence(
    stack: Stack, servers: dict[str, str], variable: str, value: str, sentence: str
) -> None:
    ended = start(stack, **{variable: value.format(**servers)})
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("linepool: ")]
    assert len(said) == 1
    assert said[0].startswith(sentence.format(**servers))
    assert "Traceback" not in ended.stdout + ended.stderr
