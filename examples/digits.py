"""Train a convolutional network on scikit-learn's handwritten digits.

pip install 'graphc[demo]'
python examples/digits.py
"""

import numpy as np
from sklearn.datasets import load_digits

import graphc as keras
from graphc import layers

digits = load_digits()
x = (digits.images[..., None] / 16.0).astype("float32")
y = digits.target
order = np.random.default_rng(0).permutation(len(x))
x, y = x[order], y[order]

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=64, epochs=8, validation_split=0.2)
model.save("digits.graphc")
again = keras.models.load_model("digits.graphc")
assert np.array_equal(again.predict(x[:8], verbose=0), model.predict(x[:8], verbose=0))
