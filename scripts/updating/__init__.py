"""Releases that follow Krea's description: from a changed contract to a reviewed proposal.

`scripts/update` is the command; people, GitHub, GitLab and cron run the same one. It has two
halves, so that the one that meets a stranger's document has no secret, and the one that has the
token runs nothing of what it applies:

    propose     follow the description in a workshop, write the proposal into a folder
      workshop    a clean copy of a commit, gone afterwards
      checks      trying the result
      surface     what griffe sees in the Python surface
    apply       put the proposal onto the standing branch
      patch       from a patch to a tree, refusing what it must not hold
      standing    what is on the branch, and moving it without losing anybody's work

Pure functions make the texts of a report:

    report      what scripts/regenerate said, as values
    versions    by how much the version must grow
    words       the contract's places in the words of the facade
    changelog   the entry for users
    pull_request    title and text

Strangers' texts stay texts in all of them: `codegen.markdown`.

Nothing but `propose` and what is below it needs more than the standard library and git.
"""
