"""The three sentences at the top of a report (result, comparison, points to check), and how the time was spent.

They depend only on metrics.json and the history, by the rules below; `evidence.py` measures the figures.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_WORRIES = 3
GAP, R2_GAP = 0.05, 0.1
"""Greatest difference in accuracy, and in r2, between training and new rows that is not called overfitting."""
NEAR = 0.02
"""Difference in r2 that counts as equal."""
UNSURE, CROOKED, WEAK, DEAD, FEW = 0.03, 0.05, 0.7, 0.2, 10
"""Thresholds of a warning: the uncertainty of accuracy, the calibration error, a class's recall relative to accuracy,
the share of dead units; and the least rows of a class to be judged."""
LEAK, DRIFT, UNKNOWN = 0.95, 0.02, 0.1
"""Further thresholds: one column's share of all importance (and the score); the share of rows with new categories
beyond chance; the share of rows with unknown categories."""
LATE = 2.0
"""Greatest ratio of all epochs to the best epoch without a warning."""

ROWS = {"test": "test rows", "validation": "validation rows"}


def verdict(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()) -> tuple[str, str, str]:
    """Return three sentences: how good the model is, how it compares with a baseline, and what to check.

    Args:
        metrics: The content of metrics.json.
        history: The rows of the training, one per epoch.

    >>> verdict({"status": "training", "epochs": 20}, [{"epoch": 4, "loss": 0.31}])[0]
    'Training is in progress: epoch 5 of 20 is complete.'
    """
    evidence = metrics.get("evidence")
    if evidence is None:
        return _unmeasured(metrics, history)
    return _how_good(metrics, evidence), _compared(evidence), _worries(metrics, evidence, history)


def _unmeasured(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    last = history[-1] if history else {}
    done = last["epoch"] + 1 if last else 0
    under_way = metrics["status"] == "training"
    member = f" of member {last['member'] + 1}" if "member" in last else ""
    how = f"epoch {done} of {metrics['epochs']}{member} is complete" if last else "no epoch is complete yet"
    first = f"Training is in progress: {how}." if under_way else f"Training has ended ({metrics['status']}): {how}."
    losses = [
        f"{last[name]:.4g} on {rows} rows"
        for name, rows in (("loss", "training"), ("val_loss", "validation"))
        if isinstance(last.get(name), float) and math.isfinite(last[name])
    ]
    second = f"The loss is {' and '.join(losses)}." if losses else "No loss is available yet."
    third = "A comparison with simple baselines follows when training has ended."
    return first, second, third if under_way else "It was not compared with a baseline, so judge it with care."


def share(value: float) -> str:
    r"""Return a share in percent.

    >>> share(0.974)
    '97.4\xa0%'
    """
    return f"{100 * value:.1f}\u00a0%"


def _rows(evidence: Mapping[str, Any]) -> str:
    count, kind = f"{evidence['rows']:,}", evidence["set"]
    if evidence["rows"] < evidence["of"]:
        count = f"a sample of {count} of the {evidence['of']:,}"
    if (members := evidence.get("members", 1)) > 1:
        return f"{count} held-out rows, each predicted by the one of {members} members that was trained without it"
    return f"{count} {ROWS.get(kind, 'training rows')}"


def _sampled(evidence: Mapping[str, Any]) -> str:
    """Return " in a sample" for figures that come from a sample of the rows, otherwise an empty text."""
    return " in a sample" if evidence.get("sample", evidence["rows"]) < evidence["rows"] else ""


def _how_good(metrics: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    score, rows = evidence["score"], _rows(evidence)
    if score is None:
        return f"The quality of the network on {rows} is unknown: its outputs are not finite numbers."
    if metrics["task"] == "classification":
        return f"The network classifies {share(score)} of {rows} correctly."
    if metrics["task"] == "multilabel":
        return f"The network predicts {share(score)} of the labels in {rows} correctly."
    outputs = evidence["outputs"]
    off = f"; its root-mean-square error is {outputs[0]['rmse']:.4g}{_sampled(evidence)}" if len(outputs) == 1 else ""
    if score <= 0:
        return f"The network explains none of the variance of the target in {rows}{off}."
    return f"The network explains {share(score)} of the variance of the target in {rows}{off}."


def _unsure(evidence: Mapping[str, Any], score: float) -> float:
    """Return the uncertainty of a score: half the 95 % confidence interval of an accuracy; a fixed margin for r2."""
    if evidence["metric"] == "r2":
        return NEAR
    p = min(max(score, 0.0), 1.0)
    return 1.96 * math.sqrt(max(p * (1 - p), 0.25 / evidence["rows"]) / evidence["rows"])


def _compared(evidence: Mapping[str, Any]) -> str:
    score, baseline, linear = evidence["score"], evidence["baseline"], evidence["linear"]
    answer = baseline["name"].removeprefix("always ")
    if evidence["metric"] == "r2":
        said = f"always predicting {answer} explains {_amount(baseline['score'])}"
    else:
        said = f"always predicting {answer} is correct for {share(baseline['score'])}"
    if linear is not None and linear["score"] is not None:
        amount = _amount(linear["score"]) if evidence["metric"] == "r2" else share(linear["score"])
        said += f", and a linear model reaches {amount}"
    said = f"For comparison, {said}"
    if score is None:
        return f"{said}."
    return f"{said}: {_gain(evidence)}."


def _amount(r2: float) -> str:
    return "nothing" if r2 <= 0.0005 else share(r2)


def _gain(evidence: Mapping[str, Any]) -> str:
    """Return how the network compares with the baselines."""
    score, linear = evidence["score"], (evidence["linear"] or {}).get("score")
    unsure = _unsure(evidence, score)
    if score <= evidence["baseline"]["score"] + unsure:
        return "the network is not clearly better than the baseline"
    if linear is None:
        return f"the network's error is {_ratio(score, evidence['baseline']['score'])} of the baseline's"
    if score < linear - unsure:
        return "the linear model is better than the network"
    if score <= linear + unsure:
        return "the network is not clearly better than the linear model"
    return f"the network's error is {_ratio(score, linear)} of the linear model's"


def _ratio(score: float, other: float) -> str:
    return f"{100 * (1 - score) / (1 - other):.0f}\u00a0%"


def _worries(metrics: Mapping[str, Any], evidence: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    found = [*_of_the_run(metrics, evidence), *_of_the_table(evidence), *_of_the_rows(evidence)]
    found += _of_the_network(evidence)
    found += _of_the_epochs(metrics, history)
    if not found:
        return "No problems were found: " + _good_signs(evidence) + "."
    return "Points to check: " + "; ".join(found[:MOST_WORRIES]) + "."


def _good_signs(evidence: Mapping[str, Any]) -> str:
    signs = ["results on new rows are close to those on training rows"]
    if "calibration" in evidence:
        error = 100 * evidence["calibration"]["error"]
        signs.append(f"confidence is off by only {error:.1f} points on average{_sampled(evidence)}")
    return " and ".join(signs)


def _of_the_run(metrics: Mapping[str, Any], evidence: Mapping[str, Any]) -> Iterator[str]:
    if metrics["status"] == "diverged":
        yield "training diverged, and these are the weights of its last good epoch"
    if metrics["status"] == "interrupted":
        yield "training was interrupted"
    if evidence["set"] == "training":
        yield "no rows were held out, so overfitting cannot be detected"
    for one in metrics.get("members") or []:
        if "left_out" in one:
            yield f"member {one['member'] + 1} was left out: {one['left_out'].rstrip('.')}"


def _of_the_table(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Yield warnings about the columns of a table: a leak, drift, and unknown categories."""
    if not (table := evidence.get("table")):
        return
    importance = evidence["importance"]
    score, baseline, first = evidence["score"], evidence["baseline"]["score"], importance["inputs"][:1]
    most = max(0.0, baseline) if evidence["metric"] == "accuracy" else 0.0
    near = score is not None and score - most > LEAK * (1 - most)
    if near and importance["tried"] > 1 and first[0]["drop"] > LEAK * importance["sum"]:
        yield (
            f"“{first[0]['name']}” alone determines nearly everything: make sure that it is known before the target"
        )
    coded = [row for row in table if row.get("unseen") is not None]
    rows, drifted = evidence.get("sample", evidence["rows"]), list[str]()
    for row in sorted(coded, key=lambda row: row.get("rare", 0) - row.get("new", 0))[:1]:
        new, rare = row.get("new", 0), row.get("rare", 0)
        if new - rare > max(DRIFT, 3 * math.sqrt(new * (1 - new) / rows)):
            drifted.append(row["column"])
            yield (
                f"drift: {share(new)} of these rows have a value of “{row['column']}” that does not occur in the "
                f"training rows ({share(rare)} would be expected by chance)"
            )
    for row in sorted(coded, key=lambda row: -row["unseen"])[:1]:
        if row["unseen"] > UNKNOWN and row["column"] not in drifted:
            yield f"{share(row['unseen'])} of these rows have an unknown value of “{row['column']}”"


