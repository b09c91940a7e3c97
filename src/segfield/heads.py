"""Heads: what turns the logits of a regression into the values that are asked for, here densities.

A head is called (logits, valid, image): with the image that the network saw, because neither a residual nor a mass that
is kept can be known from logits and valid pixels alone. Activations of probabilities are torch's own, not heads.
"""
