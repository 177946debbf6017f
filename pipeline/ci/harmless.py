"""What a record of a run may hold: jobs that have a token read it out of what a stranger's code wrote."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
LayerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/:-]{1,120}$")]
Machine = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._,+-]{0,119}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)$")]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]


class Strict(BaseModel):
    """Nothing but what it names, in exactly its types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
