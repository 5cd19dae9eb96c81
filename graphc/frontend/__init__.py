"""The Keras-like API: layers, models, training; tracing Python into graphs."""
