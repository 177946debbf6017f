"""Keep files below the deepest folder that they share, as GitHub does; nothing to keep is an error here."""

import os
import shutil
import sys
from pathlib import Path

artifact = Path(os.environ["ACT_ARTIFACTS"], os.environ["NAME"])
if artifact.exists() and os.environ["OVERWRITE"] != "true":
    sys.exit(f"an artifact called {artifact.name} exists")
shutil.rmtree(artifact, ignore_errors=True)
paths = [Path(line).absolute() for line in os.environ["PATHS"].splitlines() if line]
if missing := [str(path) for path in paths if not path.exists()]:
    sys.exit(f"no files found: {', '.join(missing)}")
root = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in paths]))
for path in paths:
    kept = artifact / path.relative_to(root)
    kept.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, kept)
