"""The hash of a cell is ipykernel's, bit for bit."""

import ipykernel.compiler
from hypothesis import given
from hypothesis import strategies as st
from kernel_client import running_kernel

from nbdebug.kernel.hashing import murmur2


@given(text=st.text(), seed=st.integers(0, 0xFFFFFFFF))
def test_it_is_ipykernels(text: str, seed: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert murmur2(text, seed) == ipykernel.compiler.murmur2_x86(text, seed)


def test_it_is_there_while_nbdebug_is_loaded() -> None:
    with running_kernel() as kernel:
        ask = "import ipykernel.compiler as c; c.murmur2_x86.__module__"
        assert kernel.run(ask)["output"] == "'nbdebug.kernel.hashing'"
        kernel.run("%unload_ext nbdebug")
        assert kernel.run(ask)["output"] == "'ipykernel.compiler'"
