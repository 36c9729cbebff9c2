"""The HTTP API, version 1: `orders` in, `purchases` out; `asking` says who asks, `problems` how a refusal looks."""

from functools import partial

from fastapi import FastAPI

from services.portal.api import groups, invitations, me, orders, purchases, sessions
from services.portal.api.asking import Portal
from services.portal.api.described import describe
from services.portal.api.guarded import Guarded
from services.portal.api.problems import answer_with_problems


def make_api(portal: Portal | None) -> FastAPI:
    """Return the API; it asks the running portal for its database at each request. Without one it can only be described."""
    api = FastAPI(
        title="Linepool",
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    api.state.portal = portal
    api.openapi = partial(describe, api)  # type: ignore[method-assign] # FastAPI's own way to extend it
    answer_with_problems(api)
    for room in (sessions, me, groups, invitations, orders, purchases):
        api.include_router(room.router)
    api.add_middleware(Guarded)
    return api
