"""What a pull request will do to customers: from two desired states to one verdict. PURE.

`compare` (the plan between two commits) → `risks`, `cost` → `verdict` → `markdown`, `text`, `document`, `annotations`.
What needs a model or git is found by `reconcile/review/`, which comes before it and after it.
"""
