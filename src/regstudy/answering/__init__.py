"""From images or a space to an answer within a time budget: the functions of the separate commands, one after another.

`answer_subject` finds the space, `regstudy.analysis.answer_plan` plans, `answer_phases` runs, `plan_words` tells.
"""
