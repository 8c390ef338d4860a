"""The estimators pass for Spark's own, on classic Spark and on a Spark Connect server from pyspark's own jars."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.ml import PipelineModel

from tests.spark import contract
from tests.spark.conftest import JAVA_TOOL_OPTIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def connecting(request, tmp_path_factory):
    """Start the contract on Spark Connect, in a process that runs while classic Spark is checked."""
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "JAVA_TOOL_OPTIONS": JAVA_TOOL_OPTIONS}
    program = [sys.executable, "-W", "error::UserWarning", "-m", "tests.spark.contract", "local[2]"]
    program += [] if "not slow" in request.config.getoption("-m") else ["slow"]
    said = tmp_path_factory.mktemp("connect")
    with (said / "out").open("w") as out, (said / "err").open("w") as err:
        process = subprocess.Popen(program, cwd=ROOT, env=environment, stdout=out, stderr=err)
    yield process, said
    process.kill()
    process.wait()


@pytest.fixture(scope="module", params=["classic", "connect"])
def found(request, connecting, tmp_path_factory):
    """Return a function that gives what the contract's functions return, by name, on either kind of session."""
    if request.param == "connect":
        process, said = connecting
        assert process.wait(timeout=500) == 0, (said / "err").read_text()[-3000:]
        everything = json.loads((said / "out").read_text().splitlines()[-1])
        assert everything["connect"]
        return everything.__getitem__
    spark, folder, kept = request.getfixturevalue("spark"), str(tmp_path_factory.mktemp("contract")), {}

    def run(name):
        if name not in kept:
            kept[name] = json.loads(json.dumps(getattr(contract, name)(spark, folder), default=float))
        return kept[name]

    return run


pytestmark = pytest.mark.timeout(600)

mostly_on_connect = pytest.mark.parametrize(
    "found", [pytest.param("classic", marks=pytest.mark.slow), "connect"], indirect=True
)
"""For what other tests check on classic Spark."""
mostly_on_classic = pytest.mark.parametrize(
    "found", ["classic", pytest.param("connect", marks=pytest.mark.slow)], indirect=True
)


@mostly_on_connect
def test_a_pipeline_on_a_mixed_table_fits_scores_and_comes_back(found):
    got = found("mixed_pipeline")
    assert got["right"] > 0.9
    assert got["types"]["rawPrediction"] == got["types"]["probability"] == "vector"
    assert got["types"]["prediction"] == "double" and got["types"]["named"] == "string"
    assert got["columns"][-4:] == ["rawPrediction", "probability", "prediction", "named"]
    assert len(set(got["fingerprints"])) == 1 and got["same"]
    assert got["features"] == ["colour_vector_green", "colour_vector_yellow", "grams", "metres"]


def test_a_table_as_it_is_is_searched_over_saved_and_scored_as_a_stream(found):
    got = found("raw_tables")
    assert got["columns"] == ["colour", "grams", "metres", "at"] and got["labels"] == ["apple", "lemon", "melon"]
    assert got["thresholds"] == {"melon": 0.3, "apple": 0.4, "lemon": 0.3}
    assert min(got["averages"]) > 0.7 and got["same"]
    assert set(got["strange"]) <= set(got["labels"]) and len(got["strange"]) == 2
    assert got["stream"] == ["apple"]
    for shares in (got["worth"], got["worth when loaded"]):
        assert len(shares) == 4 and sum(shares) == pytest.approx(1)


def check_three_lines(got):
    assert len(set(got["fingerprints"])) == 1, "on any partitions"
    assert got["zone"] == "Asia/Tokyo"
    first, *others = got["scored"]
    assert len(first) == 20 and len(set(first)) > 2, "new words and gaps are not all that counts"
    assert all(other == first for other in others), "as a stream, in a new process and on arrays"


