"""Runs the portal service: `python -m services.portal`."""

from services.portal.app import build
from shared.service import main

main(build)
