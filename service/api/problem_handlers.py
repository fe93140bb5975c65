"""Exceptions in, problems out: one table translates those of FastAPI, Starlette and asyncio.

`service.app` has FastAPI answer with `answer` for each class of HANDLED_BY_FASTAPI, and pass all
others on to `service.api.telemetry`, which translates them.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from handlers.shared.errors import ProblemError
from service.context import context_of
from service.errors import (
    DrainingError,
    InternalError,
    InvalidOptionError,
    MethodNotAllowedError,
    NotFoundError,
)
from service.problem_response import problem_response

MAX_VALIDATION_ERRORS = 5

Translation = Callable[[Any, Scope], ProblemError]


def itself(problem: ProblemError, _scope: Scope) -> ProblemError:
    return problem


def invalid_option(error: RequestValidationError, _scope: Scope) -> ProblemError:
    """Translate pydantic's errors on the query: the value that was sent, and what is allowed."""
    texts = [validation_text(each) for each in error.errors()]
    if len(texts) > MAX_VALIDATION_ERRORS:
        texts[MAX_VALIDATION_ERRORS:] = [f"and {len(texts) - MAX_VALIDATION_ERRORS} more"]
    return InvalidOptionError("; ".join(texts))


def validation_text(error: Mapping[str, object]) -> str:
    location = error["loc"]
    name = str(location[-1] if isinstance(location, tuple) else location)
    if error["type"] == "extra_forbidden":
        return f"{name[:80]!a}: unknown option; /docs lists them all"
    return f"{name}: {error['msg']}, got {str(error['input'])[:80]!a}"


def routing_problem(error: HTTPException, scope: Scope) -> ProblemError:
    """Translate the router's errors: no such route, or not with this method."""
    path = str(scope["path"])[:80]
    if error.status_code == MethodNotAllowedError.status:
        allowed = (error.headers or {}).get("Allow", "GET")  # static files set no `Allow`
        return MethodNotAllowedError(
            f"{path!a} does not take {scope['method']}; it takes {allowed}", allowed
        )
    return NotFoundError(f"no route {path!a}; {alternative(path)}")


def alternative(path: str) -> str:
    """Suggest another path; a redirect would go to any `Host` that the request names."""
    without_slash = path.rstrip("/")
    if without_slash and without_slash != path:
        return f"send without the slash at the end: {without_slash!a}"
    return "/docs lists them all"


def stopped(_error: asyncio.CancelledError, _scope: Scope) -> ProblemError:
    """Translate uvicorn's cancellation of requests at the end of `shutdown_grace_s`."""
    return DrainingError("this gateway had to stop before it had an answer; send it again")


def internal(_error: Exception, _scope: Scope) -> ProblemError:
    return InternalError("the gateway failed on this request; its log has the reason")


TRANSLATIONS: Mapping[type[BaseException], Translation] = {
    ProblemError: itself,
    RequestValidationError: invalid_option,
    HTTPException: routing_problem,
    asyncio.CancelledError: stopped,
    Exception: internal,
}
HANDLED_BY_FASTAPI = (ProblemError, RequestValidationError, HTTPException)


def problem_of(error: BaseException, scope: Scope) -> ProblemError:
    """Translate an exception by the entry for its class, or for the nearest class above."""
    translate = next(TRANSLATIONS[kind] for kind in type(error).__mro__ if kind in TRANSLATIONS)
    return translate(error, scope)


async def answer(request: Request, error: Exception) -> Response:
    """Answer a request with the problem that an exception stands for."""
    problem = problem_of(error, request.scope)
    context_of(request).problem_code = problem.code
    return problem_response(problem)


async def pass_on(_request: Request, error: Exception) -> Response:
    """Raise what is answered, and logged, outside FastAPI."""
    raise error
