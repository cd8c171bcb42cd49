"""Tables: nothing blank, nothing of the paper's in our column, nothing smoothed over, every number traceable."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from made_up import FACTS, FINETUNE, SCALE, cell, write_evaluation, write_training

from simmim.config.sheets import Sheets
from simmim.plugin import names
from simmim.report.page import table_page
from simmim.report.provenance import provenance
from simmim.report.scale_facts import ScaleFacts
from simmim.report.table import RECORD
from simmim.report.table_file import markdown, read_parquet, write_parquet
from simmim.report.write import make_table, write_table

REPOSITORY = Path(__file__).parents[2]


def evaluations(results):
    return results["finetune"] + results["probe"] + results["detect"]


def inputs_of(name, results):
    special = {"pretraining": results["pretrain"], "probe": results["probe"]}
    special["extra_validation"] = results["extra_validation"] + results["detect"]
    special["image_passes"] = results["pretrain"] + evaluations(results)
    special["table2"] = results["pretrain"]
    special["table7"] = results["size"]
    special["data"] = results["data_card"] + results["finetune"]
    return special.get(name, evaluations(results))


class AsInThePaper(ScaleFacts):
    """A scale whose setting is the paper's, whatever it is called."""

    is_paper = True


def made(name, results, facts=FACTS):
    return make_table(name, inputs_of(name, results), facts)


def beside_the_paper(name, results):
    return made(name, results, AsInThePaper(**vars(FACTS)))


def row_of(shown, **wanted):
    rows = [row for row in shown.rows if all(row[column] == text for column, text in wanted.items())]
    assert len(rows) == 1, f"{len(rows)} rows with {wanted}"
    return rows[0]


@pytest.mark.parametrize("name", [*names("report.tables"), "table1", "table2", "table4", "table5", "table7", "table8"])
def test_no_cell_is_blank_and_the_title_carries_the_scale(name, results):
    table = made(name, results)
    assert table.title.endswith(" · made-up scale")
    assert table.rows
    for row in table.rows:
        for column in table.columns:
            assert row[column].strip(), f"'{column}' is blank in {row}"
        assert row["scale"] == SCALE
        assert row["status"]


def test_an_extra_set_stands_beside_the_main_one(results):
    shown = made("extra_validation", results)
    assert len(shown.rows) == 2
    row = row_of(shown, run="default")
    assert (row["extra set"], row["top-1 there (%)"], row["top-1 (%)"]) == ("v2", "52.0 ± 2.0", "61.0 ± 1.0")
    assert (row["difference"], row["n"], row["mean"]) == ("−9.0", "3", 52.0)
    assert {entry["dataset"] for entry in row["records"]} == {"made_up", "v2"}


def test_a_measured_cell_stands_beside_the_papers(results):
    row = row_of(beside_the_paper("table1", results), row="random 32")
    assert (row["paper"], row["ours"], row["difference"], row["n"]) == ("82.8", "60.0 ± 1.0", "−22.8", "3")
    assert row["status"] == "measured at made-up scale"


def test_in_another_setting_a_direction_stands_in_place_of_the_difference_to_the_paper(results):
    tables = {name: made(name, results) for name in ("table1", "table2", "table4", "table5", "table7", "table8")}
    assert all("difference" not in shown.columns for shown in tables.values())
    row = row_of(tables["table4"], row="full image")
    assert (row["paper"], row["ours"], row["measured here by"]) == ("81.7", "70.0 ± 1.0", "fine-tuning, top-1 (%)")
    assert row["direction"] == "contradicts the paper's direction"
    assert row_of(tables["table4"], row="masked area")["direction"] == "–", "the reference run has none"
    assert {row["direction"] for row in tables["table2"].rows} == {"–"}, "a cost or a loss is no score"
    assert "not to be compared with its own" in tables["table1"].caption


def test_what_was_not_run_says_so_and_never_shows_the_papers_number(results):
    row = row_of(beside_the_paper("table1", results), row="block 32")
    assert (row["ours"], row["difference"], row["n"], row["status"]) == ("not run", "–", "0", "not run")
    assert row["mean"] is None
    assert row["records"] == []


def test_what_does_not_fit_says_why(results):
    row = row_of(made("table1", results), row="random 4")
    assert row["ours"] == "does not fit this scale"
    assert row["status"].startswith("does not fit this scale: geometry.masked_patch_px of 4 px")


