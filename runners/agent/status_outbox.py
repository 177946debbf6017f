"""Records that are to be sent: `agent/outbox/`, each at its path in the inbox. Who sends one deletes it."""

import json
import os
from contextlib import suppress

from runners.contract import device_folder, device_status
from runners.contract.device_status import DeviceStatus
from runners.edge import durable

MOST = 200  # the oldest give way: nobody may have told the device where to send them


def put(home: str, status: DeviceStatus) -> str:
    """Keep a record until it is sent; its path."""
    path = os.path.join(home, device_folder.OUTBOX, *device_status.file_name(status).split("/"))
    folder = os.path.dirname(path)
    durable.make_folder(folder)
    durable.write(path, json.dumps(device_status.as_json(status)).encode("utf-8"))
    waiting = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    for name in waiting[:-MOST]:
        with suppress(FileNotFoundError):  # it has just been sent
            os.unlink(os.path.join(folder, name))
    return path
