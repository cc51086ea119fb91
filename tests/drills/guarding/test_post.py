"""The drill's side of a guard, with guards that misbehave; `local` has the real one."""

import sys

import pytest

from trioroute.drills.guarding.post import Post
from trioroute.drills.world import WorldError


def guard(code: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; line = sys.stdin.readline(); {code}"]


async def test_it_is_given_its_order_and_closed_by_its_input() -> None:
    healed: list[str] = []
    code = "print('done' if line == 'cut\\n' else 'what?', flush=True); sys.stdin.read()"
    post = await Post.open(guard(code), b"cut", heal=lambda: healed.append("healed"))
    await post.close()
    assert healed == []


async def test_what_a_guard_leaves_is_healed_here() -> None:
    healed: list[str] = []
    code = "print('done', flush=True); sys.stdin.read(); sys.exit(1)"
    post = await Post.open(guard(code), b"cut", heal=lambda: healed.append("healed"))
    await post.close()
    assert healed == ["healed"]


async def test_what_it_could_not_do_is_said() -> None:
    with pytest.raises(WorldError, match="nothing was broken: failed: no right"):
        await Post.open(guard("print('failed: no right')"), b"", heal=lambda: None)
    with pytest.raises(WorldError, match="did not say that it is done"):
        await Post.open(guard("pass"), b"", heal=lambda: None)
