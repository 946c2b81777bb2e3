"""The command line: one function a verb; errors become exit codes and clean lines."""

from streamlearn.cli.daemon import check, run
from streamlearn.cli.group import main
from streamlearn.cli.keygen import keygen
from streamlearn.cli.learn import bench, demo, evaluate
from streamlearn.cli.mend import dead, fsck
from streamlearn.cli.send import send
from streamlearn.cli.state import inspect
from streamlearn.cli.talk import ctl, watch

# In the order in which a newcomer meets them.
for _command in (demo, run, check, evaluate, send, watch, ctl, inspect, fsck, dead, bench, keygen):
    main.add_command(_command)

__all__ = ["main"]
