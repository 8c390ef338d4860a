"""The next chapter of the lesson "Hands-On MNIST-MLP": two convolutions, and 99 % of the test digits.

    python examples/hands_on_mnist_mlp/next_chapter.py [EPOCHS]

The lesson ends with a look ahead to convolutions.  This is the introductory network of Keras's examples: 32 and 64
kernels of 3 x 3, pooling, dropout and 128 units, 1,199,882 parameters.  Everything but the layers is as in the
lesson. Expect a test accuracy of about 0.99 after 6 epochs.
"""

import sys

from firesteel.datasets import load_mnist
from firesteel.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, Rescaling
from firesteel.models import Sequential

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 6
(x_train, y_train), (x_test, y_test) = load_mnist()

model = Sequential(
    [
        Input((28, 28, 1)),
        Rescaling(1 / 255),
        Conv2D(32, 3, activation="relu"),
        Conv2D(64, 3, activation="relu"),
        MaxPooling2D(),
        Dropout(0.25),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.5),
        Dense(10, activation="softmax"),
    ]
)
model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
model.summary()
model.fit(x_train, y_train, epochs=EPOCHS, batch_size=128, validation_split=0.1, verbose=2)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}; fingerprint {model.fingerprint()}")
