"""From a git commit, or the working tree, to the desired state of a target, or every problem at once (`check`)."""
