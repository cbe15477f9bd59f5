"""The search: Optuna holds the study, tickets say what is to be run, workers run it."""
