"""The forges: where pull requests are talked about, and how a review or an outcome gets there.

`detect` knows from the variables of a CI job which forge, repository and pull request it is for; `forge_of` opens it as
a `Forge` (port.py), of which `github`, `gitlab` and `gitea` are the three kinds, all on `calls`. `post` puts a review
there, `artifact` one that came from a job that is not trusted, `announce` what became of a merged commit.
"""