def _of_the_rows(evidence: Mapping[str, Any]) -> Iterator[str]:
    score, learned = evidence["score"], evidence["training"]["score"]
    accuracy = evidence["metric"] == "accuracy"
    if score is None:
        yield "the network's outputs are not finite"
        return
    linear = (evidence["linear"] or {}).get("score")
    if score <= evidence["baseline"]["score"] + _unsure(evidence, score):
        yield "the network has learned almost nothing: check scaling, learning rate and the number of epochs first"
    elif linear is not None and score < linear - _unsure(evidence, score):
        yield "a linear model is better, so the architecture or the training needs work"
    elif linear is not None and score <= linear + _unsure(evidence, score):
        yield "a linear model, which is simpler, is about as good"
    gap = None if learned is None or evidence["set"] == "training" else learned - score
    if gap is not None and gap > (max(GAP, 2 * _unsure(evidence, score)) if accuracy else R2_GAP):
        yield f"overfitting: {share(learned)} on training rows, but {share(score)} here"
    if accuracy and (unsure := _unsure(evidence, score)) > UNSURE:
        yield f"few rows: the {share(score)} may be off by {100 * unsure:.0f} points by chance"
    weak = [
        row
        for row in evidence.get("per_class", [])
        if row["rows"] >= FEW and row["recall"] is not None and row["recall"] < WEAK * score
    ]
    if weak:
        worst = min(weak, key=lambda row: row["recall"])
        more = f", and {len(weak) - 1} more classes are weak" if len(weak) > 1 else ""
        part = f"only {share(worst['recall'])}" if worst["recall"] else "none"
        yield f"it finds {part} of the {worst['rows']:,.6g} “{worst['class']}” rows{_sampled(evidence)}{more}"
    error = evidence.get("calibration", {}).get("error")
    if error is not None and error > max(CROOKED, _unsure(evidence, score)):
        bins = evidence["calibration"]["bins"]
        over = sum(b["rows"] * (b["confidence"] - b["accuracy"]) for b in bins) > 0
        off = f"{100 * error:.0f} points on average{_sampled(evidence)}"
        yield f"calibration: confidence is off by {off}, mostly too {'high' if over else 'low'}"


