"""What arguments are called in other libraries, so that an error can say what they are called here."""

__all__ = ["ELSEWHERE"]

ELSEWHERE = {
    "maxIter": "epochs",
    "max_iter": "epochs",
    "n_epochs": "epochs",
    "nb_epoch": "epochs",
    "blockSize": "batch_size",
    "validation_fraction": "validation_split",
    "featuresCol": "features",
    "labelCol": "label",
    "weightCol": "weight",
    "sample_weights": "sample_weight",
    "random_state": "seed",
    "num_workers": "shards",
    "lr": "learning_rate",
    "learning_rate_init": "learning_rate",
    "stepSize": "learning_rate",
    "criterion": "loss",
    "solver": "optimizer",
    "out_features": "units",
    "in_features": "input_dim",
    "input_shape": "input_dim",
    "p": "rate",
    "eps": "epsilon",
    "betas": "beta_1",
    "alpha": "l2",
    "n_iter_no_change": "patience",
}
"""What other libraries call an argument: its name here."""
