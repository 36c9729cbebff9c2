"""Run the distribution service: `python -m services.distribution`."""

from services.distribution.app import build
from shared.service import main

main(build)
