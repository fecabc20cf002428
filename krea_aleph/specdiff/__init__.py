"""Comparing two descriptions of the API: what changed in the operations we use, does it matter?

Compared is what is published, not what the pipeline makes of it, because what is cut off or
loosened for the generator must not be missed:

    read_any    JSON or YAML, as strictly in either
    document    JSON: size, depth, duplicate keys
    texts       what every text, path and reference must be
    diff        check both, compare, write the report
    compare_operation   parameters, bodies, answers, of the operations in `rules.toml`
    compare_schema      what fits no longer, and what fits now
    meaning     a schema as branches of one type each, whatever its spelling
    severity    who sends, who reads, and what follows for users; `reads.toml` has what we read

The regeneration uses this, and so does an installed library (`python -m krea_aleph.contract`):
nothing but the standard library is needed, except for YAML.
"""