def test_a_cell_that_the_paper_leaves_open_has_no_difference(results):
    row = row_of(beside_the_paper("table5", results), row="256-bin")
    assert (row["paper"], row["ours"], row["difference"]) == ("N/A", "70.0 ± 1.0", "–")
    row = row_of(made("table5", results), row="clusters")
    assert (row["paper"], row["ours"], row["note"]) == ("N/A", "–", "the paper has no such run")
    assert row["status"].startswith("as printed")


def test_a_cost_is_the_training_time_over_that_of_the_run_it_is_against(results):
    row = row_of(beside_the_paper("table2", results), row="full", column="cost")
    assert (row["paper"], row["ours"], row["difference"], row["n"]) == ("~1.2x", "1.5x", "+0.3", "1"), (
        "the fastest seed"
    )
    assert {(record["run"], record["metric"]) for record in row["records"]} == {
        ("loss_full", "train_seconds"),
        ("default", "train_seconds"),
    }
    assert row_of(beside_the_paper("table2", results), row="linear", column="cost")["ours"] == "1.0x"
    assert row_of(beside_the_paper("table2", results), row="absent", column="cost")["ours"] == "not run"


def test_a_time_on_one_cpu_is_no_cost_over_that_on_another(tmp_path):
    files = [write_training(tmp_path, "default", 0), write_training(tmp_path, "loss_full", 0, device="another CPU")]
    shown = make_table("table2", files, AsInThePaper(**vars(FACTS)))
    elsewhere = row_of(shown, row="full", column="cost")
    assert (elsewhere["ours"], elsewhere["status"]) == ("not comparable", "timed on another kind of CPU or GPU")
    assert row_of(shown, row="linear", column="cost")["ours"] == "1.0x"


def test_a_training_loss_is_the_last_one(results):
    row = row_of(beside_the_paper("table2", results), row="linear", column="loss")
    assert (row["paper"], row["ours"]) == ("0.3743", "0.4037, 0.4038")


def test_sizes_are_counted_and_billions_are_a_thousand_millions(results):
    row = row_of(beside_the_paper("table7", results), row="ours")
    assert (row["paper"], row["ours"], row["difference"]) == ("3.0B", "2987.8M", "−12.2")
    assert row["status"] == "counted at made-up scale"


def test_data_that_nobody_has_are_told_from_rows_that_do_not_fit(results):
    row = row_of(made("table7", results), row="giant")
    assert (row["ours"], row["status"]) == (
        "needs data that is not public",
        "needs data that is not public: it was never released",
    )


def test_a_setting_stands_beside_the_papers_as_it_is(results):
    row = row_of(beside_the_paper("table8", results), column="ours")
    assert (row["paper"], row["ours"], row["difference"]) == ("2,2,18,2", "1,2", "–")
    assert row["status"] == "setting at made-up scale"
    assert row_of(beside_the_paper("table8", results), column="absent")["ours"] == "not run"


def test_a_note_and_whose_codes_a_run_predicts_stand_beside_results_too(results):
    setting = cell("default", "192", "pretrain", "geometry.image_px")
    paper = {("table5", "codes", "top-1 (%)"): cell("default", "82.7") | {"note": "digitised"}}
    paper["table5", "codes", "pre-train (px)"] = setting
    facts = dataclasses.replace(FACTS, paper=paper, codes={"default": "codes of greys, made here"})
    row, of_setting = make_table("table5", inputs_of("table5", results), facts).rows
    assert of_setting["note"] == "–"
    assert row["status"] == "measured at made-up scale"
    assert row["note"] == "digitised; codes of greys, made here"
    assert row_of(made("table1", results), row="random 32")["note"] == "–"


def test_a_contradiction_with_the_paper_is_printed_as_it_is(results):
    table = made("directions", results)
    row = row_of(table, table="table4", row="full image (against default)")
    assert (row["paper's difference"], row["our difference"], row["n"]) == ("−1.1", "+10.0 [+10.0, +10.0]", "3 pairs")
    assert row["verdict"] == "contradicts the paper's direction"
    assert (row["paper_value"], row["mean"]) == (81.7, 70.0), "both are scores of the run"
    assert row_of(table, row="block 32 (against default)")["verdict"] == "not run"
    assert "contradicts the paper's direction" in markdown(table)
    scores = {"top-1 (%)", "ImageNet top-1 (%)", "COCO box AP"}
    assert {row["the paper's measure"] for row in table.rows} == scores, "costs, losses and AvgDist have no direction"


