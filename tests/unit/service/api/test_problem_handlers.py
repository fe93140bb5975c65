"""Each exception that other packages raise on a request becomes a problem."""

import asyncio
import inspect
from types import ModuleType

import httptools
import httptools.parser.errors
import pytest
import python_multipart.exceptions
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.types import Scope

from handlers.shared.errors import ProblemError
from service.api.problem_handlers import HANDLED_BY_FASTAPI, TRANSLATIONS, problem_of
from service.errors import BusyError, ModelMissingError

SCOPE: Scope = {
    "type": "http",
    "method": "PUT",
    "scheme": "http",
    "server": ("x", 80),
    "path": "/livez/",
    "query_string": b"",
    "headers": [],
}


def test_the_table_has_each_exception_that_fastapi_answers_by_default() -> None:
    by_default = set(FastAPI().exception_handlers) - {WebSocketRequestValidationError}
    assert by_default <= set(HANDLED_BY_FASTAPI)


def test_fastapi_answers_only_what_the_table_has() -> None:
    assert set(HANDLED_BY_FASTAPI) <= set(TRANSLATIONS)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HTTPException(404), "not_found"),
        (HTTPException(405, headers={"Allow": "GET"}), "method_not_allowed"),
        (RequestValidationError([]), "invalid_option"),
        (asyncio.CancelledError(), "draining"),
        (KeyError("a defect"), "internal_error"),
        (MemoryError(), "internal_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_exception_is_translated_by_its_class_or_the_nearest_above(
    error: BaseException, code: str
) -> None:
    assert problem_of(error, SCOPE).code == code


@pytest.mark.parametrize(
    "problem", [BusyError("", retry_after_s=1), ModelMissingError("")], ids=lambda one: one.code
)
def test_a_problem_stays_what_it_is(problem: ProblemError) -> None:
    assert problem_of(problem, SCOPE) is problem


def test_a_path_is_named_whatever_bytes_its_query_has() -> None:
    problem = problem_of(HTTPException(404), {**SCOPE, "query_string": b"\x80"})
    assert "'/livez/'" in str(problem)


def test_no_detail_has_the_text_of_an_unexpected_exception() -> None:
    assert "secret" not in str(problem_of(ValueError("secret"), SCOPE))


def defined_in(module: ModuleType) -> set[type[BaseException]]:
    classes = {kind for _, kind in inspect.getmembers(module, inspect.isclass)}
    return {kind for kind in classes if issubclass(kind, BaseException)}


def test_each_error_of_the_http_parser_is_caught() -> None:
    """`service.server.http1.request_head` catches two classes."""
    caught = (httptools.HttpParserError, httptools.HttpParserUpgrade)
    assert all(issubclass(kind, caught) for kind in defined_in(httptools.parser.errors))


def test_each_error_of_the_multipart_parser_is_caught() -> None:
    """`service.body.multipart` catches one class; the others are of parsers that are not used."""
    other_parsers = {
        python_multipart.exceptions.DecodeError,
        python_multipart.exceptions.FileError,
        python_multipart.exceptions.QuerystringParseError,
    }
    kinds = defined_in(python_multipart.exceptions) - other_parsers
    assert all(issubclass(kind, python_multipart.exceptions.FormParserError) for kind in kinds)
