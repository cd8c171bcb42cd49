"""A published cell may name several evaluations: the better one stands there, and the table says how it was chosen."""

from dataclasses import replace

import pytest
from made_up import FACTS, cell, write_evaluation

from simmim.report.scale_facts import Misfit
from simmim.report.write import make_table

BOTH = "segment segment_lr3e4"
PAPER = {
    ("table10", "linear", "mIoU"): cell("default", "50.0", BOTH, "miou"),
    ("table10", "full", "mIoU"): cell("loss_full", "49.0", BOTH, "miou"),
}
NAN = float("nan")


def rows(root, scores, name="table10", facts=FACTS):
    """Lines of a table of made-up scores by (run, evaluation)."""
    files = [write_evaluation(root, *key, {("miou", ""): values}) for key, values in scores.items()]
    return make_table(name, files, replace(facts, paper=PAPER)).rows


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        ([40.0], [42.0], "segment_lr3e4"),
        ([43.0], [42.0], "segment"),
        ([40.0, 46.0, 40.0], [41.0, 42.0, 43.0], "segment"),  # the mean counts
        ([NAN], [42.0], "segment_lr3e4"),
    ],
)
def test_the_better_mean_counts_and_is_named(tmp_path, first, second, best):
    shown, _ = rows(tmp_path, {("default", "segment"): first, ("default", "segment_lr3e4"): second})
    values = {"segment": first, "segment_lr3e4": second}[best]
    assert shown["evaluation"] == best
    assert [record["value"] for record in shown["records"]] == values
    assert {record["evaluation"] for record in shown["records"]} == {best}
    words = f"; {best} is the best of segment, segment_lr3e4, chosen on the reported set as the paper searched"
    assert shown["status"].endswith(words)


def test_a_search_that_is_not_complete_says_so(tmp_path):
    shown, none = rows(tmp_path, {("default", "segment"): [40.0]})
    assert shown["ours"] == "40.0"
    assert "best of segment, chosen on the reported set" in shown["status"]
    assert shown["status"].endswith("; segment_lr3e4: not run")
    assert (none["ours"], none["status"], none["records"]) == ("not run", "not run", [])


def test_a_search_that_a_scale_cannot_have_says_why(tmp_path):
    words, misfit = "does not fit this scale: no data", Misfit("does not fit this scale", "no data")
    misfits = {f"loss_full/{name}": misfit for name in BOTH.split()} | {"default/segment_lr3e4": misfit}
    facts = replace(FACTS, misfits=misfits)
    half, none = rows(tmp_path, {("default", "segment"): [40.0]}, facts=facts)
    assert half["status"].endswith(f"; segment_lr3e4: {words}")
    assert (none["ours"], none["status"]) == ("does not fit this scale", words)


def test_directions_compare_the_best_of_both(tmp_path):
    ours = {"segment": [40.0, 41.0, 42.0], "segment_lr3e4": [50.0, 51.0, 52.0]}
    full = {"segment": [46.0, 45.0, 44.0], "segment_lr3e4": [20.0, 21.0, 22.0]}
    scores = {(run, name): each[name] for run, each in (("default", ours), ("loss_full", full)) for name in each}
    (row,) = rows(tmp_path, scores, "directions")
    assert (row["our difference"], row["evaluation"]) == ("−6.0 [−11.0, −1.0]", "segment")


def test_a_search_of_which_only_the_second_can_be_shows_the_second(tmp_path):
    facts = replace(FACTS, misfits={"default/segment": Misfit("does not fit this scale", "no data")})
    shown, _ = rows(tmp_path, {("default", "segment_lr3e4"): [40.0]}, facts=facts)
    assert shown["ours"] == "40.0" and shown["status"].startswith("measured at")
