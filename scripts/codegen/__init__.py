"""The regeneration pipeline: from `openapi.json` to `generated/krea_aleph_api/`.

The contract flows through named steps, one module each, and every step that fails raises
`StepError` with its own name, the place, and what to do:

    validate    is it OpenAPI 3.1 at all?
    guard       limits, then an allowlist for every name and text that can reach code
    slicing     copy the operations that `rules.toml` names into a small intermediate form
    corrections what upstream states wrongly, each with what it is expected to say
    unify       several shapes of one thing become their least upper bound
    hoist       inline schemas become named models
    loosen      responses accept whatever a server may send
    assemble    back to an OpenAPI document, for the generator
    templates   the stock templates with counted exact edits
    generator   run the pinned generator, isolated
    emit_*      the data modules that the facade follows the contract by
    formatter   run the pinned ruff, isolated
    notes       what a human should look at
    audit       allow only what generated code needs
    typecheck   mypy --strict
    swap        prepare on the same file system, decide by one rename, carry out or undo

Following a new description (`--fetch`, `--from`) comes before all that:

    follow      compare with the contract, and build only if something changed
    compose     cut it down to our operations; one that has vanished keeps its last contract
    classify    what no program may decide stops for a human
    lock        which contract is ours, since when, and which came before
    install     type-check, then exchange contract, lock and tree together
    report      what changed, for programs and for people
    markdown    strangers' texts that stay texts

Reading, fetching, errors, rules, one spelling for each meaning and the comparison of two contracts
(`--diff`) are in `krea_aleph.specdiff`, because an installed library compares, too.

Everything down to `assemble`, the emitters and the audit use the standard library alone and do no
I/O; `pipeline` joins the steps and `cli` is the command.
"""
