"""An id in a path arrives as it was meant, whoever sent it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from web.segments import id_of, segment

ODD = st.text(st.sampled_from("~.%2Ee/a"), min_size=1, max_size=6) | st.text(min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("id", "written"),
    [
        (".", "~."),
        ("..", "~.."),
        ("~.", "~~."),
        ("~~..", "~~~.."),
        ("...", "..."),
        ("~", "~"),
        ("~a", "~a"),
        ("a..", "a.."),
        ("%2E", "%252E"),
        ("a/..", "a%2F.."),
    ],
)
def test_only_dots_are_written_otherwise(id: str, written: str) -> None:
    assert segment(id) == written
    assert id_of(id) == (id if not id.startswith("~") or not id.endswith(".") else id[1:])


@given(ODD)
def test_a_client_leaves_a_segment_where_it_is(id: str) -> None:
    """yarl takes dots out of a path as browsers do."""
    sent = URL(f"http://host/v1/customers/{segment(id)}/balances")
    assert sent.path_safe.count("/") == 4
    [_, _, _, held, _] = sent.raw_path.split("/")
    assert id_of(URL.build(path=f"/{held}", encoded=True).path[1:]) == id
