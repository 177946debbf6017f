"""Into a folder: a disk that is carried away, or a share that is mounted. Synced, so that it may be pulled out then."""

import os
from contextlib import suppress

from runners.agent.upload.delivery import Delivery, Group, Item, Undelivered, beside, blocks, folders_of
from runners.edge import durable


class ToFolder(Delivery):
    """The folder must be there: what should be mounted and is not is no place to write to."""

    def bring(self, group: Group) -> None:
        """See `Delivery`."""
        if not os.path.isdir(self.inbox.path):
            raise Undelivered("there is no such folder; is it mounted?")
        for folder in folders_of([item.name for item in group]):
            durable.make_folder(os.path.join(self.inbox.path, folder))
        for item in group:
            self._write(item)

    def _write(self, item: Item) -> None:
        path, part = (os.path.join(self.inbox.path, name) for name in (item.name, beside(item.name)))
        try:
            durable.create(part, blocks(item, self.inbox.kib_per_second))
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise
        durable.sync(os.path.dirname(path))