@pytest.mark.slow
def test_three_lines_from_parquet_have_one_model_wherever_it_is_fitted_and_scored(found):
    got = found("three_lines")
    assert len(got["fingerprints"]) > 1 and len(got["scored"]) == 3
    assert got["fits"][0] == got["fits"][1], "on Spark and on arrays"
    check_three_lines(got)


def test_a_small_table_from_parquet_is_scored_as_a_stream_as_on_arrays(spark, tmp_path):
    check_three_lines(contract.three_lines(spark, str(tmp_path), whole=False))


@pytest.mark.parametrize("found", ["connect"], indirect=True)
def test_a_pipeline_saved_on_connect_predicts_the_same_here(spark, found):
    saved = found("mixed_pipeline")
    scored = PipelineModel.load(saved["path"]).transform(contract.rows(spark))
    assert contract.predictions(scored) == saved["predictions"]


@pytest.mark.slow
def test_a_saved_pipeline_predicts_the_same_in_a_new_process(found):
    expected = found("mixed_pipeline")["predictions"]
    assert found("new_process") == expected


@mostly_on_connect
def test_cross_validation_packs_each_fold_once(found):
    got = found("cross_validator")
    still, learning = got["metrics"]
    assert learning > still, "a rate of 0 is not the better one"
    assert got["packed"] == 3, "two folds and the last fit"
    assert got["best"] == got["alone"] == got["loaded"]


@pytest.mark.slow
def test_train_validation_split_packs_the_rows_once(found):
    got = found("train_validation_split")
    assert got["packed"] == 2, "the split and the last fit"
    assert got["metrics"][2] == min(got["metrics"]) < 5 and got["sizes"] == [16]


@mostly_on_connect
def test_one_vs_rest(found):
    got = found("one_vs_rest")
    assert got["accuracy"] > 0.6 and got["models"] == 3 and got["same"]


@mostly_on_classic
def test_all_three_evaluators_and_the_summaries_agree(found):
    got = found("evaluators")
    assert got["accuracy"] > 0.7 and got["areaUnderROC"] > 0.99 and got["areaUnderPR"] > 0.99 and got["r2"] > 0.99
    assert got["logLoss"] == pytest.approx(got["loss"], rel=1e-4)
    assert got["summary"] == [pytest.approx(got["accuracy"]), pytest.approx(got["f1"]), 25, 25]
    assert got["regression"] == [pytest.approx(got["r2"], rel=1e-4), pytest.approx(got["rmse"], rel=1e-4)]


@mostly_on_connect
def test_thresholds_move_the_prediction_and_pass_from_estimator_to_model(found):
    got = found("thresholds")
    assert got["always"] == [0.0] and got["one row"] == 0.0 and got["even"] and got["from the estimator"] == [2.0]


@pytest.mark.slow
def test_weights_of_classes_and_rows_count(found):
    got = found("weights")
    assert got["plain"] < 0.1 < got["balanced"] and got["map"] > 0.3
    assert got["no weight for lemons"][0] == 0.0 < min(got["no weight for lemons"][1:])


@pytest.mark.slow
def test_every_form_of_the_features_gives_the_same_network_and_scores(found):
    got = found("forms")
    assert len(got) == 5 and len({fingerprint for fingerprint, _ in got.values()}) == 1
    first = next(iter(got.values()))[1]
    assert all(probability == pytest.approx(first) for _, probability in got.values())


@mostly_on_connect
def test_validation_rows_by_column_share_and_identifier(found):
    got = found("validation")
    assert got["rows"] + got["held"] == 240 and 0 < got["held"] and len(got["val_loss"]) == 12
    assert got["epochs"] == got["best"] + 6 < 200
    assert got["best"] == got["val_accuracy"].index(max(got["val_accuracy"]))
    assert len(set(got["by id"])) == 1
    assert got["converged"] < 50


@mostly_on_connect
def test_a_frame_trains_a_sequential_with_the_bits_of_arrays(found):
    got = found("sequential")
    assert got["there"] == got["here"]
    assert got["refused"].startswith("DataError: there is no column 'nothing' for label=")


