"""Run the opener: `python -m services.bidding.opener`."""

from services.bidding.opener.app import build
from shared.service import main

if __name__ == "__main__":
    main(build)