@pytest.mark.parametrize(
    ("ours", "reference", "words"),
    [
        ([50.0, 52.0, 54.0], [51.0, 55.0, 54.0], "undecided (direction is the paper's)"),
        ([52.0, 50.0], [50.0, 51.0], "undecided (direction is not the paper's)"),
        ([40.0, 41.0, 42.0], [50.0, 51.0, 52.5], "agrees with the paper's direction"),
        ([60.0, 61.0, 62.0], [50.0, 51.0, 52.5], "contradicts the paper's direction"),
        ([40.0], [50.0], "points the paper's way (one pre-training)"),
        ([60.0], [50.0, 50.0], "points the other way (one pre-training)"),
        ([50.0], [50.04], "undecided: the paper's difference or ours is 0 (one pre-training)"),
        ([math.nan], [50.0], "no verdict: some values are not finite"),
    ],
)
def test_directions_decide_by_pretrainings_and_say_where_there_is_but_one(tmp_path, ours, reference, words):
    values = {"loss_full": ours, "default": reference}
    paths = [write_evaluation(tmp_path, r, "finetune", {("top1", ""): v}) for r, v in values.items()]
    table = make_table("directions", paths, FACTS)
    assert row_of(table, table="table4")["verdict"] == words
    if words.startswith("points"):
        assert table.caption.endswith(f"Of 1 such lines {int('paper' in words)} point the paper's way.")


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        ([61.0, 62.0, 63.1], "contradicts the paper, which prints no difference"),
        ([59.0, 60.0, 60.9], "contradicts the paper, which prints no difference"),
        ([60.05, 61.05, 62.06], "undecided (the paper prints no difference)"),  # surely above 0, and within rounding
        ([60.0, 62.5, 61.0], "undecided (the paper prints no difference)"),
        ([60.4], "undecided: the paper's difference or ours is 0 (one pre-training)"),
    ],
)
def test_where_the_paper_prints_no_difference_one_of_ours_says_more_than_its_rounding(tmp_path, ours, words):
    facts = dataclasses.replace(
        FACTS, paper={**FACTS.paper, ("table4", "full image", "top-1 (%)"): cell("loss_full", "82.8")}
    )
    values = {"loss_full": ours, "default": [60.0, 61.0, 62.0][: len(ours)]}
    paths = [write_evaluation(tmp_path, r, "finetune", {("top1", ""): v}) for r, v in values.items()]
    assert row_of(make_table("directions", paths, facts), table="table4")["verdict"] == words


def test_pretrained_stands_beside_scratch_with_its_verdict(results):
    table = made("scratch", results)
    row = row_of(table, run="default", task="fine-tuning")
    assert (row["pre-trained"], row["from scratch"]) == ("60.0 ± 1.0", "50.0 ± 1.0")
    assert (row["difference"], row["n"], row["verdict"]) == ("+10.0 [+10.0, +10.0]", "3 pairs", "better")
    row = row_of(table, run="default", task="detection")
    assert (row["difference"], row["n"], row["verdict"]) == ("0.0", "1 and 1", "undecided (one pre-training)")


def test_pretraining_is_held_against_the_mean_colour_per_seed(results):
    row = row_of(made("pretraining", results), run="loss_full", seed="1")
    assert (row["validation loss"], row["mean colour"], row["difference"]) == ("0.2600", "0.5000", "−0.2400")
    assert (row["trained on"], row["share of baseline"]) == ("full image", "52.0 %")


def test_headlines_are_of_the_reference_run_and_good_only_where_every_seed_is(results, tmp_path):
    (loss,) = made("pretraining", results).headlines
    assert (loss.tone, loss.number, loss.verdict) == ("good", "0.2500–0.2600", "better: 50.0–52.0 % of it")
    assert loss.baseline == "mean colour of each image 0.5000"
    two = [write_training(tmp_path, "default", 0), write_training(tmp_path, "default", 1, validation_loss=0.6)]
    (loss,) = make_table("pretraining", two, FACTS).headlines
    assert (loss.tone, loss.verdict) == ("bad", "not better: 50.0–120.0 % of it")
    found = [tuple(each) for each in made("scratch", results).headlines]
    better, unknown = "better than from scratch", "undecided (one pre-training)"
    assert found[0] == ("good", "fine-tuning, top-1 (%)", "60.0 ± 1.0", "from scratch 50.0 ± 1.0", better)
    assert found[-1] == ("", "detection, box AP (%)", "9.0", "from scratch 9.0", unknown)


def test_a_worse_run_is_called_worse(tmp_path):
    values = {"default": [40.0, 41.0, 42.0], "random_swin": [50.0, 51.0, 52.0]}
    paths = [write_evaluation(tmp_path, run, "finetune", {("top1", ""): seeds}) for run, seeds in values.items()]
    table = make_table("scratch", paths, FACTS)
    assert row_of(table, run="default")["verdict"] == "worse"
    assert [(each.tone, each.verdict) for each in table.headlines] == [("bad", "worse than from scratch")]


