"""Data sets of the user's own, whatever they return: arrays with labels, torch and Hugging Face data sets."""
