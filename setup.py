"""A wheel holds the repository that it was built from too: `edgeproof init` makes projects of it."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


class WithRepository(build_py):
    """The packages, and beside `edgeproof init` the whole repository in one archive."""

    def run(self) -> None:
        """Build; an editable install reads the checkout itself."""
        super().run()
        if not self.editable_mode:
            spec = spec_from_file_location("own_files", HERE / "pipeline/init/own_files.py")
            assert spec is not None
            assert spec.loader is not None
            own_files = module_from_spec(spec)
            spec.loader.exec_module(own_files)
            own_files.pack(HERE, Path(self.build_lib, "pipeline/init", own_files.ARCHIVE.name))


setup(cmdclass={"build_py": WithRepository})
