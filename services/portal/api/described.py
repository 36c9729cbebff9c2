"""The OpenAPI document: what FastAPI finds out, and beside it the bodies of orders as the contract has them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.portal.domain.orders import orders_about_purchases

_REFUSALS = {
    "401": "Nobody is signed in.",
    "403": "This role may not, or not yet.",
    "404": "There is no such thing, or it is not yours.",
    "409": "The order was refused: `reason` is a fixed word, `detail` a sentence.",
    "413": "A request has at most 1 MiB.",
    "422": "The request is not what it must be: `errors` say where and why.",
    "429": "Too many attempts.",
}
_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457).",
    "type": "object",
    "required": ["type", "status", "reason", "detail"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "reason": {"type": "string"},
        "detail": {"type": "string"},
    },
}


def describe(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of this API."""
    if api.openapi_schema is None:
        document = get_openapi(
            title=api.title, version=api.version, description=api.description, routes=api.routes
        )
        schemas = document["components"]["schemas"]
        for superfluous in ("HTTPValidationError", "ValidationError"):
            schemas.pop(superfluous, None)
        schemas["Problem"] = _PROBLEM
        for name, model in orders_about_purchases().items():
            body = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(body.pop("$defs", {}))
            body["properties"].pop("purchase_id")
            body["required"] = [one for one in body.get("required", ()) if one != "purchase_id"]
            schemas[model.__name__] = body
            way_in = document["paths"][f"/v1/purchases/{{purchase_id}}/{name}"]["post"]
            way_in["requestBody"]["content"]["application/json"]["schema"] = {
                "$ref": f"#/components/schemas/{model.__name__}"
            }
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"] |= {status: _refusal(said) for status, said in _REFUSALS.items()}
        document["components"]["securitySchemes"] = {"session": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"session": []}]
        api.openapi_schema = document
    return api.openapi_schema


def _refusal(said: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": said, "content": {"application/problem+json": {"schema": schema}}}
