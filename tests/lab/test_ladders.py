"""Ladders: where a search goes on, and that it ends at the best, from wherever."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isometry.lab.choices import at_edge
from isometry.lab.ladders import (
    check_continuable,
    check_ladders,
    ends_of,
    extended,
    neighbours,
    untried,
)
from isometry.lab.plans import plan
from isometry.lab.search import Search

SMALL = {"data": "digits", "tasks": 2, "width": 8, "depth": 1}
LRS, BETAS = (1e-4, 1e-3, 1e-2, 1e-1), (0.9, 0.99, 0.999)
LADDERS = {"lr": LRS, "beta2": BETAS}


def search_of(points, ladders=LADDERS, method="adam"):
    """Return a search that has tried these points."""
    plans = [plan("permuted_mnist", method, {**SMALL, **p}, "smoke") for p in points]
    return Search(
        benchmark="permuted_mnist",
        method=method,
        case=SMALL,
        candidates=tuple(points),
        plans=tuple(plans),
        ladders=ladders,
    )


def point(lr, beta2):
    return {"lr": lr, "beta2": beta2}


# --- neighbours and ends --------------------------------------------------------------


def test_neighbours_are_a_rung_up_and_a_rung_down_with_the_others_held():
    found = neighbours({"lr": 1e-3, "beta2": 0.9, "leak": 0.5}, LADDERS)
    assert list(found) == ["beta2", "lr"]
    assert found["lr"] == [
        {"lr": 1e-4, "beta2": 0.9, "leak": 0.5},
        {"lr": 1e-2, "beta2": 0.9, "leak": 0.5},
    ]
    assert found["beta2"] == [None, {"lr": 1e-3, "beta2": 0.99, "leak": 0.5}]
    assert neighbours({"leak": 0.5}, LADDERS) == {}


def test_ends_are_open_until_both_neighbours_were_tried_and_a_limit_at_the_last_rung():
    tried = [point(1e-4, 0.99), point(1e-3, 0.99), point(1e-4, 0.9)]
    search = search_of(tried)
    assert ends_of(search, 0) == {"lr": "limit", "beta2": "open"}
    assert untried(search, 0) == [point(1e-4, 0.999)]
    search = search_of([*tried, point(1e-4, 0.999)])
    assert ends_of(search, 0) == {"lr": "limit", "beta2": "interior"}
    assert untried(search, 0) == []
    assert ends_of(search, 1) == {"lr": "open", "beta2": "open"}
    assert untried(search, 1) == [point(1e-3, b) for b in (0.9, 0.999)] + [
        point(1e-2, 0.99)
    ]


def test_where_the_file_has_no_ladders_a_search_has_no_end():
    search = search_of([point(1e-3, 0.9)], {})
    assert untried(search, 0) == []
    assert ends_of(search, 0) == {}


def test_added_candidates_are_planned_as_those_of_the_file():
    search = search_of([point(1e-3, 0.9)])
    longer = extended(search, [point(1e-2, 0.9), point(1e-4, 0.9)], "smoke")
    assert longer.candidates == (*search.candidates, point(1e-2, 0.9), point(1e-4, 0.9))
    again = search_of(list(longer.candidates))
    assert [p.hash() for p in longer.plans] == [p.hash() for p in again.plans]
    assert search.candidates == (point(1e-3, 0.9),), "the first one is as it was"
    with pytest.raises(ValueError, match="needed 0 <= beta2 < 1"):
        extended(search, [point(1e-3, 1.5)], "smoke")


@pytest.mark.parametrize(
    ("ends", "chosen", "edges"),
    [
        ({"lr": "limit"}, 1, []),  # a stated limit is no edge
        ({"lr": "interior"}, 1, []),
        ({"lr": "open"}, 2, ["lr"]),
        ({}, 1, ["lr"]),  # of a search that could not go on
        ({}, 2, []),
    ],
)
def test_a_continued_search_is_at_an_edge_where_it_had_to_stop(ends, chosen, edges):
    tried = [{"values": {"lr": lr}} for lr in (1, 2, 3)]
    record = {"chosen": {"lr": chosen}, "candidates": tried, "ends": ends}
    assert at_edge(record) == edges


# --- the rule as a whole --------------------------------------------------------------


@st.composite
def unimodal(draw, rungs):
    """Return scores of rungs that rise strictly to one of them and then fall."""
    steps = draw(st.lists(st.integers(1, 9), min_size=rungs, max_size=rungs))
    peak = draw(st.integers(0, rungs - 1))
    return {
        rung: -float(sum(steps[min(rung, peak) : max(rung, peak)]))
        for rung in range(rungs)
    }


@st.composite
def landscapes(draw):
    """Return two ladders' scores, and two starting grids on them."""
    sizes = draw(st.tuples(st.integers(2, 7), st.integers(2, 5)))
    first, second = (draw(unimodal(size)) for size in sizes)

    def grid():
        axes = [
            draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3, unique=True))
            for n in sizes
        ]
        return [dict(zip(("a", "b"), rungs, strict=True)) for rungs in product(*axes)]

    return (first, second), (grid(), grid())


