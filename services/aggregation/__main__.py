"""Runs the aggregation service: `python -m services.aggregation`."""

from services.aggregation.app import build
from shared.service import main

main(build)
