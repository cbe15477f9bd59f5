"""A first space for images that nobody has described yet: look at them, choose, measure, write a file with comments.

`look` sees, `choices` and `evening` decide (pure rules, tested as tables), `space_text` writes, `draft` does it all.
"""
