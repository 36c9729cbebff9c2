"""Tests by level: unit, contract, service, flow, integration, containers, soak."""
