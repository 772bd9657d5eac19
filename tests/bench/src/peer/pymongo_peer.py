"""pymongo as a peer of the loops under faults: the same orders and answers as the other workers."""

import json
import os
import sys
import threading
import time

import pymongo

SLOW_MILLIS = 50.0


def connect(uri):
    client = pymongo.MongoClient(uri)
    client.admin.command("ping")
    return client


def long_query(uri, answer):
    began = time.monotonic()
    try:
        where = {"_id": 0, "$where": "sleep(5000) || true"}
        if connect(uri).bench.records.find_one(where) is None:
            raise RuntimeError("found nothing")
        answer["long_query_millis"] = (time.monotonic() - began) * 1e3
    except Exception as error:
        answer["errors"].append(f"long query: {error}")


def operations(client, kind, seconds, answer):
    written = client.bench[f"pymongo-{os.getpid()}"]
    read = client.bench.records
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < seconds:
        one = time.monotonic()
        try:
            if kind == "Write":
                written.update_one({"_id": number}, {"$inc": {"times": 1}}, upsert=True)
            else:
                read.find_one({"_id": 0})
            answer["operations"] += 1
        except Exception as error:
            answer["errors"].append(str(error))
        millis = (time.monotonic() - one) * 1e3
        if millis > SLOW_MILLIS:
            answer["slow"].append({"ended": time.time() * 1e3, "millis": millis})
        number += 1


def main():
    client = None
    for line in sys.stdin:
        answer = {"operations": 0, "slow": [], "errors": []}
        try:
            ((name, order),) = json.loads(line).items()
            if name == "Connect":
                client = connect(order["uri"])
            elif name == "Loop":
                query = None
                if order["long_query"] is not None:
                    query = threading.Thread(target=long_query, args=(order["long_query"], answer))
                    query.start()
                operations(client, order["kind"], order["millis"] / 1e3, answer)
                if query is not None:
                    query.join()
            else:
                raise RuntimeError(f"cannot {name}")
        except Exception as error:
            answer["failure"] = str(error)
        print(json.dumps(answer), flush=True)


main()
