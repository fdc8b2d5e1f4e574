"""The Responses API, stateless (`store: false`): bots of type `assistant`.

Before it comes `llm/openai.py`, after it `llm/asking.py`. OpenAI keeps nothing of a turn, so each round is sent all
that came before it; a reasoning model's thoughts go along in encrypted form.
Source: https://platform.openai.com/docs/api-reference/responses/create (as the SDK's types have it).
"""

from __future__ import annotations

from typing import Any

from reconciler.llm.answer import Answer, ModelFailed, Usage
from reconciler.llm.asking import ROUNDS, Asking, function, said
from reconciler.talk.prompt import Utterance


async def ask_responses(asking: Asking) -> Answer:
    """The answer to a turn, over at most eight rounds of function calls. Raises ModelFailed."""
    from openai.types.responses import Response

    request = asking.request
    inputs: list[Any] = [_message(each) for each in request.messages]
    effort, tools = request.reasoning_effort, [_tool(tool) for tool in request.tools]
    calling = any(tool["type"] == "function" for tool in tools)
    options: dict[str, Any] = {
        "instructions": request.instructions,
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature,
        "reasoning": None if effort is None else {"effort": effort},
        "metadata": dict(request.metadata) or None,
        "tools": tools or None,
        "include": ["reasoning.encrypted_content"] if calling else None,  # else there is no round to take them to
    }
    options = {name: value for name, value in options.items() if value is not None}
    for round_ in range(ROUNDS + 1):
        if calling and round_ == ROUNDS:
            options["tool_choice"] = "none"
        create = asking.client.responses.create
        reply = await asking.send(create, Response, options, model=asking.model, store=False, input=inputs)
        if reply.usage:
            details = reply.usage.input_tokens_details
            taken = (reply.usage.input_tokens, reply.usage.output_tokens, details and details.cached_tokens)
            asking.spent(Usage(*(count or 0 for count in taken)))
        if reply.status == "failed":
            code = getattr(reply.error, "code", None)
            raise ModelFailed(f"the model server failed while it answered ({code or 'no reason given'})")
        wanted = [item for item in reply.output if item.type == "function_call"]
        if not wanted:
            cut = reply.incomplete_details and reply.incomplete_details.reason
            text, cut_off = said(reply.output_text, _refusal(reply), cut)
            return Answer(text, asking.usage, asking.calls, cut_off)
        await asking.keep(reply)
        inputs.extend(_kept(reply.output))
        for item in wanted:
            output = await asking.call(item.name, item.arguments)
            inputs.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    raise ModelFailed(f"the model still called functions after {ROUNDS} rounds")


def _kept(output: list[Any]) -> list[dict[str, Any]]:
    """A round's items as the next round's input.

    A reasoning item means something only with its encrypted content, for OpenAI stores none; and a hosted tool's call
    is refused without the reasoning item before it, so they go or stay together.
    """
    thinking = [item for item in output if item.type == "reasoning"]
    whole = all(item.encrypted_content for item in thinking)
    kept: list[dict[str, Any]] = []
    for item in output:
        match item.type:
            case "function_call":  # without its id, which would lead nowhere
                kept.append(
                    {
                        "type": "function_call",
                        "call_id": item.call_id,
                        "name": item.name,
                        "arguments": item.arguments,
                    }
                )
            case "message":
                text = "".join(part.text for part in item.content if part.type == "output_text")
                if text:
                    kept.append({"role": "assistant", "content": text})
            case _ if thinking and whole:
                kept.append(item.model_dump(mode="json", exclude_unset=True, exclude={"status"}))
    return kept


def _message(each: Utterance) -> dict[str, Any]:
    if not each.images:
        return {"role": each.role, "content": each.text}
    text = [{"type": "input_text", "text": each.text}] if each.text else []
    images = ({"type": "input_image", "image_url": url, "detail": "auto"} for url in each.images)
    return {"role": each.role, "content": [*text, *images]}


def _refusal(reply: Any) -> str | None:
    for item in reply.output:
        for content in getattr(item, "content", None) or ():
            if content.type == "refusal":
                return str(content.refusal)
    return None


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "function":
        return {"type": "function", **function(tool)}
    if tool["type"] == "file_search":
        return {"type": "file_search", "vector_store_ids": list(tool["vectorStoreIds"])}
    return {"type": tool["type"]}