def test_an_evaluation_that_no_encoder_from_scratch_has_is_no_line_beside_it(tmp_path):
    paths = [write_evaluation(tmp_path, "default", name, {("top1", ""): [40.0]}) for name in ("finetune", "probe")]
    evaluated = {key: each for key, each in FACTS.evaluated.items() if key != ("random_swin", "probe")}
    for facts, tasks in (
        (FACTS, ["fine-tuning", "linear probe"]),
        (dataclasses.replace(FACTS, evaluated=evaluated), ["fine-tuning"]),
    ):
        assert [row["task"] for row in make_table("scratch", paths, facts).rows] == tasks


def test_lines_beside_scratch_and_directions_are_corrected_for_each_other(tmp_path):
    """One line by itself is decided; of three that say the same none is."""
    values = {"default": [40.0, 41.0, 42.0], "random_swin": [46.0, 52.0, 52.0], "loss_full": [46.0, 52.0, 52.0]}
    paths = [
        write_evaluation(tmp_path, run, "finetune", {("top1", ""): seeds, ("miou", ""): seeds, ("box_ap", ""): seeds})
        for run, seeds in values.items()
    ]
    one = [write_evaluation(tmp_path / "one", run, "finetune", {("top1", ""): v}) for run, v in values.items()]
    facts = dataclasses.replace(FACTS, baselines={"default": "random_swin"})
    assert row_of(make_table("scratch", one, facts), run="default")["verdict"] == "worse"
    assert {row["verdict"] for row in make_table("scratch", paths, facts).rows} == {"undecided"}
    metrics = {"a": "top1", "b": "miou", "c": "box_ap"}
    paper = {
        ("table4", run, column): cell(run, value, "finetune", metric)
        for column, metric in metrics.items()
        for run, value in (("default", "81.0"), ("loss_full", "82.0"))
    }
    few = {key: each for key, each in paper.items() if key[2] == "a"}
    for name in ("directions", "table4"):
        for cells, words in ((few, "agrees with"), (paper, "undecided (direction is")):
            table = make_table(name, paths, dataclasses.replace(FACTS, paper=cells))
            (found,) = {row.get("verdict", row.get("direction")) for row in table.rows} - {"–"}
            assert found.startswith(f"{words} the paper's")


def test_a_number_made_of_two_runs_leads_to_its_own_run_first(results, tmp_path):
    write_table("table2", results["pretrain"], tmp_path / "t", FACTS)
    links = re.findall(r'<a href="#(from-[^"]*)">1.5x</a>', (tmp_path / "t.html").read_text())
    assert len(links) == 1 and "loss_full-seed0" in links[0]


def test_the_probe_names_the_chosen_block(results):
    table = made("probe", results)
    assert row_of(table, run="default", block="chosen")["top-1 (%)"] == "38.3 ± 3.2"
    assert row_of(table, run="default", block="8")["chosen by"] == "2 of 3 seeds"
    assert row_of(table, run="default", block="11")["chosen by"] == "0 of 3 seeds"
    assert [row["block"] for row in table.rows[:12]] == ["chosen", *map(str, range(1, 12))]


def test_two_probes_of_one_run_are_told_apart(results, tmp_path):
    masked = write_evaluation(tmp_path, "default", "another_probe", {("top1", "chosen"): [10.0] * 3})
    table = make_table("probe", [*results["probe"], masked], FACTS)
    row = row_of(table, run="default", block="chosen", **{"measured by": "another probe"})
    assert row["top-1 (%)"] == "10.0 ± 0.0"
    row = row_of(table, run="default", block="chosen", **{"measured by": "linear probe"})
    assert row["top-1 (%)"] == "38.3 ± 3.2"


def test_colour_alone_stands_beside_our_results(results):
    table = made("data", results)
    assert row_of(table, what="colour histogram, all labels")["top-1 (%)"] == "33.3"
    assert row_of(table, what="fine-tuning, default (pre-trained)")["top-1 (%)"] == "60.0 ± 1.0"


