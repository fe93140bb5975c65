"""The context of a request: one record, made once, found from its scope and its Request."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Scope

from service.context import checked_request_id, context_of


def scope_of(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "method": "GET", "headers": list(headers)}


async def test_a_request_has_one_context() -> None:
    scope = scope_of()
    context = context_of(scope)
    assert context_of(Request(scope)) is context
    assert context_of({**scope, "method": "HEAD"}) is context  # copies share the state
    assert context_of(scope_of()) is not context


async def test_a_context_has_the_time_of_arrival_and_the_id_of_the_request() -> None:
    before_s = asyncio.get_running_loop().time()
    context = context_of(scope_of((b"x-request-id", b"abc")))
    assert context.request_id == "abc"
    assert before_s <= context.arrived_s <= asyncio.get_running_loop().time()


async def test_a_new_context_has_no_problem_and_no_key() -> None:
    context = context_of(scope_of())
    assert (context.problem_code, context.key_name, context.charge_key) == ("", "", None)
    assert (context.refusal, context.is_draining, context.image_count) == (None, False, 1)
    assert not context.is_disconnected
    assert context.stages.ms == {}


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129, "ä"])
def test_an_invalid_request_id_is_replaced(sent: str | None) -> None:
    made = checked_request_id(sent)
    assert len(made) == 32
    assert made != sent
