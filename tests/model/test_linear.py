"""What a network is compared with."""

import numpy as np

from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from firesteel.search.linear import engine_of, scores, train_baselines


def test_a_linear_model_of_a_table_does_not_take_its_categories_for_numbers():
    codes = np.random.default_rng(0).integers(0, 40, 800)
    x, y, w = np.column_stack([np.zeros(800), codes]), (codes % 2.0)[:, None], np.ones(800)
    model = Sequential([Table(edges=[[-1.0, 1.0]], levels=[40]), Dense(2, "softmax")])
    model.build((None, 2))
    found = train_baselines("classification", model.network, x, y, w, 800)
    assert scores(engine_of(model.network, x, y, w), [(found.objective, found.linear)]) == [1.0]
    assert "with embeddings" in found.note
