"""The composition root: compose -> check -> freeze -> execute. The only room that instantiates.

Hydra and omegaconf are known here (and to commands and train.py); nothing at the top of these files imports torch.
"""
