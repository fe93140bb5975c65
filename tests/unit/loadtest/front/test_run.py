"""The selection of servers."""

import pytest
import typer

from loadtest.front.run import select

KNOWN = ("ours", "mosec", "litserve")


def test_servers_keep_their_order_and_without_names_all_are_chosen() -> None:
    assert select(["litserve", "ours"], KNOWN) == ["ours", "litserve"]
    assert select(None, KNOWN) == list(KNOWN)


def test_an_unknown_server_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="ray: not among ours, mosec, litserve"):
        select(["ray"], KNOWN)
