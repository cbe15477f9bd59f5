"""Running a study: Optuna stores it, the queue of slots says what to run, workers run it."""
