"""The same system as in the integration tests."""

from tests.integration.conftest import system

__all__ = ["system"]
