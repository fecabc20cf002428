"""Releases: from a changelog and a number to files that can be published.

`scripts/release` is the command; people and the jobs of GitHub and GitLab run the same one.

    changelog   the sections of CHANGELOG.md: their form, a release's notes, closing "Unreleased"
    number      the version: what it must look like, where it stands
    prepare     the edits that make a commit a release
    readiness   what is in the way of a release
    build       sdist, wheel, checksums, notes and bill of materials of one commit
    publish     uploading them to an index of one's own
    bill        the bill of materials (CycloneDX) of a wheel

Only `publish` needs a secret, and leaves it where it is: in the environment.
"""
