"""Start the generator with more words reserved.

It renames a property that is called like a keyword or a builtin, but not one that is called like a
variable of the code it generates, which such a property would then overwrite. Runs as a program of
its own, beside nothing but the generator.
"""

from openapi_python_client import strings
from openapi_python_client.cli import app

OURS = frozenset(
    "additional_keys additional_properties cast cls cookies d field_dict files from_dict"
    " headers kwargs params path_segment prop prop_dict prop_name response src_dict to_dict"
    " to_multipart".split()
)

if __name__ == "__main__":
    strings.RESERVED_WORDS |= OURS
    app()