@pytest.mark.slow
def test_penalties_make_weights_small_on_either_strategy(found):
    got = found("regularised")
    for name in ("l2", "l1", "gradient"):
        assert sum(got[name]) < 0.7 * sum(got["free"]), name
    assert got["dropout"] != got["free"]


@mostly_on_classic
def test_a_regressor_of_several_targets(found):
    got = found("several_targets")
    assert got["r2"] > 0.99 and got["type"] == "array<double>" and max(got["errors"]) < 20
    assert got["one"] == pytest.approx([1000, 170], rel=0.1)
    low, high = got["between 0 and 1"]
    assert 0 <= low < 0.4 and 0.8 < high <= 1, "layers that end in sigmoid reach what sigmoid reaches"
    assert got["loss"][0] == pytest.approx(got["loss"][1])


@mostly_on_connect
def test_r51_numbers_far_from_zero_train_as_well_as_near_it(found):
    got = found("far_from_zero")
    assert got["near"] > 0.95 and len(set(got["bits"].values())) == 1 and got["one"] == 0
    for summary, evaluated in got["far"].values():
        assert summary > got["near"] - 0.005 and evaluated == pytest.approx(summary, abs=1e-5)
    assert got["accuracy"][1] > got["accuracy"][0] - 0.005 > 0.95


@mostly_on_connect
def test_packed_rows_serve_many_fits_with_the_same_bits(found):
    got = found("packed")
    assert got["packed"] == got["direct"] and len(set(got["packed"])) == 2
    assert got["count"] == 1
    assert got["shown"] == "Packed(240 rows of 2 features)"
    assert got["held"][0] == got["held"][1]


@mostly_on_connect
def test_packed_rows_lie_on_storage_and_come_back(found):
    got = found("stored_pack")
    assert len(set(got["found"])) == 1
    taken, missing, other = got["errors"]
    assert taken.startswith("StoreError") and "choose another path" in taken
    assert missing.startswith("StoreError") and "holds no packed rows" in missing
    assert other.startswith("ConfigError") and "label='kind'" in other


@mostly_on_connect
def test_an_interrupted_fit_goes_on_from_its_checkpoints(found):
    got = found("checkpoints")
    assert got["again"] == got["whole"] and got["history"] and got["interrupted"] == 1


@mostly_on_connect
def test_fields_of_structs_are_columns(found):
    assert found("nested") == {"vector": [True, True], "list": [True, True]}


@mostly_on_connect
def test_networks_come_out_of_stages_and_go_in(found):
    got = found("networks")
    assert got["same"] and max(got["one row"]) < 1e-5
    assert got["sizes"] == [2, 3, 2, 2]
    assert got["sigmoid"] > 0.95 and got["two probabilities"] == pytest.approx(1)


@mostly_on_connect
def test_a_streaming_query_scores(found):
    got = found("streaming")
    assert got["rows"] and got["same"]


@mostly_on_connect
def test_big_models_travel_in_pieces_with_the_same_bits_or_are_refused(found):
    got = found("big")
    assert len(set(got["found"])) == 1
    assert re.search(r"\(3 times 73 parameters\).*maxResultSize is 1,024 MiB: start Spark", got["refused"])


def test_the_contract_leaves_nothing_out():
    """Every function is run on Connect, so each must be checked here."""
    source = Path(__file__).read_text()
    assert all(f'found("{function.__name__}")' in source for function in contract.ALL)


@pytest.mark.slow
def test_models_of_calls_have_one_fingerprint_each_whatever_carries_their_rows(found):
    for name, result in found("called_models").items():
        assert len(set(result["fingerprints"])) == 1, name
        assert result["made"] == (["kind", "size"] if name in ("kind_and_size", "still") else ["prediction"])
        assert result["rows"] == 400