def _of_the_network(evidence: Mapping[str, Any]) -> Iterator[str]:
    for layer in evidence["layers"]:
        if layer["dead"] is not None and layer["dead"] > DEAD * layer["units"]:
            what = layer.get("of", "units")
            yield f"{layer['dead']:,} of the {layer['units']:,} {what} of {layer['name']} are dead"
            break


def _of_the_epochs(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    best, done = metrics.get("best_epoch"), len(history)
    if history and "member" in history[-1]:
        return
    if best is None:
        losses = [row.get("val_loss") for row in history]
        fine = [at for at, loss in enumerate(losses) if isinstance(loss, float) and math.isfinite(loss)]
        lowest = min(fine, key=lambda at: losses[at], default=0)  # type: ignore[arg-type, return-value]
        if len(fine) >= 10 and LATE * (lowest + 1) < done:
            yield f"the validation loss was lowest after epoch {lowest + 1} of {done}, and has risen since"
    elif done == metrics["epochs"] > 1 and best == history[-1]["epoch"]:
        yield "the last epoch was the best, so longer training may help"


# Times


def time_split(rows: Sequence[Mapping[str, Any]], shards: int) -> tuple[float, float, float]:
    """Divide an epoch's seconds into computing, waiting for the slowest shard, and work in engine and driver.

    >>> time_split([{"seconds": 2.0, "shard_seconds": 1.5, "slowest_seconds": 1.0, "wait_seconds": 1.0}], 2)
    (0.75, 0.25, 1.0)
    """
    names = ("seconds", "shard_seconds", "slowest_seconds", "wait_seconds")
    whole, computed, slowest, engine = (sum(float(row.get(name, 0)) for row in rows) for name in names)
    waiting = max(0.0, min(slowest - computed / shards, whole - engine))
    return whole - engine - waiting, waiting, engine
