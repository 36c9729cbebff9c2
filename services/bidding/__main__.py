"""Run the bidding service: `python -m services.bidding`."""

from services.bidding.app import build
from shared.service import main

if __name__ == "__main__":  # the worker process imports this module too
    main(build)
