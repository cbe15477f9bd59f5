"""The search: Optuna holds the study, slots say what is to be run, workers run it."""
