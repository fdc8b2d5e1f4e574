"""Reviews of pull requests: what git, Conversations, recorded chats and a target say of a change.

`gather` reads both commits and fills a `Review`; `talks` runs Conversations, `replay` recorded chats, with the voices
of `voices`; `live` looks at a target. What is found is judged and shown by `plan/review/`.
"""
