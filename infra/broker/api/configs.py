"""DescribeConfigs 0-4, AlterConfigs 0-2, IncrementalAlterConfigs 0-1."""

from collections.abc import Callable, Mapping

from infra.broker.api.call import Call
from infra.broker.broker import NODE_ID, Broker
from infra.broker.configs import TOPIC_KEYS, checked
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.schema import Message
from infra.broker.topics import Topic

_TOPIC, _BROKER = 2, 4
_OF_TOPIC, _STATIC_BROKER, _DEFAULT = 1, 4, 5
_STRING = 2
_SET, _DELETE, _APPEND, _SUBTRACT = 0, 1, 2, 3


def describe_configs(broker: Broker, request: Message, _call: Call) -> Message:
    """Show settings, of topics and of the broker itself."""
    return {"results": [_described(broker, resource) for resource in request["resources"]]}


def _described(broker: Broker, resource: Message) -> Message:
    code, message, configs = ErrorCode.NONE, None, list[Message]()
    try:
        configs = _configs_of(broker, resource)
    except KafkaError as error:
        code, message = error.code, error.message
    wanted = resource["configuration_keys"]
    return {
        "error_code": code,
        "error_message": message,
        "resource_type": resource["resource_type"],
        "resource_name": resource["resource_name"],
        "configs": [one for one in configs if wanted is None or one["name"] in wanted],
    }


def _configs_of(broker: Broker, resource: Message) -> list[Message]:
    if resource["resource_type"] == _TOPIC:
        return _topic_configs(broker, _topic(broker, resource["resource_name"]))
    if resource["resource_type"] == _BROKER and resource["resource_name"] in ("", str(NODE_ID)):
        configs = broker.settings.broker_configs().items()
        return [_shown(name, (value, _STATIC_BROKER), is_fixed=True) for name, value in configs]
    raise KafkaError(ErrorCode.INVALID_REQUEST, "expected a topic or broker 0")


def _topic(broker: Broker, name: str) -> Topic:
    topic = broker.topics.by_name.get(name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return topic


def _topic_configs(broker: Broker, topic: Topic) -> list[Message]:
    defaults = broker.settings.topic_defaults()
    configs = []
    for name, key in TOPIC_KEYS.items():
        value = (defaults.get(name, key.default), _DEFAULT)
        if name in topic.config:
            value = (topic.config[name], _OF_TOPIC)
        configs.append(_shown(name, value, kind=key.type))
    return configs


def _shown(
    name: str, value: tuple[str, int], *, kind: int = _STRING, is_fixed: bool = False
) -> Message:
    text, source = value
    return {
        "name": name,
        "value": text,
        "read_only": is_fixed,
        "is_default": source == _DEFAULT,
        "config_source": source,
        "is_sensitive": False,
        "synonyms": [{"name": name, "value": text, "source": source}],
        "config_type": kind,
    }


_Change = Callable[[Topic, Message], dict[str, str | None]]


def alter_configs(broker: Broker, request: Message, _call: Call) -> Message:
    """Replace all settings of topics."""
    return _altered(broker, request, _replaced)


def incremental_alter_configs(broker: Broker, request: Message, _call: Call) -> Message:
    """Change some settings of topics."""
    return _altered(broker, request, _changed)


def _altered(broker: Broker, request: Message, change: _Change) -> Message:
    responses = []
    for resource in request["resources"]:
        code, message = ErrorCode.NONE, None
        try:
            topic = _altered_topic(broker, resource)
            config = checked(change(topic, resource))
            if not request["validate_only"]:
                broker.topics.configure(topic, config)
        except KafkaError as error:
            code, message = error.code, error.message
        responses.append(
            {
                "error_code": code,
                "error_message": message,
                "resource_type": resource["resource_type"],
                "resource_name": resource["resource_name"],
            }
        )
    return {"responses": responses}


def _altered_topic(broker: Broker, resource: Message) -> Topic:
    if resource["resource_type"] != _TOPIC:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "expected a topic")
    return _topic(broker, resource["resource_name"])


def _replaced(_topic: Topic, resource: Message) -> dict[str, str | None]:
    return {one["name"]: one["value"] for one in resource["configs"]}


def _changed(topic: Topic, resource: Message) -> dict[str, str | None]:
    config: dict[str, str | None] = dict(topic.config)
    for one in resource["configs"]:
        name, operation = one["name"], one["config_operation"]
        if operation == _DELETE:
            config.pop(name, None)
        elif operation == _SET:
            config[name] = one["value"]
        elif operation in (_APPEND, _SUBTRACT):
            config[name] = _listed(config, one, is_added=operation == _APPEND)
        else:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"unknown operation {operation}")
    return config


def _listed(config: Mapping[str, str | None], one: Message, *, is_added: bool) -> str:
    """Add values to a list setting, or take them out."""
    key = TOPIC_KEYS.get(one["name"])
    current = (config.get(one["name"]) or (key.default if key else "")).split(",")
    values = [value for value in current if value]
    for value in (one["value"] or "").split(","):
        if is_added and value not in values:
            values.append(value)
        elif not is_added and value in values:
            values.remove(value)
    return ",".join(values)
