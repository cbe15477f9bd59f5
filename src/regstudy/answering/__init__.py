"""From images or a space to an answer within a time budget: the functions of the separate commands, one after another.

`subject` finds the space, `regstudy.analysis.answer_plan` plans, `phases` runs, `plan_words` tells.
"""
