"""Prints responses-schema.json: the JSON Schema of OpenAI's Responses objects and events, from the models of the official Python package.

Usage: .env-clients/bin/python test/reference/make-responses-schema.py > test/reference/responses-schema.json

Only what a server without built-in tools sends is kept: of unions, the members named below. Titles and descriptions are left out.
"""

import json

import openai
from openai.types import responses as r
from pydantic import TypeAdapter

EVENTS = [
    r.ResponseCreatedEvent, r.ResponseInProgressEvent, r.ResponseCompletedEvent, r.ResponseIncompleteEvent, r.ResponseFailedEvent,
    r.ResponseOutputItemAddedEvent, r.ResponseOutputItemDoneEvent, r.ResponseContentPartAddedEvent, r.ResponseContentPartDoneEvent,
    r.ResponseTextDeltaEvent, r.ResponseTextDoneEvent, r.ResponseFunctionCallArgumentsDeltaEvent, r.ResponseFunctionCallArgumentsDoneEvent,
    r.ResponseReasoningSummaryPartAddedEvent, r.ResponseReasoningSummaryPartDoneEvent,
    r.ResponseReasoningSummaryTextDeltaEvent, r.ResponseReasoningSummaryTextDoneEvent, r.ResponseErrorEvent,
]
# Members of unions that are kept, by the name of their model.
KEPT = {
    "ResponseOutputMessage", "ResponseFunctionToolCall", "ResponseReasoningItem", "ResponseOutputText", "FunctionTool",
    "ToolChoiceFunction", "ToolChoiceAllowed", "ResponseFormatText", "ResponseFormatTextJSONSchemaConfig", "ResponseFormatJSONObject",
    "PartReasoningText", "ResponseOutputRefusal", "Reasoning", "ResponseUsage", "ResponseError", "IncompleteDetails", "ResponseTextConfig",
    "InputTokensDetails", "OutputTokensDetails", "ErrorData",
}


def name_of(member):
    return member.get("$ref", "").rsplit("/", 1)[-1]


def prune(node):
    if isinstance(node, list):
        return [prune(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {}
    for key, value in node.items():
        if key in ("title", "description", "discriminator") and not isinstance(value, dict) or key == "discriminator":
            continue
        if key in ("anyOf", "oneOf"):
            named = [member for member in value if "$ref" in member]
            chosen = [member for member in named if name_of(member).split("__")[-1] in KEPT]
            # A union of which nothing is kept stays whole: nothing may become "anything".
            members = [m for m in value if "$ref" not in m] + (chosen if chosen else named)
            out[key] = prune(members)
        else:
            out[key] = prune(value)
    return out


def reachable(defs, node, seen):
    if isinstance(node, list):
        for item in node:
            reachable(defs, item, seen)
    elif isinstance(node, dict):
        ref = node.get("$ref")
        if ref and name_of(node) not in seen:
            seen.add(name_of(node))
            reachable(defs, defs[name_of(node)], seen)
        for value in node.values():
            reachable(defs, value, seen)


schemas = TypeAdapter.json_schemas([(t, "serialization", TypeAdapter(t)) for t in [r.Response, *EVENTS]])[1]
defs = prune(schemas["$defs"])
events = {}
for event in EVENTS:
    value = defs[event.__name__]["properties"]["type"]["const"]
    events[value] = {"$ref": f"#/$defs/{event.__name__}"}
seen = set()
reachable(defs, [{"$ref": "#/$defs/Response"}, *events.values()], seen)
print(json.dumps({
    "source": f"openai {openai.__version__} for Python (Apache-2.0), its pydantic models as JSON Schema, pruned by make-responses-schema.py",
    "response": {"$ref": "#/$defs/Response"},
    "events": events,
    "$defs": {key: defs[key] for key in sorted(seen)},
}, separators=(",", ":")))
