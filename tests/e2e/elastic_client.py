"""Run with one version of the official Elasticsearch client on its path: sends sessions with
`helpers.bulk` and `helpers.streaming_bulk`, and says in JSON what came of them."""

import json
import sys

import elasticsearch
from elasticsearch import Elasticsearch, helpers

asked = json.loads(sys.stdin.read())
client = Elasticsearch(asked["url"], **asked["client"])
info = client.info()


def actions(names, **more):
    for name in names:
        yield {"_index": "sessions-1", "_id": f"id-{name}", "_source": {"userSessionId": name, "startTime": 1793534400000}, **more}


said = {
    "version": elasticsearch.__versionstr__,
    "ping": client.ping(),
    "info": info["version"]["number"],
    "health": client.cluster.health()["status"],
}
said["bulk"] = helpers.bulk(client, actions(asked["bulk"]))
said["streaming"] = [
    [ok, next(iter(item.values()))["status"]]
    for ok, item in helpers.streaming_bulk(client, actions(asked["streaming"], _op_type="create"), chunk_size=7)
]
count, errors = helpers.bulk(
    client, [{"_op_type": "delete", "_index": "sessions-1", "_id": "x"}, *actions(["mixed"])], raise_on_error=False
)
said["mixed"] = [count, [error["delete"]["status"] for error in errors]]
try:
    client.options(basic_auth=("ann", "wrong")).bulk(operations=[{"index": {}}, {"a": 1}], index="sessions-1")
    said["wrong"] = "taken"
except elasticsearch.AuthenticationException as error:
    said["wrong"] = error.status_code
print(json.dumps(said))
