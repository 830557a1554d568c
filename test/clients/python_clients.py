"""Runs the official Python clients against a server: text, streams, tools, structure, embeddings, errors.

Usage: python_clients.py BASE_URL CHAT_MODEL EMBEDDING_MODEL
Prints one JSON document: the versions, and what each check gave. Exit code 1 when one failed. Warnings are failures.
"""

import importlib.metadata
import json
import sys
import warnings

warnings.simplefilter("error")

import anthropic
import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

BASE, MODEL, EMBEDDER = sys.argv[1:4]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "n": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["name", "n"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "hi"}]
results = {}


def check(name):
    def run(function):
        try:
            function()
            results[name] = "ok"
        except Exception as error:  # noqa: BLE001 - all of them are findings
            results[name] = f"{type(error).__name__}: {error}"
        return function

    return run


def fits(value):
    assert set(value) == {"name", "n"} and isinstance(value["name"], str) and value["n"] in range(1, 10), value


client = openai.OpenAI(base_url=f"{BASE}/v1", api_key="any", max_retries=0)
chat = {"model": MODEL, "messages": MESSAGES, "max_tokens": 1500, "temperature": 1, "seed": 1, "reasoning_effort": "none"}
chat_tool = {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": SCHEMA}}


@check("openai chat text")
def _():
    body = {**chat, "max_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**body)
    chunks = list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    # The helper that gathers a stream takes an answer that was cut for an error, so that the pieces are joined here.
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@check("openai chat tools")
def _():
    body = {**chat, "tools": [chat_tool], "tool_choice": "required"}
    first = client.chat.completions.create(**body)
    calls = first.choices[0].message.tool_calls
    for call in calls:
        fits(json.loads(call.function.arguments))
    with client.chat.completions.stream(**body) as stream:
        for _event in stream:
            pass
        gathered = stream.get_final_completion().choices[0].message.tool_calls
    assert [c.function.arguments for c in gathered] == [c.function.arguments for c in calls]
    answers = [{"role": "tool", "tool_call_id": c.id, "content": "seen"} for c in calls]
    second = client.chat.completions.create(**{**chat, "max_tokens": 10, "messages": [*MESSAGES, first.choices[0].message, *answers]})
    assert second.usage.completion_tokens > 0


@check("openai chat structure")
def _():
    answer = client.chat.completions.create(**chat, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}})
    fits(json.loads(answer.choices[0].message.content))


@check("openai responses")
def _():
    tool = {"type": "function", "name": "look", "description": "Looks", "parameters": SCHEMA, "strict": True}
    body = {"model": MODEL, "input": "hi", "reasoning": {"effort": "none"}, "max_output_tokens": 1500}
    whole = client.responses.create(**body, temperature=0)
    with client.responses.stream(**body, temperature=0) as stream:
        for _event in stream:
            pass
        assert stream.get_final_response().output_text == whole.output_text
    asked = client.responses.create(**body, tools=[tool], tool_choice="required")
    calls = [item for item in asked.output if item.type == "function_call"]
    for call in calls:
        fits(json.loads(call.arguments))
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "seen"} for call in calls]
    again = client.responses.create(model=MODEL, previous_response_id=asked.id, input=outputs, max_output_tokens=10)
    assert again.previous_response_id == asked.id
    parsed = client.responses.create(**body, text={"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}})
    fits(json.loads(parsed.output_text))


@check("openai embeddings")
def _():
    packed = client.embeddings.create(model=EMBEDDER, input=["one", "two"])
    floats = client.embeddings.create(model=EMBEDDER, input=["one", "two"], encoding_format="float")
    assert [len(row.embedding) for row in packed.data] == [len(row.embedding) for row in floats.data]
    for a, b in zip(packed.data, floats.data):
        assert all(abs(x - y) < 1e-6 for x, y in zip(a.embedding, b.embedding))


@check("openai errors")
def _():
    try:
        client.chat.completions.create(**{**chat, "model": "nobody"})
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.status_code == 404
    else:
        raise AssertionError("no error")


claude = anthropic.Anthropic(base_url=BASE, api_key="any", max_retries=0)


@check("anthropic text")
def _():
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 20}
    whole = claude.messages.create(**body)
    assert whole.usage.input_tokens > 0 and whole.stop_reason in ("end_turn", "max_tokens")
    with claude.messages.stream(**body) as stream:
        final = stream.get_final_message()
    assert final.usage.input_tokens == whole.usage.input_tokens
    counted = claude.messages.count_tokens(model=MODEL, messages=MESSAGES)
    assert counted.input_tokens == whole.usage.input_tokens


@check("anthropic tools")
def _():
    tools = [{"name": "look", "description": "Looks", "input_schema": SCHEMA}]
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 1500, "tools": tools, "tool_choice": {"type": "any"}}
    first = claude.messages.create(**body)
    uses = [block for block in first.content if block.type == "tool_use"]
    assert uses
    for use in uses:
        fits(use.input)
    with claude.messages.stream(**body) as stream:
        final = stream.get_final_message()
    for block in final.content:
        if block.type == "tool_use":
            fits(block.input)
    answers = [{"type": "tool_result", "tool_use_id": use.id, "content": "seen"} for use in uses]
    history = [*MESSAGES, {"role": "assistant", "content": first.content}, {"role": "user", "content": answers}]
    second = claude.messages.create(model=MODEL, messages=history, max_tokens=10, tools=tools)
    assert second.usage.input_tokens > first.usage.input_tokens


@check("anthropic errors")
def _():
    try:
        claude.messages.create(model="nobody", messages=MESSAGES, max_tokens=5)
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error"
    else:
        raise AssertionError("no error")


def langchain(**more):
    return ChatOpenAI(model=MODEL, base_url=f"{BASE}/v1", api_key="any", max_retries=0, **{"max_tokens": 1500, "seed": 1, "temperature": 1, **more})


@check("langchain text")
def _():
    llm = langchain(max_tokens=20, temperature=0, stream_usage=True)
    whole = llm.invoke("hi")
    gathered = None
    for chunk in llm.stream("hi"):
        gathered = chunk if gathered is None else gathered + chunk
    assert gathered.content == whole.content
    assert gathered.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


@check("langchain tools")
def _():
    bound = langchain(reasoning_effort="none").bind_tools([{"name": "look", "description": "Looks", "parameters": SCHEMA}], tool_choice="required")
    first = bound.invoke("hi")
    assert first.tool_calls
    for call in first.tool_calls:
        fits(call["args"])
    results_of = [ToolMessage(content="seen", tool_call_id=call["id"]) for call in first.tool_calls]
    assert langchain(max_tokens=10).invoke([HumanMessage("hi"), first, *results_of]).usage_metadata["output_tokens"] > 0


@check("langchain structure")
def _():
    fits(langchain().with_structured_output({**SCHEMA, "title": "thing"}, method="json_schema").invoke("hi"))


@check("langchain embeddings")
def _():
    # It counts tokens with a tokenizer of its own by default, and then sends texts as they are.
    embedder = OpenAIEmbeddings(model=EMBEDDER, base_url=f"{BASE}/v1", api_key="any", check_embedding_ctx_length=False)
    assert len({len(vector) for vector in embedder.embed_documents(["one", "two"])}) == 1


NAMES = ["openai", "anthropic", "langchain-openai", "langchain-core"]
print(json.dumps({"python": sys.version.split()[0], "versions": {name: importlib.metadata.version(name) for name in NAMES}, "checks": results}, indent=1))
sys.exit(0 if all(value == "ok" for value in results.values()) else 1)
