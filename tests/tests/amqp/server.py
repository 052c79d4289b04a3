"""An RPC server of oslo.messaging, as cinder-scheduler is one: prints each call, a JSON document a line, until stdin ends."""
import json
import sys

import oslo_messaging
from oslo_config import cfg

# 18.x registers some options on the global configuration only: with another one, messages vanish after they were acknowledged.
conf = cfg.CONF
conf([], project="cairn-test")
url, exchange, topic = sys.argv[1:]
oslo_messaging.set_transport_defaults(control_exchange=exchange)
transport = oslo_messaging.get_rpc_transport(conf, url=url)
conf.set_override("amqp_durable_queues", True, group="oslo_messaging_rabbit")
transport = oslo_messaging.get_rpc_transport(conf, url=url)


class Plain(oslo_messaging.NoOpSerializer):
    def serialize_context(self, context):
        return context

    def deserialize_context(self, context):
        return context


class Scheduler:
    target = oslo_messaging.Target(version="1.7")

    def create_volume(self, context, topic, volume_id, snapshot_id=None, image_id=None, request_spec=None, filter_properties=None):
        call = {"context": context, "topic": topic, "volume_id": volume_id, "request_spec": request_spec}
        print(json.dumps(call), flush=True)


target = oslo_messaging.Target(topic=topic, server="here")
server = oslo_messaging.get_rpc_server(transport, target, [Scheduler()], serializer=Plain())
server.start()
print("listening", flush=True)
sys.stdin.read()
server.stop()
server.wait()