def test_every_number_leads_to_its_records(results):
    kept = [
        "run",
        "evaluation",
        "metric",
        "seed",
        "step",
        "value",
        "config_hash",
        "data_digest",
        "code_version",
        "source",
    ]
    for name in ("scratch", "table1", "table4", "probe", "pretraining", "directions"):
        for row in made(name, results).rows:
            for record in row["records"]:
                assert all(record[key] not in (None, "") for key in kept), record
                assert Path(record["source"]).is_file()
    row = row_of(made("scratch", results), run="default", task="fine-tuning")
    assert [(r["column"], r["run"], r["seed"]) for r in row["records"]] == [
        (column, run, seed)
        for column, run in (("pre-trained", "default"), ("from scratch", "random_swin"))
        for seed in range(3)
    ]


def test_a_table_comes_in_three_formats_that_agree(results, tmp_path):
    write_table("table1", evaluations(results), tmp_path / "table1", FACTS)
    frame = pd.read_parquet(tmp_path / "table1.parquet")
    assert frame["ours"].tolist() == ["60.0 ± 1.0", "does not fit this scale", "not run"]
    assert frame["mean"].iloc[0] == 60.0
    assert len(frame["records"].iloc[0]) == 3
    assert (
        "| random 32 | 60.0 ± 1.0 | fine-tuning, top-1 (%) | – | 82.8 | top-1 (%) |"
        in (tmp_path / "table1.md").read_text()
    )
    page = (tmp_path / "table1.html").read_text()
    links, targets = set(re.findall(r'href="#([^"]+)"', page)), set(re.findall(r'id="([^"]+)"', page))
    assert links
    assert links <= targets
    assert re.search(r'<a href="#from-[^"]*finetune-parquet">60.0 ± 1.0</a>', page)


def test_a_stored_table_reads_back_as_it_was(results, tmp_path):
    table = made("directions", results)
    write_parquet(table, tmp_path / "t.parquet")
    back = read_parquet(tmp_path / "t.parquet")
    assert (back.title, back.caption, back.columns) == (table.title, table.caption, table.columns)
    assert back.rows == table.rows


def test_markup_in_a_sheet_stays_text(results, tmp_path):
    paper = {("table9", "<script>a|b</script>", "top-1"): cell("default", "1.0")}
    write_table("table9", results["finetune"], tmp_path / "t", dataclasses.replace(FACTS, paper=paper))
    assert "<script>a" not in (tmp_path / "t.html").read_text()
    assert "a\\|b" in (tmp_path / "t.md").read_text()


def test_an_unknown_table_is_refused(results):
    with pytest.raises(ValueError, match="unknown table 'tabel1'"):
        made("tabel1", results)


def test_published_values_are_written_as_in_the_sheet():
    paper = Sheets(REPOSITORY / "config").paper
    published = {(key[0], row.run, row.evaluation): row.value for key, row in paper.items()}
    assert published["table4", "loss_full", "finetune"] == "81.7"
    assert published["table6", "vit_b_800ep", "probe"] == "56.7"
    for row in paper.values():
        assert row.value
        assert (row.run and row.evaluation and row.metric) or row.note


def test_no_mean_is_stored_of_too_few_seeds(results):
    row = row_of(made("scratch", results), run="default", task="detection")
    assert (row["pre-trained"], row["mean"], row["standard_deviation"]) == ("9.0", None, None)


def test_provenance_has_one_line_for_each_file(results):
    table = made("scratch", results)
    sources = [line["source"] for line in provenance(table.records())]
    assert len(sources) == len(set(sources)) == len({record["source"] for record in table.records()}) > len(FINETUNE)


def test_files_whose_names_differ_in_an_underscore_have_lines_of_their_own():
    names = "mask/r60_finetune", "mask_r60/finetune"
    lines = provenance({**dict.fromkeys(RECORD, ""), "source": f"evaluate/{name}.parquet"} for name in names)
    assert len({line["anchor"] for line in lines}) == 2


def test_a_table_shows_what_was_measured_and_folds_the_rest(results):
    short, one = made("table1", results), made("table4", results).rows[0]
    assert short.folded() == (short.rows, [])
    unrun = one | {"status": "not run"}
    long = dataclasses.replace(short, rows=[unrun] * 20 + [one] * 5)
    assert long.folded() == ([one] * 5, [unrun] * 20)
    assert dataclasses.replace(short, rows=[one] * 25).folded() == ([], [one] * 25)
    page = table_page(long)
    assert page.count('<tr role="row"') == 2 + 25 + 2 and "Show the other 20 rows" in page


def test_a_page_shows_no_column_that_says_nothing(results):
    extra, table1 = made("extra_validation", results), made("table1", results)
    assert not {"scale", "status"} & {*extra.shown_columns()} and "difference" in extra.shown_columns()
    assert "status" in table1.shown_columns(), "some of its rows were not run"
