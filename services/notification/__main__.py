"""Run the notification service: `python -m services.notification`."""

from services.notification.app import build
from shared.service import main

main(build)
