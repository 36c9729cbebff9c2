"""Runs the rfp service: `python -m services.rfp`."""

from services.rfp.app import build
from shared.service import main

main(build)
