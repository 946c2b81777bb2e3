"""What a producer or a subscriber imports: rows in, results out. Never imports the compiler.

::

    with Producer("tcp://127.0.0.1:5555", stream="cam0") as producer:
        producer.send(row, y=3)

    with Subscriber("tcp://127.0.0.1:5556", topics=("prediction/cam0",)) as subscriber:
        for message in subscriber:
            print(message.seq, message.y_pred)

`producer` gives rows to `pusher` (PUSH and PUB: what is sent is gone) or to `courier` (DEALER),
which keeps them in an `outbox`, and where wanted in a `spool` on the disk, until acknowledged.
"""

from streamlearn.client.producer import Keeping, Producer
from streamlearn.client.subscriber import Subscriber

__all__ = ["Keeping", "Producer", "Subscriber"]
