"""Is it an OpenAPI document at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping


def validate(document: Mapping[str, Any]) -> None:
    """Check the document against the OpenAPI specification.

    Raises:
        StepError: It breaks the specification; the message says where.
    """
    # Imported here: it takes most of a second, and a refusal before it should not wait.
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415

    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith("3.1."):
        raise StepError("validate", f"openapi: {version!r} is not 3.1; only OpenAPI 3.1 is read")
    try:
        error = next(iter(OpenAPIV31SpecValidator(dict(document)).iter_errors()), None)
    except Exception as failure:
        problem = f"the document cannot be walked: {type(failure).__name__}: {failure}"
        raise StepError("validate", problem[:500]) from failure
    if error is not None:
        raise StepError("validate", f"{_place(error)}: {error.message[:500]}")


def validate_shape(document: Mapping[str, Any]) -> None:
    """Check the form of the document only: that a default fits its enum is not asked.

    Raises:
        StepError: It has not the form that the OpenAPI specification asks for.
    """
    # Imported here, as above.
    from openapi_spec_validator.schemas import openapi_v31_schema_validator  # noqa: PLC0415

    error = next(iter(openapi_v31_schema_validator.iter_errors(dict(document))), None)
    if error is not None:
        raise StepError("validate", f"{_place(error)}: {error.message[:500]}")


def _place(error: Any) -> str:
    """Say where something is wrong; of defaults that do not fit, the validator does not say."""
    path = "/".join(str(part) for part in error.absolute_path)
    whole = not isinstance(error.validator, str) or isinstance(error.instance, dict)
    return path or ("the document" if whole else "a default")
