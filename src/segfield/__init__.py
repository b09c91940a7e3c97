"""segfield: config-driven experiments with U-Nets. A run is a folder.

Importing this package imports nothing: `python train.py --help` must not wait for torch.
"""
