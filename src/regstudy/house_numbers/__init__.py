"""Synthetic house-number crops; see `picture.draw`. Does not import torch, so that drawing processes start quickly."""
