from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.sources.js_literals import MAX_CHARS, assigned


def test_literals_of_all_kinds_are_read():
    script = """var a=5;
    var x = { bare: 1.5, 'quoted': "it's", "n": -2e3, list: [true, false, null,], o: {}, e: .5, };
    x = 7;"""
    assert assigned(script, "x") == {
        "bare": 1.5,
        "quoted": "it's",
        "n": -2000.0,
        "list": [True, False, None],
        "o": {},
        "e": 0.5,
    }


def test_an_escape_stands_for_its_character():
    assert assigned(r"x='it\'s'", "x") == "it's"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "without x"),
        ("if (x == 1) {}", "without x"),
        ("xx = 1; a.x = 2", "without x"),
        ("x = f(1)", "'f': expected a literal"),
        ("x = [1 2]", "'2]': expected"),
        ("x = {a 1}", "'1}': expected"),
        ("x = {[1]: 2}", "expected a literal"),
        ("x = [1,", "expected a literal"),
        ("x = 'open", "expected a literal"),
        ("x = " + "[" * 50, "nested deeper than 8"),
        ("x = 1;" + " " * MAX_CHARS, "characters: expected up to"),
    ],
)
def test_what_is_no_literal_is_refused_with_words(script, why):
    with pytest.raises(ValueError, match=why.replace("[", r"\[")):
        assigned(script, "x")


values = st.recursive(
    st.booleans()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-9, 9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((depth_of(v) for v in inner), default=0)


@settings(max_examples=100, deadline=None)
@given(values.filter(lambda v: depth_of(v) <= 8))
def test_json_is_read_as_json_reads_it(value):
    assert assigned(f"x = {json.dumps(value)};", "x") == value
