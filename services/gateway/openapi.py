"""The OpenAPI document, from the same structs that read and write."""

import inspect
from typing import Any, Final

import msgspec

from services.gateway.answers import ErrorAnswer
from services.gateway.calls import Call

REF: Final = "#/components/schemas/{name}"

DESCRIPTION: Final = """
A spot exchange. Decimals are JSON strings, times are milliseconds since the epoch.

Get a token with `POST /api/auth/token` and put it into **Authorize**; or sign requests (`X-MBX-APIKEY`, `timestamp`,
`recvWindow` and an HMAC-SHA256 `signature` over the query string plus the body).

Every error has the shape `{"code": -2010, "msg": "…"}`; `code` never changes its meaning. 504 means that the outcome
is *unknown*: ask for the order by its `cid`, or send the same command again - it takes effect once.
"""

REASONS: Final = {
    400: "The request is wrong, or the exchange refused it; nothing changed.",
    401: "Credentials are missing, wrong, expired or revoked.",
    403: "The caller may not do this.",
    404: "There is no such user, order or key.",
    409: "It is there already, and different.",
    413: "The body is too large.",
    414: "The query is too long.",
    415: "The body is not application/json.",
    429: "Too many requests; see Retry-After.",
    503: "Not ready, or too busy; nothing was done; see Retry-After.",
    504: "The outcome did not arrive in time: execution status unknown.",
}

TAGS: Final = [
    {"name": "auth", "description": "Tokens."},
    {"name": "orders", "description": "Placing, cancelling and looking at orders."},
    {"name": "balances", "description": "What a user owns, and how it came to it."},
    {"name": "transfers", "description": "Funds that come in and go out; scope treasury."},
    {"name": "trades", "description": "Settled trades."},
    {"name": "market data", "description": "Books and instruments, for anybody."},
    {"name": "admin: users", "description": "Accounts and API keys; scope admin."},
    {"name": "admin: instruments", "description": "Assets, symbols, limits; scope admin."},
    {"name": "admin: state", "description": "How all processes are, and what the cores hold, as digests; scope admin."},
    {"name": "admin: logs", "description": "What the process that answers logs; scope admin."},
    {"name": "health", "description": "For whoever operates it."},
]

_ERROR_EXAMPLES: Final = {
    400: {"code": -1102, "msg": "Mandatory parameter 'symbol' was not sent."},
    401: {"code": -1002, "msg": "The token has expired."},
    403: {"code": -1002, "msg": "This needs a key with scope trade."},
    503: {"code": -1008, "msg": "Too many commands are in flight; nothing was done, try again."},
}


def document(calls: list[Call], title: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these calls."""
    said = [kind for call in calls for kind in (*_alternatives(call.answer), call.body, call.query)]
    kinds = [kind for kind in said if kind not in (None, str)]
    _, components = msgspec.json.schema_components([ErrorAnswer, *kinds], ref_template=REF)
    paths: dict[str, Any] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, components)
    queries = {call.query.__name__ for call in calls if call.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": DESCRIPTION},
        "tags": TAGS,
        "paths": paths,
        "components": {
            "schemas": {name: _tidy(schema) for name, schema in components.items() if name not in queries},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(call: Call, components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [call.tag],
        "summary": call.summary,
        "description": inspect.getdoc(call.endpoint) or "",
        "operationId": _operation_id(call),
        "parameters": [*_path_parameters(call), *_query_parameters(call, components)],
        "responses": _responses(call),
    }
    if call.body is not None:
        content = {"schema": _schema(call.body), "example": call.example}
        operation["requestBody"] = {"required": bool(call.example), "content": {"application/json": content}}
    if call.scope is not None:
        operation["security"] = [{"token": []}]
        operation["description"] += f"\n\nNeeds scope `{call.scope.value}`."
    elif 401 in call.refusals and call.body is None:
        operation["security"] = [{}, {"token": []}]
    return operation


def _operation_id(call: Call) -> str:
    return f"{call.method.lower()}{call.path.replace('/', '_').replace('{', '').replace('}', '')}"


def _path_parameters(call: Call) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in call.path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1} if name.endswith("_id") else {"type": "string", "minLength": 1},
            "example": call.examples.get(name),
        }
        for name in names
    ]


def _query_parameters(call: Call, components: dict[str, Any]) -> list[dict[str, Any]]:
    if call.query is None:
        return []
    schema = components[call.query.__name__]
    found = []
    for name, field in schema["properties"].items():
        parameter = {"name": name, "in": "query", "required": name in schema["required"], "schema": _not_null(field)}
        if name in call.examples:
            parameter["example"] = call.examples[name]
        found.append(parameter)
    return found


def _not_null(field: dict[str, Any]) -> Any:
    """A query parameter is absent or there, never null."""
    options = [option for option in field.get("anyOf", []) if option != {"type": "null"}]
    return _tidy(options[0] if len(options) == 1 else field)


def _responses(call: Call) -> dict[str, Any]:
    if call.answer is str:
        return {str(call.status): {"description": "Plain text.", "content": {"text/plain": {}}}}
    responses = {
        str(call.status): {
            "description": "Success.",
            "content": {"application/json": {"schema": _schema(call.answer)}},
        }
    }
    for status in _refusals(call):
        content: dict[str, Any] = {"schema": _schema(ErrorAnswer)}
        if call.path == "/health/ready":
            content = {"schema": _schema(call.answer)}
        elif status in _ERROR_EXAMPLES:
            content["example"] = _ERROR_EXAMPLES[status]
        responses[str(status)] = {"description": REASONS[status], "content": {"application/json": content}}
    return responses


def _refusals(call: Call) -> list[int]:
    found = {*call.refusals}
    if call.query is not None:
        found |= {400, 414, 429, 503}
    if call.body is not None:
        found |= {413, 415}
    if call.scope is not None:
        found |= {401, 403}
    return sorted(found)


def _alternatives(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _schema(kind: Any) -> dict[str, Any]:
    if isinstance(kind, tuple):
        return {"anyOf": [_schema(one) for one in kind]}
    schema: dict[str, Any] = msgspec.json.schema_components([kind], ref_template=REF)[0][0]
    return schema


def _tidy(schema: Any) -> Any:
    """Docstrings without their indentation, and patterns that end as JSON schema writes it."""
    if isinstance(schema, dict):
        tidy = {key: _tidy(value) for key, value in schema.items()}
        if isinstance(tidy.get("description"), str):
            tidy["description"] = inspect.cleandoc(tidy["description"])
        if isinstance(tidy.get("pattern"), str):
            tidy["pattern"] = tidy["pattern"].replace("\\Z", "$")
        return tidy
    return [_tidy(item) for item in schema] if isinstance(schema, list) else schema
