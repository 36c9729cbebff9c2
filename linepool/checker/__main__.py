"""Judge a live stack: `python -m linepool.checker`."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import asyncpg
from aiokafka.errors import KafkaError

from linepool.checker.collect import NothingVisibleError, Place, collect
from linepool.checker.judge import check

VARIABLES = """environment:
  LINEPOOL_KAFKA_BOOTSTRAP_SERVERS  host:port
  LINEPOOL_KAFKA_USERNAME           a login that may read every topic
  LINEPOOL_KAFKA_PASSWORD           its password
  LINEPOOL_KAFKA_CA_FILE            optional: the authority of its certificate, PEM
  LINEPOOL_TOPIC_PREFIX             optional: stands before every topic's name
  LINEPOOL_POSTGRES_DSN             a login that may read every service's schema

exit code: 0 nothing is violated, 1 something is, 2 the stack cannot be read
"""


def main() -> int:
    """Read a stack, print the report, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m linepool.checker",
        description="Judge whether everything holds that must always hold, from raw records and rows alone.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mails", type=Path, metavar="FOLDER", help="where the mail server keeps its mails")
    parser.add_argument(
        "--logs", type=Path, metavar="FOLDER", action="append", help="log files; may be repeated"
    )
    arguments = parser.parse_args()
    try:
        place = Place(
            bootstrap_servers=os.environ["LINEPOOL_KAFKA_BOOTSTRAP_SERVERS"],
            username=os.environ["LINEPOOL_KAFKA_USERNAME"],
            password=os.environ["LINEPOOL_KAFKA_PASSWORD"],
            admin_dsn=os.environ["LINEPOOL_POSTGRES_DSN"],
            prefix=os.environ.get("LINEPOOL_TOPIC_PREFIX", ""),
            ca_file=Path(file) if (file := os.environ.get("LINEPOOL_KAFKA_CA_FILE")) else None,
        )
        history = asyncio.run(collect(place, mails=arguments.mails, logs=arguments.logs))
    except KeyError as missing:
        sys.stderr.write(f"linepool: {missing.args[0]} is not set\n")
        return 2
    except (OSError, KafkaError, asyncpg.PostgresError, NothingVisibleError) as error:
        sys.stderr.write(f"linepool: the stack cannot be read: {type(error).__name__}\n")
        return 2
    report = check(history)
    sys.stdout.write(f"{report}\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