def continued(score, ladders, start):
    """Return a search of made-up scores, gone on with until nothing is untried."""
    search = replace(search_of([], ladders), candidates=tuple(start))

    def best():
        reached = [score(one) for one in search.candidates]
        return reached.index(max(reached))

    while points := untried(search, best()):
        assert len(search.candidates) <= len(ladders["a"]) * len(ladders["b"])
        search = replace(search, candidates=(*search.candidates, *points))
    return search, best()


@given(landscapes())
def test_a_search_ends_at_the_maximum_from_any_grid_and_tries_nothing_twice(landscape):
    scores, starts = landscape
    maximum = {key: max(s, key=s.get) for key, s in zip("ab", scores, strict=True)}
    for start in starts:
        ladders = {key: tuple(own) for key, own in zip("ab", scores, strict=True)}
        search, best = continued(
            lambda one: scores[0][one["a"]] + scores[1][one["b"]], ladders, start
        )
        assert search.candidates[: len(start)] == tuple(start)
        assert search.candidates[best] == maximum
        tried = [tuple(p.values()) for p in search.candidates]
        assert len(set(tried)) == len(tried)
        for key, own in zip("ab", scores, strict=True):
            at_end = maximum[key] in (min(own), max(own))
            expected = "limit" if at_end else "interior"
            assert ends_of(search, best)[key] == expected


@given(
    st.lists(st.integers(0, 3), min_size=20, max_size=20),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1),
)
def test_a_search_ends_on_any_scores_where_no_neighbour_is_better(scores, start):
    def score(one):
        return scores[4 * one["a"] + one["b"]]

    ladders = {"a": tuple(range(5)), "b": tuple(range(4))}
    points = [{"a": a, "b": b} for a, b in sorted(start)]
    search, best = continued(score, ladders, points)
    reached = score(search.candidates[best])
    assert reached == max(map(score, search.candidates))
    pairs = neighbours(search.candidates[best], ladders).values()
    beside = [one for pair in pairs for one in pair if one is not None]
    assert all(one in search.candidates and score(one) <= reached for one in beside)
    assert "open" not in ends_of(search, best).values()


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [1e-2, 1e-3],
        [1e-3, 1e-3, 1e-2],
        ["1e-3", "1e-2"],
        [1e-3, "1e-2"],
        [False, True],
        [1e-3],
        [],
        1e-3,
    ],
)
def test_a_ladder_is_two_or_more_rising_numbers(values):
    with pytest.raises(ValueError, match=r"needed two or more rising numbers for lr"):
        check_ladders({"lr": values})
    assert check_ladders({"lr": [1, 2.5]}) == {"lr": (1, 2.5)}


@pytest.mark.parametrize(
    ("points", "ladders", "message"),
    [
        (
            [point(1e-3, 0.9), point(1e-2, 0.9)],
            {"beta2": BETAS},
            "needed a ladder for lr of [methods.adam] or [search], on which its",
        ),
        (
            [point(1e-3, 0.9), point(3e-3, 0.9), point(1e-2, 0.9)],
            LADDERS,
            "needed values of lr in [methods.adam] or [search] that are rungs of its "
            "ladder, found 0.003; add them to [ladders]",
        ),
        # One value of a setting must be on its ladder, too: there it starts.
        ([point(3e-3, 0.9)], LADDERS, "are rungs of its ladder, found 0.003; add"),
        ([point("1e-3", 0.9)], LADDERS, "are rungs of its ladder, found 1e-3; add"),
        # A search would get to this rung one day, and end the whole sweep.
        ([point(1e-3, 0.9)], {**LADDERS, "beta2": (0.9, 1.0)}, "needed 0 <= beta2 < 1"),
    ],
)
def test_a_search_that_could_not_go_on_is_refused_beforehand(points, ladders, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        check_continuable(search_of(points, ladders), "smoke")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_words_and_single_values_need_no_ladder():
    search = search_of([{"activation": a, "beta2": 0.9} for a in ("relu", "tanh")], {})
    check_continuable(search, "smoke")
    search = search_of([{"reshuffle": r} for r in (True, False)], {})
    check_continuable(search, "smoke")
