"""Put all artifacts whose name matches into one folder; none is no error."""

import os
import re
import shutil
import sys
from fnmatch import fnmatchcase
from pathlib import Path

pattern = os.environ["PATTERN"]
if os.environ["MERGE"] != "true":
    sys.exit("this stand-in knows merge-multiple only")
braces = re.search(r"\{(.*)\}", pattern)
patterns = [pattern.replace(braces[0], part) for part in braces[1].split(",")] if braces else [pattern]
for artifact in sorted(Path(os.environ["ACT_ARTIFACTS"]).iterdir()):
    if any(fnmatchcase(artifact.name, wanted) for wanted in patterns):
        print("downloading", artifact.name)
        shutil.copytree(artifact, os.environ["WHERE"], dirs_exist_ok=True)
